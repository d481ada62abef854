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
#define EXPORT(name)
#define DYNAMIC_SHARED(name) extern __attribute__((shared)) __attribute__((aligned(1024))) unsigned char name[]
typedef u32 saddr; // a shared-memory address
DEVFN saddr shared_address(const void *p) { return (u32)(u64)(__attribute__((address_space(3))) const void *)p; }
DEVFN int thread() { return __nvvm_read_ptx_sreg_tid_x(); }
DEVFN int block_x() { return __nvvm_read_ptx_sreg_ctaid_x(); }
DEVFN int block_y() { return __nvvm_read_ptx_sreg_ctaid_y(); }
DEVFN void sync_block() { __syncthreads(); }
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
#endif

// Both compilers run with -ffp-contract=off: a sum is fused only where it says so, else the compiler's unrolling could
// make a row's bits depend on where in a tile it lies.
DEVFN float fused(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
DEVFN double fused(double x, double y, double z) { return __builtin_fma(x, y, z); }
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
