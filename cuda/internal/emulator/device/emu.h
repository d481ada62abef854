// emu.h: the CPU's side of gpu.h. A CUDA thread is a fiber; what a warp or a block does together is a place where fibers
// meet. Asynchronous copies happen at once ("early") or only when the program's own waits force them ("late").
#pragma once
#include <cmath>
#include <cstddef>
#include <cstring>
#include <utility>
#include <vector>

#define DEVFN static inline
#define KERNEL(threads, blocks) extern "C" void
#define PAIRED_KERNEL(threads, blocks) KERNEL(threads, blocks)
#define EXPORT(name) static emu::Entry entry_##name(#name, name);
// What emulates an instruction is not the kernel's own access to memory, which races.h is told of.
#define UNTRACED __attribute__((no_sanitize("thread")))
#define DYNAMIC_SHARED(name) unsigned char *name = emu::shared()
typedef u32 saddr;

namespace emu {

struct Place { // of the thread that runs
  int thread, x, y;
  int rank, index; // its block's in the cluster, and its own among all threads of the cluster
};
extern __thread Place *here __attribute__((tls_model("initial-exec")));

// Entry registers a kernel under its name, with the sizes of its parameters.
struct Entry {
  void (*call)(void *kernel, void **params);
  void *kernel;
  std::vector<size_t> sizes;
  template <class... A> Entry(const char *name, void (*f)(A...)) : call(invoke<A...>), kernel((void *)f), sizes{sizeof(A)...} { add(name); }

private:
  void add(const char *name);
  template <class T> static T value(void *p) { // the caller may not have aligned it
    T v;
    memcpy(&v, p, sizeof v);
    return v;
  }
  template <class... A, size_t... I> static void spread(void (*f)(A...), void **p, std::index_sequence<I...>) { f(value<A>(p[I])...); }
  template <class... A> static void invoke(void *f, void **p) { spread((void (*)(A...))f, p, std::index_sequence_for<A...>{}); }
};

unsigned char *shared();
unsigned char *at(saddr a, size_t bytes, size_t alignment); // checked
void reads(int thread, saddr a, size_t bytes);              // noted by races.h
void store16(saddr to, const u32 *v);
saddr address(const void *p);
// warp_meet waits for the 32 threads of the warp; the last one calls `last` on what each brought.
void warp_meet(const char *what, void *mine, void (*last)(void **all));
void warp_sync(); // and orders what its threads did to memory
void block_meet();
void cluster_meet(); // all threads of the cluster's blocks
void copy(saddr to, const void *from, int bytes);
void copy_commit();
void copy_wait(int n);
void conflict_free(const saddr *rows); // of the eight rows of a matrix
void conflict(saddr one, saddr other); // ends the kernel

// Map is what the stand-in driver puts in a TensorMap: rows of `columns` numbers, `pitch` bytes apart, and the box.
struct Map {
  u64 magic, base, columns, rows, pitch;
  u32 box_rows, element; // a row of the box has 128 bytes; element: bytes of a number
};
static const u64 map_magic = 0x70616d726f736e65;
void barrier_init(saddr b, u32 count);
void barrier_arrive(saddr b, u32 bytes);
void barrier_arrive_at(saddr b, u32 rank);
void barrier_wait(saddr b, u32 parity);
void load_box(saddr to, const void *map, int x, int y, saddr barrier);
void share_box(saddr to, const void *map, int x, int y, saddr barrier, u32 mask);
void store_box(const void *map, int x, int y, saddr from);
void stores_commit();
void stores_read(int n);
void publish_shared();
void wrote(int thread, saddr a, size_t bytes); // noted by races.h
// A Multiply is a warpgroup's product of 64 × 16 and 16 × n: what each thread brings to it.
struct Multiply {
  float *d;
  const u32 *held; // the thread's part of the first operand, if that is not in shared memory
  u64 a, b;
  int n, add, a_across, b_across;
};
void group_product(Multiply m);
void group_begin();
void group_commit();
void group_wait(int n);

static inline float wide(u16 v) {
  u32 u = (u32)v << 16;
  float f;
  memcpy(&f, &u, 4);
  return f;
}
static inline u16 narrow(float f) { // to nearest, ties to even
  u32 u;
  memcpy(&u, &f, 4);
  if ((u & 0x7fffffff) > 0x7f800000) return 0x7fff;
  return (u + 0x7fff + (u >> 16 & 1)) >> 16;
}

struct Shuffle {
  u32 v;
  int mask;
  u32 result;
};
UNTRACED static inline void shuffle(void **all) {
  for (int l = 0; l < 32; l++) ((Shuffle *)all[l])->result = ((Shuffle *)all[l ^ ((Shuffle *)all[l])->mask])->v;
}

struct Matrices {
  u32 *r;
  saddr a;
};
template <bool TRANSPOSED> UNTRACED void matrices(void **all) {
  for (int m = 0; m < 4; m++) {
    u16 v[8][8];
    saddr rows[8];
    for (int i = 0; i < 8; i++) {
      rows[i] = ((Matrices *)all[m * 8 + i])->a;
      reads(here->index / 32 * 32 + m * 8 + i, rows[i], 16);
      memcpy(v[i], at(rows[i], 16, 16), 16);
    }
    conflict_free(rows);
    for (int l = 0; l < 32; l++) {
      int row = l / 4, column = l % 4 * 2;
      u32 lo = TRANSPOSED ? v[column][row] : v[row][column], hi = TRANSPOSED ? v[column + 1][row] : v[row][column + 1];
      ((Matrices *)all[l])->r[m] = lo | hi << 16;
    }
  }
}

UNTRACED static inline void put_matrices(void **all) {
  for (int m = 0; m < 4; m++) {
    saddr rows[8];
    for (int i = 0; i < 8; i++) {
      rows[i] = ((Matrices *)all[m * 8 + i])->a;
      u32 v[4];
      for (int t = 0; t < 4; t++) v[t] = ((Matrices *)all[i * 4 + t])->r[m];
      memcpy(at(rows[i], 16, 16), v, 16);
      wrote(here->index / 32 * 32 + m * 8 + i, rows[i], 16);
    }
    conflict_free(rows);
  }
}
struct Eight {
  saddr to;
  float v[2];
};
UNTRACED static inline void put_eights(void **all) { // half a warp at a time, whose 128 bytes lie in as many banks
  for (int l = 0; l < 32; l++) {
    Eight *e = (Eight *)all[l];
    for (int o = l / 16 * 16; o < l; o++)
      if (((Eight *)all[o])->to / 8 % 16 == e->to / 8 % 16) conflict(((Eight *)all[o])->to, e->to);
    memcpy(at(e->to, 8, 8), e->v, 8);
    wrote(here->index / 32 * 32 + l, e->to, 8);
  }
}

// Fragments of mma.sync.m16n8k16, as the PTX manual's figures lay them out.
struct Product {
  float *d;
  const u32 *a, *b;
};
UNTRACED static inline void multiply(void **all) {
  float a[16][16], b[16][8], sum[16][8] = {}; // b: by term, so that the compiler makes eight columns at once
  for (int l = 0; l < 32; l++) {
    Product *p = (Product *)all[l];
    int g = l / 4, t = l % 4 * 2;
    for (int h = 0; h < 2; h++) {
      a[g][t + h] = wide(p->a[0] >> 16 * h), a[g + 8][t + h] = wide(p->a[1] >> 16 * h);
      a[g][t + 8 + h] = wide(p->a[2] >> 16 * h), a[g + 8][t + 8 + h] = wide(p->a[3] >> 16 * h);
      b[t + h][g] = wide(p->b[0] >> 16 * h), b[t + 8 + h][g] = wide(p->b[1] >> 16 * h);
    }
  }
  for (int r = 0; r < 16; r++)
    for (int k = 0; k < 16; k++)
      for (int c = 0; c < 8; c++) sum[r][c] += a[r][k] * b[k][c];
  for (int l = 0; l < 32; l++)
    for (int i = 0; i < 4; i++) ((Product *)all[l])->d[i] += sum[l / 4 + i / 2 * 8][l % 4 * 2 + i % 2];
}

} // namespace emu

DEVFN int thread() { return emu::here->thread; }
DEVFN int block_x() { return emu::here->x; }
DEVFN int block_y() { return emu::here->y; }
DEVFN void sync_block() { emu::block_meet(); }
DEVFN void sync_warp() { emu::warp_sync(); }
DEVFN saddr shared_address(const void *p) { return emu::address(p); }
DEVFN u32 shuffle_xor_bits(u32 v, int mask) {
  emu::Shuffle s{v, mask, 0};
  emu::warp_meet("shuffle", &s, emu::shuffle);
  return s.result;
}
UNTRACED DEVFN void atomic_min(u64 *at, u64 v) {
  u64 old = __atomic_load_n(at, __ATOMIC_RELAXED);
  while (v < old && !__atomic_compare_exchange_n(at, &old, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
}
DEVFN float flushed(float x) { return std::fabs(x) < 0x1p-126f ? std::copysign(0.0f, x) : x; } // .ftz
DEVFN float exp2_fast(float x) { return flushed(exp2f(flushed(x))); }
DEVFN float log2_fast(float x) { return log2f(flushed(x)); }
DEVFN float reciprocal(float x) {
  float r = flushed(1 / x);
  return fmaf(r, -fmaf(x, r, -1), r);
}
DEVFN u32 pack2(float lo, float hi) { return emu::narrow(lo) | (u32)emu::narrow(hi) << 16; }
DEVFN bf16 to_bf16(float v) { return {emu::narrow(v)}; }
DEVFN void copy16(saddr to, const void *from, int bytes) { emu::copy(to, from, bytes); }
DEVFN void copy_commit() { emu::copy_commit(); }
template <int N> DEVFN void copy_wait() { emu::copy_wait(N); }
DEVFN void store_shared16(saddr to, const u32 *v) { emu::store16(to, v); }
DEVFN void load_matrices(u32 *r, saddr a) {
  emu::Matrices m{r, a};
  emu::warp_meet("ldmatrix", &m, emu::matrices<false>);
}
DEVFN void load_matrices_transposed(u32 *r, saddr a) {
  emu::Matrices m{r, a};
  emu::warp_meet("ldmatrix.trans", &m, emu::matrices<true>);
}
struct alignas(64) TensorMap {
  u64 opaque[16];
};
struct Brought {
  TensorMap box, line;
};
#define PARAM_AT(kernel, index, name) (&(name))
DEVFN void barrier_init(saddr b, u32 count) { emu::barrier_init(b, count); }
DEVFN void barrier_publish() {}
DEVFN void barrier_expect(saddr b, u32 bytes) { emu::barrier_arrive(b, bytes); }
DEVFN void barrier_arrive(saddr b) { emu::barrier_arrive(b, 0); }
DEVFN void barrier_wait(saddr b, u32 parity) { emu::barrier_wait(b, parity); }
DEVFN void sync_cluster() { emu::cluster_meet(); }
DEVFN void barrier_arrive_at(saddr b, u32 rank) { emu::barrier_arrive_at(b, rank); }
DEVFN void barrier_wait_cluster(saddr b, u32 parity) { emu::barrier_wait(b, parity); }
DEVFN void load_box(saddr to, const TensorMap *m, int x, int y, saddr barrier) { emu::load_box(to, m, x, y, barrier); }
DEVFN void share_box(saddr to, const TensorMap *m, int x, int y, saddr barrier, u32 mask) { emu::share_box(to, m, x, y, barrier, mask); }
DEVFN void store_matrices(saddr a, const u32 *r) {
  emu::Matrices m{(u32 *)r, a};
  emu::warp_meet("stmatrix", &m, emu::put_matrices);
}
DEVFN void store_shared8(saddr to, float x, float y) {
  emu::Eight e{to, {x, y}};
  emu::warp_meet("st.shared.v2", &e, emu::put_eights);
}
DEVFN void publish_shared() { emu::publish_shared(); }
DEVFN void store_box(const TensorMap *m, int x, int y, saddr from) { emu::store_box(m, x, y, from); }
DEVFN void stores_commit() { emu::stores_commit(); }
template <int N> DEVFN void stores_read() { emu::stores_read(N); }
DEVFN void products_begin() { emu::group_begin(); }
DEVFN void products_commit() { emu::group_commit(); }
template <int N> DEVFN void products_wait() { emu::group_wait(N); }
template <int N> DEVFN void more_registers() {}
template <int N> DEVFN void fewer_registers() {}
template <int N, bool ADD, bool A_ACROSS, bool B_ACROSS> DEVFN void product(float *d, u64 a, u64 b) { emu::group_product({d, nullptr, a, b, N, ADD, A_ACROSS, B_ACROSS}); }
template <int N, bool ADD, bool ACROSS> DEVFN void weighted(float *d, const u32 *a, u64 b) { emu::group_product({d, a, 0, b, N, ADD, false, ACROSS}); }
DEVFN u32 fresh(u32 x) { return x; }
template <int N> DEVFN void settle(float (&)[N]) {}
DEVFN void mma(float *d, const u32 *a, const u32 *b) {
  emu::Product p{d, a, b};
  emu::warp_meet("mma", &p, emu::multiply);
}
