// gpu.h is the one header of every kernel. clang makes PTX of it without a CUDA SDK; g++ -DGPU_EMU makes a program for the
// CPU of it (../internal/emulator). Kernels use neither asm nor thread indices of their own: what is not here is not emulated.
#pragma once
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

struct bf16 {
  u16 bits;
};

#ifdef GPU_EMU
#include "emu.h"
#else
#define DEVFN static __attribute__((device)) inline __attribute__((always_inline))
// KERNEL begins an entry of at most `threads` threads a block, of which at least `blocks` fit a multiprocessor.
#define KERNEL(threads, blocks) extern "C" __attribute__((global)) void __attribute__((launch_bounds(threads, blocks)))
// PAIRED_KERNEL is the same in clusters of two neighboring blocks, of which block_x() % 2 is the rank. clang has no word for what PTX
// wants, so scripts/ptx.sh puts it in the place of the directive that a third launch bound leaves.
#define PAIRED_KERNEL(threads, blocks) extern "C" __attribute__((global)) void __attribute__((launch_bounds(threads, blocks, 2)))
#define EXPORT(name)
#define DYNAMIC_SHARED(name) extern __attribute__((shared)) __attribute__((aligned(1024))) unsigned char name[]
typedef u32 saddr; // a shared-memory address
DEVFN saddr shared_address(const void *p) { return (u32)(u64)(__attribute__((address_space(3))) const void *)p; }
DEVFN int thread() { return __nvvm_read_ptx_sreg_tid_x(); }
DEVFN int block_x() { return __nvvm_read_ptx_sreg_ctaid_x(); }
DEVFN int block_y() { return __nvvm_read_ptx_sreg_ctaid_y(); }
DEVFN void sync_block() { __syncthreads(); }
DEVFN void sync_warp() { asm volatile("bar.warp.sync 0xffffffff;" ::: "memory"); }
DEVFN u32 shuffle_xor_bits(u32 v, int mask) {
  u32 r;
  asm volatile("shfl.sync.bfly.b32 %0, %1, %2, 0x1f, 0xffffffff;" : "=r"(r) : "r"(v), "r"(mask));
  return r;
}
DEVFN void atomic_min(u64 *at, u64 v) { asm volatile("red.global.min.u64 [%0], %1;" ::"l"(at), "l"(v) : "memory"); }
DEVFN float exp2_fast(float x) {
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
}
DEVFN float log2_fast(float x) {
  float r;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
}
// reciprocal of 1 to 2^126, with the bits of 1 / x: what the assembler makes of that, less its branch for other numbers.
DEVFN float reciprocal(float x) {
  float r;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return __builtin_fmaf(r, -__builtin_fmaf(x, r, -1), r);
}
DEVFN u32 pack2(float lo, float hi) {
  u32 r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
  return r;
}
DEVFN bf16 to_bf16(float v) { return {(u16)pack2(v, 0)}; }
// copy16 begins a copy of 16 bytes to shared memory, of which those past `bytes` are zeros.
DEVFN void copy16(saddr to, const void *from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}
DEVFN void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// copy_wait waits until at most N of this thread's groups are under way.
template <int N> DEVFN void copy_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }
DEVFN void store_shared16(saddr to, const u32 *v) {
  asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(v[0]), "r"(v[1]), "r"(v[2]), "r"(v[3]) : "memory");
}
DEVFN void load_matrices(u32 *r, saddr a) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(a) : "memory");
}
DEVFN void load_matrices_transposed(u32 *r, saddr a) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(a) : "memory");
}
// mma adds the product of a 16×16 and a 16×8 matrix of bf16 to d.
DEVFN void mma(float *d, const u32 *a, const u32 *b) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#ifdef SM90
// TensorMap describes a matrix to the copy engine; the driver fills it.
struct alignas(64) TensorMap {
  u64 opaque[16];
};
// Brought is a matrix that the copy engine brings by boxes of many rows, or by lines of one where rows lie apart or end.
struct Brought {
  TensorMap box, line;
};
// PARAM_AT is the address of a kernel's by-value parameter number `index`, which holds maps. clang would copy it to local
// memory, which the copy engine cannot read.
#define PARAM_AT(kernel, index, name) \
  ({ (void)sizeof(name); const decltype(name) *p_; asm("{.reg .b64 t;\nmov.b64 t, " #kernel "_param_" #index ";\ncvta.param.u64 %0, t;}" : "=l"(p_)); p_; })
// A barrier in shared memory completes a phase when `count` threads have arrived and the bytes they expect are there.
DEVFN void barrier_init(saddr b, u32 count) { asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(b), "r"(count) : "memory"); }
DEVFN void barrier_publish() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
DEVFN void barrier_expect(saddr b, u32 bytes) { asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(b), "r"(bytes) : "memory"); }
DEVFN void barrier_arrive(saddr b) { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(b) : "memory"); }
// barrier_wait waits until the phase of this parity is complete.
DEVFN void barrier_wait(saddr b, u32 parity) {
  asm volatile("{\n.reg .pred p;\nW_%=:\nmbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n@p bra D_%=;\nbra W_%=;\nD_%=:\n}" ::"r"(b), "r"(parity) : "memory");
}
// sync_cluster waits for all threads of the cluster's blocks, and orders what they did to memory.
DEVFN void sync_cluster() { asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory"); }
// barrier_arrive_at arrives at the barrier in the same place of the cluster's block `rank`; barrier_wait_cluster waits where such arrive.
DEVFN void barrier_arrive_at(saddr b, u32 rank) {
  asm volatile("{\n.reg .b32 there;\nmapa.shared::cluster.u32 there, %0, %1;\nmbarrier.arrive.release.cluster.shared::cluster.b64 _, [there];\n}" ::"r"(b), "r"(rank) : "memory");
}
DEVFN void barrier_wait_cluster(saddr b, u32 parity) {
  asm volatile("{\n.reg .pred p;\nW_%=:\nmbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%0], %1;\n@p bra D_%=;\nbra W_%=;\nD_%=:\n}" ::"r"(b), "r"(parity) : "memory");
}
// load_box begins to bring the map's box at column x and row y; its bytes arrive at the barrier.
DEVFN void load_box(saddr to, const TensorMap *m, int x, int y, saddr barrier) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(to), "l"(m), "r"(x), "r"(y), "r"(barrier) : "memory");
}
// share_box does so for every block whose rank's bit is in the mask, in the same place of each; the bytes arrive at each one's barrier.
DEVFN void share_box(saddr to, const TensorMap *m, int x, int y, saddr barrier, u32 mask) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%2, %3}], [%4], %5;" ::"r"(to), "l"(m), "r"(x), "r"(y), "r"(barrier), "h"((u16)mask) : "memory");
}
// store_matrices is the reverse of load_matrices.
DEVFN void store_matrices(saddr a, const u32 *r) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(a), "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3]) : "memory");
}
// store_shared8 is for all threads of a warp at once: the emulator looks for bank conflicts.
DEVFN void store_shared8(saddr to, float x, float y) { asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(to), "f"(x), "f"(y) : "memory"); }
// publish_shared: what this thread has written to shared memory may be read by the copy engine.
DEVFN void publish_shared() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
// store_box begins to write the map's box at column x and row y, and leaves out what lies past the matrix. It belongs to its
// thread's open group, which stores_commit closes; the emulator wants a warp's first lane.
DEVFN void store_box(const TensorMap *m, int x, int y, saddr from) {
  asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%1, %2}], [%3];" ::"l"(m), "r"(x), "r"(y), "r"(from) : "memory");
}
DEVFN void stores_commit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
// stores_read waits until shared memory has been read by all but N of this thread's groups.
template <int N> DEVFN void stores_read() { asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(N) : "memory"); }
DEVFN void products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVFN void products_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int N> DEVFN void products_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory"); }
template <int N> DEVFN void more_registers() { asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N)); }
template <int N> DEVFN void fewer_registers() { asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N)); }
#define R8(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define R32(d, i) R8(d, i), R8(d, i + 8), R8(d, i + 16), R8(d, i + 24)
#define R64(d) R32(d, 0), R32(d, 32)
#define R96(d) R32(d, 0), R32(d, 32), R32(d, 64)
#define R128(d) R32(d, 0), R32(d, 32), R32(d, 64), R32(d, 96)
#define D32 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define D64 D32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define D96 D64 ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95"
#define D128 D64 ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95,%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111,%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"
#define WGMMA(n) "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32.bf16.bf16 "
// product begins to make d, or with ADD to add to it, the product of a 64 × 16 and a 16 × N matrix of shared memory. ACROSS
// says that an operand's rows are its terms.
template <int N, bool ADD, bool A_ACROSS, bool B_ACROSS> DEVFN void product(float *d, u64 a, u64 b) {
  static_assert(N == 64 || N == 128 || N == 192 || N == 256, "");
  if constexpr (N == 64) asm volatile(WGMMA(64) "{" D32 "}, %32, %33, %36, 1, 1, %34, %35;" : R32(d, 0) : "l"(a), "l"(b), "n"((int)A_ACROSS), "n"((int)B_ACROSS), "n"((int)ADD));
  if constexpr (N == 128) asm volatile(WGMMA(128) "{" D64 "}, %64, %65, %68, 1, 1, %66, %67;" : R64(d) : "l"(a), "l"(b), "n"((int)A_ACROSS), "n"((int)B_ACROSS), "n"((int)ADD));
  if constexpr (N == 192) asm volatile(WGMMA(192) "{" D96 "}, %96, %97, %100, 1, 1, %98, %99;" : R96(d) : "l"(a), "l"(b), "n"((int)A_ACROSS), "n"((int)B_ACROSS), "n"((int)ADD));
  if constexpr (N == 256) asm volatile(WGMMA(256) "{" D128 "}, %128, %129, %132, 1, 1, %130, %131;" : R128(d) : "l"(a), "l"(b), "n"((int)A_ACROSS), "n"((int)B_ACROSS), "n"((int)ADD));
}
// weighted is product where the threads hold the first operand, a as mma's.
template <int N, bool ADD, bool ACROSS> DEVFN void weighted(float *d, const u32 *a, u64 b) {
  static_assert(N == 64 || N == 128, "");
  if constexpr (N == 64) asm volatile(WGMMA(64) "{" D32 "}, {%32,%33,%34,%35}, %36, %38, 1, 1, %37;" : R32(d, 0) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"((int)ACROSS), "n"((int)ADD));
  if constexpr (N == 128) asm volatile(WGMMA(128) "{" D64 "}, {%64,%65,%66,%67}, %68, %70, 1, 1, %69;" : R64(d) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"((int)ACROSS), "n"((int)ADD));
}
// fresh keeps the compiler from holding in registers, for a whole loop, what it can make of x in a moment.
DEVFN u32 fresh(u32 x) {
  asm volatile("" : "+r"(x));
  return x;
}
// settle keeps the compiler from moving uses of accumulators across the asynchronous products.
template <int N> DEVFN void settle(float (&d)[N]) {
  static_assert(N == 32 || N == 64 || N == 96 || N == 128, "");
  if constexpr (N == 32) asm volatile("" : R32(d, 0)::"memory");
  if constexpr (N == 64) asm volatile("" : R64(d)::"memory");
  if constexpr (N == 96) asm volatile("" : R96(d)::"memory");
  if constexpr (N == 128) asm volatile("" : R128(d)::"memory");
}
#endif
#endif

// matrix_at describes a matrix in shared memory, in lines of 128 bytes that are swizzled as load_box leaves them: for rows
// along the terms, group is the distance of eight rows; for rows that are terms, panel is that of 64 columns.
DEVFN u64 matrix_at(saddr a, u32 panel, u32 group) {
  return (u64)((a & 0x3ffff) >> 4) | (u64)(panel >> 4) << 16 | (u64)(group >> 4) << 32 | 1ull << 62;
}

// Both compilers run with -ffp-contract=off: a sum is fused only where it says so, else the compiler's unrolling could
// make a row's bits depend on where in a tile it lies.
DEVFN float fused(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
DEVFN double fused(double x, double y, double z) { return __builtin_fma(x, y, z); }
DEVFN float larger(float x, float y) { return __builtin_fmaxf(x, y); } // the other one, where one is NaN
DEVFN float root(float x) { return __builtin_sqrtf(x); }
DEVFN double root(double x) { return __builtin_sqrt(x); }

template <class To, class From> DEVFN To bits_as(From v) {
  union {
    From from;
    To to;
  } x;
  x.from = v;
  return x.to;
}
#define INFINITE bits_as<float>(0x7f800000u)

struct alignas(8) Pair {
  float x, y;
};

// A storage type, the type its arithmetic is done in, and the type of its parameters (biases, norms, trained weights).
template <class S> struct Of;
template <> struct Of<float> {
  typedef double wide;
  typedef float param;
};
template <> struct Of<double> {
  typedef double wide;
  typedef double param;
};
template <> struct Of<bf16> {
  typedef float wide;
  typedef float param;
};
DEVFN float number(bf16 v) { return bits_as<float>((u32)v.bits << 16); }
DEVFN float number(float v) { return v; }
DEVFN double number(double v) { return v; }
template <class S> struct Rounded {
  template <class V> DEVFN S from(V v) { return (S)v; }
};
template <> struct Rounded<bf16> {
  template <class V> DEVFN bf16 from(V v) { return to_bf16((float)v); }
};

// Bound says which live counts hold for a call and where its faults go. live is null when all of the capacity is live.
// A fault is (call, row); the least wins, so that the same input gives the same error whatever the order of the blocks.
struct Bound {
  const int *live;
  u64 *fault;
  int call;
  int dim;
};
enum { TOKENS, SEGMENTS, READS, BEYOND = 0x7fffffff }; // live counts; the row of a fault that is none row's
DEVFN void fail(const Bound &b, int row) { atomic_min(b.fault, (u64)b.call << 32 | (u32)row); }
DEVFN int live_of(const Bound &b, int dim, int capacity) {
  int n = b.live ? b.live[dim] : -1;
  if (n > capacity) {
    if (thread() == 0 && block_x() == 0 && block_y() == 0) fail(b, BEYOND);
    return 0;
  }
  return n < 0 ? capacity : n;
}
DEVFN int rows_of(const Bound &b, int capacity) { return live_of(b, b.dim, capacity); }
// faulty: an earlier check of this run failed, so what attention's ranges say leads nowhere.
DEVFN bool faulty(const Bound &b) { return *b.fault != ~0ull; }

// each calls f for the indices below n that this thread has: EACH_THREADS threads a block, EACH indices a block.
enum { EACH_THREADS = 256, EACH = 1024 };
template <class F> DEVFN void each(u64 n, F f) {
#pragma unroll
  for (int i = 0; i < EACH / EACH_THREADS; i++) {
    u64 at = (u64)block_x() * EACH + i * EACH_THREADS + thread();
    if (at < n) f(at);
  }
}

DEVFN float shuffle_xor(float v, int mask) { return bits_as<float>(shuffle_xor_bits(bits_as<u32>(v), mask)); }
DEVFN double shuffle_xor(double v, int mask) {
  u64 u = bits_as<u64>(v);
  u64 lo = shuffle_xor_bits((u32)u, mask), hi = shuffle_xor_bits((u32)(u >> 32), mask);
  return bits_as<double>(hi << 32 | lo);
}
// block_sum gives every thread of the block the sum of v, in one order; part has room for a number a warp.
template <int WARPS, class T> DEVFN T block_sum(T v, T *part) {
  for (int m = 16; m; m >>= 1) v += shuffle_xor(v, m);
  if (thread() % 32 == 0) part[thread() / 32] = v;
  sync_block();
  T s = 0;
  for (int i = 0; i < WARPS; i++) s += part[i];
  return s;
}
