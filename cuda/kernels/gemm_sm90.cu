// gemm_sm90.cu: linear and linear_dx on Hopper: a warpgroup brings tiles with the copy engine through a ring of stages, two
// multiply them with wgmma. Terms are added 16 at a time, from the first to the last. Rows past the live ones are multiplied
// too and not written; what lies outside of a matrix arrives as zeros.
#define SM90 1
#include "tiles.h"

enum { BM = 128, BN = 256, DEPTH = 64, STAGES = 4, A_BYTES = BM * DEPTH * 2, B_BYTES = BN * DEPTH * 2, STAGE = A_BYTES + B_BYTES, PANEL = DEPTH * 128 };

// B_ALONG: the rows of b are n, and lie along the terms; else they are the terms, and a tile is four panels of 64 columns.
template <bool B_ALONG> DEVFN void gemm(bf16 *c, const TensorMap *a, const TensorMap *b, const float *bias, Bound bound, int m, int n, int k) {
  DYNAMIC_SHARED(memory);
  saddr base = shared_address(memory), full = base + STAGES * STAGE, empty = full + STAGES * 8;
  m = rows_of(bound, m);
  int group = thread() / 128, stages = (k + DEPTH - 1) / DEPTH, m0 = block_y() * BM, n0 = block_x() * BN;
  if (m0 >= m) return;
  if (thread() == 0) {
    for (int i = 0; i < STAGES; i++) {
      barrier_init(full + i * 8, 1);
      barrier_init(empty + i * 8, 2);
    }
    barrier_publish();
  }
  sync_block();
  if (group == 0) {
    fewer_registers<40>();
    if (thread() == 0)
      for (int s = 0; s < stages; s++) {
        saddr at = base + s % STAGES * STAGE, ready = full + s % STAGES * 8;
        barrier_wait(empty + s % STAGES * 8, (s / STAGES & 1) ^ 1); // at first there is nothing to wait for
        barrier_expect(ready, STAGE);
        load_box(at, a, s * DEPTH, m0, ready);
        if (B_ALONG) load_box(at + A_BYTES, b, s * DEPTH, n0, ready);
        else
          for (int p = 0; p < BN / 64; p++) load_box(at + A_BYTES + p * PANEL, b, n0 + p * 64, s * DEPTH, ready);
      }
    return;
  }
  more_registers<232>();
  float sum[BN / 2];
#pragma unroll
  for (int i = 0; i < BN / 2; i++) sum[i] = 0;
  for (int s = 0; s < stages; s++) {
    barrier_wait(full + s % STAGES * 8, s / STAGES & 1);
    saddr at = base + s % STAGES * STAGE;
    settle(sum);
    products_begin();
#pragma unroll
    for (int kk = 0; kk < DEPTH / 16; kk++)
      product_64x256<B_ALONG ? 0 : 1>(sum, matrix_at(at + (group - 1) * 64 * 128 + kk * 32, 16, 1024),
                                      B_ALONG ? matrix_at(at + A_BYTES + kk * 32, 16, 1024) : matrix_at(at + A_BYTES + kk * 2048, PANEL, 1024));
    products_commit();
    products_wait<1>(); // the stage before is free, this one's products are under way
    if (s > 0 && thread() % 128 == 0) barrier_arrive(empty + (s - 1) % STAGES * 8);
  }
  products_wait<0>();
  settle(sum);
  int lane = thread() % 32, row = m0 + (group - 1) * 64 + thread() % 128 / 32 * 16 + lane / 4;
  bool aligned = n % 2 == 0 && ((u64)c & 3) == 0;
#pragma unroll
  for (int j = 0; j < BN / 8; j++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      int r = row + half * 8, s = n0 + j * 8 + lane % 4 * 2;
      if (r >= m || s >= n) continue;
      bool both = s + 1 < n;
      float x = sum[j * 4 + half * 2], y = sum[j * 4 + half * 2 + 1];
      if (bias) x += bias[s], y += both ? bias[s + 1] : 0;
      store2(c + (u64)r * n + s, x, y, both, aligned);
    }
}
KERNEL(384, 1) gemm_nt_hopper(bf16 *c, TensorMap a, TensorMap b, const float *bias, Bound bound, int m, int n, int k) {
  gemm<true>(c, PARAM_MAP(gemm_nt_hopper, 1, a), PARAM_MAP(gemm_nt_hopper, 2, b), bias, bound, m, n, k);
}
EXPORT(gemm_nt_hopper)
KERNEL(384, 1) gemm_nn_hopper(bf16 *c, TensorMap a, TensorMap b, const float *bias, Bound bound, int m, int n, int k) {
  gemm<false>(c, PARAM_MAP(gemm_nn_hopper, 1, a), PARAM_MAP(gemm_nn_hopper, 2, b), bias, bound, m, n, k);
}
EXPORT(gemm_nn_hopper)
