// products.cu: matrix products in f32 and f64 without tensor cores: c[m,n] = Σ_k a(m,k)·b(k,n) (+ bias[n]), a(m,k) =
// a[m·am + k·ak] and b(k,n) = b[k·bk + n·bn]. Every element is summed in one accumulator, from the first term to the last.
#include "gpu.h"

// A block makes TILE × TILE elements, DEPTH terms at a time; a thread makes 4 × 4.
enum { TILE = 64, DEPTH = 16, THREADS = 256 };

// load brings terms k0.. of rows r0.. of an operand to shared memory [DEPTH][TILE+1]; what lies outside is zero.
template <class T, class S> DEVFN void load(T *to, const S *from, int r0, int rows, u64 row_step, int k0, int terms, u64 term_step) {
  for (int i = thread(); i < TILE * DEPTH; i += THREADS) {
    int r = term_step == 1 ? i / DEPTH : i % TILE, k = term_step == 1 ? i % DEPTH : i / TILE; // along the memory
    bool inside = r0 + r < rows && k0 + k < terms;
    to[k * (TILE + 1) + r] = inside ? (T)number(from[(r0 + r) * row_step + (k0 + k) * term_step]) : 0;
  }
}

template <class T, class W>
DEVFN void product(T *c, const T *a, const W *b, const T *bias, Bound bound, int m, int n, int k, int live_terms, u64 am, u64 ak, u64 bk, u64 bn) {
  DYNAMIC_SHARED(memory);
  T *as = (T *)memory, *bs = as + DEPTH * (TILE + 1);
  if (live_terms) k = rows_of(bound, k);
  else m = rows_of(bound, m);
  int m0 = block_y() * TILE, n0 = block_x() * TILE;
  if (m0 >= m) return;
  int row = thread() / 16, column = thread() % 16;
  T sum[4][4];
#pragma unroll
  for (int i = 0; i < 4; i++)
#pragma unroll
    for (int j = 0; j < 4; j++) sum[i][j] = 0;
  for (int k0 = 0; k0 < k; k0 += DEPTH) {
    load(as, a, m0, m, am, k0, k, ak);
    load(bs, b, n0, n, bn, k0, k, bk);
    sync_block();
#pragma unroll
    for (int l = 0; l < DEPTH; l++) {
      T x[4], y[4];
#pragma unroll
      for (int i = 0; i < 4; i++) x[i] = as[l * (TILE + 1) + row + 16 * i], y[i] = bs[l * (TILE + 1) + column + 16 * i];
#pragma unroll
      for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) sum[i][j] = fused(x[i], y[j], sum[i][j]);
    }
    sync_block();
  }
#pragma unroll
  for (int i = 0; i < 4; i++)
#pragma unroll
    for (int j = 0; j < 4; j++) {
      int r = m0 + row + 16 * i, s = n0 + column + 16 * j;
      if (r < m && s < n) c[(u64)r * n + s] = bias ? sum[i][j] + bias[s] : sum[i][j];
    }
}
#define DEFINE(suffix, T, W) \
  KERNEL(THREADS, 1) product_##suffix(T *c, const T *a, const W *b, const T *bias, Bound bound, int m, int n, int k, int live_terms, u64 am, u64 ak, u64 bk, u64 bn) { product(c, a, b, bias, bound, m, n, k, live_terms, am, ak, bk, bn); } \
  EXPORT(product_##suffix)
DEFINE(f32_f32, float, float)
DEFINE(f32_bf16, float, bf16)
DEFINE(f64_f64, double, double)
DEFINE(f64_bf16, double, bf16)
