// conform_sm90.cu: the same for what only Hopper has.
#define SM90 1
#include "tiles.h"

// Two warps hand a number to and fro through barriers' phases.
KERNEL(64, 1) conform_mbarrier(u32 *out, const u32 *in) {
  DYNAMIC_SHARED(memory);
  u32 *x = (u32 *)(memory + 64);
  saddr there = shared_address(memory), back = there + 8;
  if (thread() == 0) {
    barrier_init(there, 32);
    barrier_init(back, 32);
    barrier_publish();
  }
  sync_block();
  int lane = thread() % 32;
  for (int i = 0; i < 5; i++) {
    if (thread() < 32) {
      barrier_wait(back, (i & 1) ^ 1);
      x[lane] = in[lane] + i;
      barrier_arrive(there);
    } else {
      barrier_wait(there, i & 1);
      out[i * 32 + lane] = x[31 - lane];
      barrier_arrive(back);
    }
  }
}
EXPORT(conform_mbarrier)

// A box as the copy engine leaves it in shared memory: swizzled, zeros outside.
KERNEL(64, 1) conform_box(u32 *out, const u32 *in, TensorMap m) {
  DYNAMIC_SHARED(memory);
  saddr at = shared_address(memory), ready = at + 2 * 64 * 128;
  if (thread() == 0) {
    barrier_init(ready, 1);
    barrier_publish();
  }
  sync_block();
  if (thread() == 0) {
    barrier_expect(ready, 2 * 64 * 128);
    load_box(at, PARAM_AT(conform_box, 2, m), 16, -3, ready);
    load_box(at + 64 * 128, PARAM_AT(conform_box, 2, m), 48, 40, ready);
  }
  barrier_wait(ready, 0);
  for (int i = thread(); i < 2 * 64 * 32; i += 64) out[i] = ((u32 *)memory)[i];
}
EXPORT(conform_box)

// A warpgroup's products of 64 × 64 and 64 × 256, brought by the copy engine: what each thread has of them. 384 threads, as
// the kernels have them, so that registers change hands as there.
template <bool ALONG> DEVFN void multiplied(u32 *out, const TensorMap *a, const TensorMap *b, unsigned char *memory) {
  enum { A_BYTES = 64 * 128, B_BYTES = 256 * 128, PANEL = 64 * 128 };
  saddr at = shared_address(memory), ready = at + A_BYTES + B_BYTES;
  if (thread() == 0) {
    barrier_init(ready, 1);
    barrier_publish();
  }
  sync_block();
  if (thread() >= 128) {
    fewer_registers<40>();
    if (thread() == 256) {
      barrier_expect(ready, A_BYTES + B_BYTES);
      load_box(at, a, 0, 0, ready);
      for (int p = 0; p < 4; p++)
        if (ALONG) load_box(at + A_BYTES + p * PANEL, b, 0, p * 64, ready);
        else load_box(at + A_BYTES + p * PANEL, b, p * 64, 0, ready);
    }
    return;
  }
  more_registers<232>();
  float sum[128];
#pragma unroll
  for (int i = 0; i < 128; i++) sum[i] = 0;
  barrier_wait(ready, 0);
  settle(sum);
  products_begin();
#pragma unroll
  for (int kk = 0; kk < 4; kk++)
    product<256, true, false, !ALONG>(sum, matrix_at(at + kk * 32, 16, 1024), ALONG ? matrix_at(at + A_BYTES + kk * 32, 16, 1024) : matrix_at(at + A_BYTES + kk * 2048, PANEL, 1024));
  products_commit();
  products_wait<0>();
  settle(sum);
#pragma unroll
  for (int i = 0; i < 128; i++) out[thread() * 128 + i] = bits_as<u32>(sum[i]);
}
KERNEL(384, 1) conform_product_along(u32 *out, const u32 *in, TensorMap a, TensorMap b) {
  DYNAMIC_SHARED(memory);
  multiplied<true>(out, PARAM_AT(conform_product_along, 2, a), PARAM_AT(conform_product_along, 3, b), memory);
}
EXPORT(conform_product_along)
KERNEL(384, 1) conform_product_across(u32 *out, const u32 *in, TensorMap a, TensorMap b) {
  DYNAMIC_SHARED(memory);
  multiplied<false>(out, PARAM_AT(conform_product_across, 2, a), PARAM_AT(conform_product_across, 3, b), memory);
}
EXPORT(conform_product_across)
