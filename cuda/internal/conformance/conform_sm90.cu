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
      x[32 + lane] = x[31 - lane];
      sync_warp();
      out[i * 32 + lane] = x[32 + (lane ^ 1)];
      sync_warp();
      barrier_arrive(back);
    }
  }
}
EXPORT(conform_mbarrier)

// Two blocks of a cluster hand numbers to and fro through global memory: each arrives at the other's barrier.
PAIRED_KERNEL(128, 1) conform_cluster(u32 *out, const u32 *in) {
  DYNAMIC_SHARED(memory);
  saddr told = shared_address(memory);
  if (thread() == 0) {
    barrier_init(told, 128);
    barrier_publish();
  }
  sync_cluster();
  u32 *there = out + block_x() / 2 * 5 * 256, *back = there + 128;
  for (int i = 0; i < 5; i++, there += 256, back += 256) {
    if (block_x() % 2 == 0) {
      barrier_wait_cluster(told, (i & 1) ^ 1);
      there[thread()] = in[thread()] + (i ? back[-256 + 127 - thread()] : block_x());
      barrier_arrive_at(told, 1);
    } else {
      barrier_wait_cluster(told, i & 1);
      back[thread()] = there[127 - thread()] ^ i << 8;
      barrier_arrive_at(told, 0);
    }
  }
  sync_cluster();
}
EXPORT(conform_cluster)

// Boxes that the blocks of a cluster bring: one of each for both of them, and one of each for the other.
PAIRED_KERNEL(128, 1) conform_share_box(u32 *out, const u32 *in, TensorMap m) {
  DYNAMIC_SHARED(memory);
  enum { BOX = 64 * 128 };
  const TensorMap *map = PARAM_AT(conform_share_box, 2, m);
  saddr at = shared_address(memory), ready = at + 3 * BOX;
  int rank = block_x() % 2;
  if (thread() == 0) {
    barrier_init(ready, 1);
    barrier_publish();
  }
  sync_cluster();
  if (thread() == 0) {
    barrier_expect(ready, 3 * BOX);
    share_box(at + rank * BOX, map, 16 + 32 * rank, -3 + 43 * rank, ready, 3);
    share_box(at + 2 * BOX, map, 32, 5 + 20 * rank, ready, 1 << (rank ^ 1));
  }
  barrier_wait(ready, 0);
  for (int i = thread(); i < 3 * BOX / 4; i += 128) out[block_x() * 3 * BOX / 4 + i] = ((u32 *)memory)[i];
  sync_cluster();
}
EXPORT(conform_share_box)

// Two boxes of 64 columns from the columns and rows on, as the copy engine leaves them in shared memory: swizzled, zeros outside.
DEVFN void boxes(u32 *out, const TensorMap *m, unsigned char *memory, int column0, int row0, int column1, int row1) {
  saddr at = shared_address(memory), ready = at + 2 * 64 * 128;
  if (thread() == 0) {
    barrier_init(ready, 1);
    barrier_publish();
  }
  sync_block();
  if (thread() == 0) {
    barrier_expect(ready, 2 * 64 * 128);
    load_box(at, m, column0, row0, ready);
    load_box(at + 64 * 128, m, column1, row1, ready);
  }
  barrier_wait(ready, 0);
  for (int i = thread(); i < 2 * 64 * 32; i += 64) out[i] = ((u32 *)memory)[i];
}
KERNEL(64, 1) conform_box(u32 *out, const u32 *in, TensorMap m) {
  DYNAMIC_SHARED(memory);
  boxes(out, PARAM_AT(conform_box, 2, m), memory, 16, -3, 48, 40);
}
EXPORT(conform_box)

// Of a matrix that has 16 columns: zeros beyond them, and the full count of bytes.
KERNEL(64, 1) conform_box_narrow(u32 *out, const u32 *in, TensorMap m) {
  DYNAMIC_SHARED(memory);
  boxes(out, PARAM_AT(conform_box_narrow, 2, m), memory, 0, 0, 0, 30);
}
EXPORT(conform_box_narrow)

// Boxes of one row, one after the other, as a tail of live rows comes: swizzled as the rows of one box would be; rows of −1 are zeros.
KERNEL(32, 1) conform_lines(u32 *out, const u32 *in, TensorMap m) {
  DYNAMIC_SHARED(memory);
  saddr at = shared_address(memory), ready = at + 32 * 128;
  if (thread() == 0) {
    barrier_init(ready, 1);
    barrier_publish();
    barrier_expect(ready, 32 * 128);
  }
  sync_block();
  load_box(at + thread() * 128, PARAM_AT(conform_lines, 2, m), 32, thread() % 5 == 4 ? -1 : thread() * 3 % 50, ready);
  barrier_wait(ready, 0);
  for (int i = thread(); i < 32 * 32; i += 32) out[i] = ((u32 *)memory)[i];
}
EXPORT(conform_lines)

// Four matrices of 8 × 8 from registers, in rows of 64 bytes that are swizzled so that no two of a matrix share a bank.
KERNEL(32, 1) conform_store_matrices(u32 *out, const u32 *in) {
  DYNAMIC_SHARED(memory);
  int lane = thread(), row = lane % 8;
  u32 r[4];
  for (int i = 0; i < 4; i++) r[i] = in[i * 32 + lane];
  store_matrices(shared_address(memory) + row * 64 + (lane / 8 ^ row / 2 % 4) * 16, r);
  sync_warp();
  for (int i = lane; i < 128; i += 32) out[i] = ((u32 *)memory)[i];
}
EXPORT(conform_store_matrices)

// Boxes of 16 rows into a matrix that ends within some of them and before others, through two places that are filled anew as soon as
// they have been read; of f32 with the stores of 8 bytes that gradients take.
template <bool SINGLE> DEVFN void stored(const u32 *in, const TensorMap *m, unsigned char *memory) {
  saddr at = shared_address(memory);
  int lane = thread();
  for (int i = 0; i < 6; i++) {
    saddr box = at + i % 2 * 2048;
    if (lane == 0) stores_read<1>();
    sync_warp();
    for (int r = 0; r < 16; r += 8)
      for (int j = 0; j < 4; j++) {
        const u32 *v = in + ((i * 2 + r / 8) * 4 + j) * 64 + lane * 2;
        if (SINGLE) store_shared8(box + (r + lane / 4) * 128 + ((j * 2 + lane % 4 / 2 ^ lane / 4 ^ (lane & 4)) << 4) + lane % 2 * 8, bits_as<float>(v[0]), bits_as<float>(v[1]));
        else {
          u32 held[4] = {v[0], v[1], v[0] ^ v[1], ~v[0]};
          if (j % 2 == 0) store_matrices(box + (r + lane % 8) * 128 + ((j / 2 * 4 + lane / 8 ^ lane % 8) << 4), held);
        }
      }
    publish_shared();
    sync_warp();
    if (lane == 0) {
      store_box(m, i % 3 * (SINGLE ? 32 : 64), i / 3 * 16 + i % 2 * 8, box);
      stores_commit();
    }
  }
  if (lane == 0) stores_read<0>();
}
KERNEL(32, 1) conform_store_box(u32 *out, const u32 *in, TensorMap m) {
  DYNAMIC_SHARED(memory);
  stored<false>(in, PARAM_AT(conform_store_box, 2, m), memory);
}
EXPORT(conform_store_box)
KERNEL(32, 1) conform_store_box_f32(u32 *out, const u32 *in, TensorMap m) {
  DYNAMIC_SHARED(memory);
  stored<true>(in, PARAM_AT(conform_store_box_f32, 2, m), memory);
}
EXPORT(conform_store_box_f32)

// A warpgroup's product of 64 × 64 and 64 × N, brought by the copy engine, an operand's rows its terms where ACROSS says so, or
// the first one HELD by the threads: what each thread has of it. 384 threads, as the kernels have them, so that registers
// change hands as there.
template <int N, bool A_ACROSS, bool B_ACROSS, bool HELD> DEVFN void multiplied(u32 *out, const u32 *in, const TensorMap *a, const TensorMap *b, unsigned char *memory) {
  enum { PANEL = 64 * 128, A_BYTES = PANEL, B_BYTES = N * 128 };
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
      for (int p = 0; p < N / 64; p++)
        if (B_ACROSS) load_box(at + A_BYTES + p * PANEL, b, p * 64, 0, ready);
        else load_box(at + A_BYTES + p * PANEL, b, 0, p * 64, ready);
    }
    return;
  }
  more_registers<232>();
  float sum[N / 2];
#pragma unroll
  for (int i = 0; i < N / 2; i++) sum[i] = 0;
  u32 held[16];
#pragma unroll
  for (int i = 0; i < 16; i++) held[i] = fresh(in[thread() * 16 + i]);
  barrier_wait(ready, 0);
  settle(sum);
  products_begin();
#pragma unroll
  for (int kk = 0; kk < 4; kk++) {
    u64 x = A_ACROSS ? matrix_at(at + kk * 2048, PANEL, 1024) : matrix_at(at + kk * 32, 16, 1024);
    u64 y = B_ACROSS ? matrix_at(at + A_BYTES + kk * 2048, PANEL, 1024) : matrix_at(at + A_BYTES + kk * 32, 16, 1024);
    if constexpr (HELD) weighted<N, true, B_ACROSS>(sum, held + kk * 4, y);
    else product<N, true, A_ACROSS, B_ACROSS>(sum, x, y);
  }
  products_commit();
  products_wait<0>();
  settle(sum);
#pragma unroll
  for (int i = 0; i < N / 2; i++) out[thread() * (N / 2) + i] = bits_as<u32>(sum[i]);
}
#define MULTIPLIED(name, N, A_ACROSS, B_ACROSS, HELD) \
  KERNEL(384, 1) name(u32 *out, const u32 *in, TensorMap a, TensorMap b) { \
    DYNAMIC_SHARED(memory); \
    multiplied<N, A_ACROSS, B_ACROSS, HELD>(out, in, PARAM_AT(name, 2, a), PARAM_AT(name, 3, b), memory); \
  } \
  EXPORT(name)
MULTIPLIED(conform_product_along, 256, false, false, false)
MULTIPLIED(conform_product_across, 256, false, true, false)
MULTIPLIED(conform_product_192, 192, false, true, false)
MULTIPLIED(conform_product_128, 128, true, false, false)
MULTIPLIED(conform_product_64, 64, true, true, false)
MULTIPLIED(conform_weighted_128, 128, false, true, true)
MULTIPLIED(conform_weighted_64, 64, false, true, true)
MULTIPLIED(conform_weighted_along, 64, false, false, true)
