// tiles.h: what kernels with tiles of bf16 in shared memory have in common.
#pragma once
#include "gpu.h"

// aligned16 tells whether every row that begins at p, step elements apart, may be copied 16 bytes at a time.
DEVFN bool aligned16(const void *p, int step) { return (((u64)p | (u64)step * 2) & 15) == 0; }

// load_chunk begins to bring 8 elements to shared memory, of which those past `inside` are zero.
DEVFN void load_chunk(saddr to, const bf16 *from, int inside, bool aligned) {
  if (aligned) return copy16(to, from, inside * 2);
  u32 v[4];
#pragma unroll
  for (int j = 0; j < 4; j++) v[j] = (2 * j < inside ? from[2 * j].bits : 0) | (2 * j + 1 < inside ? (u32)from[2 * j + 1].bits << 16 : 0);
  store_shared16(to, v);
}

// store_pair writes two neighbours of a row, or one at its end; aligned says that pairs may be written at once.
DEVFN void store_pair(bf16 *p, u32 v, bool both, bool aligned) {
  if (both && aligned) {
    *(u32 *)p = v;
    return;
  }
  p[0].bits = (u16)v;
  if (both) p[1].bits = (u16)(v >> 16);
}
DEVFN void store2(bf16 *p, float x, float y, bool both, bool aligned) { store_pair(p, pack2(x, y), both, aligned); }

// place is where a tile of BM × BN begins. TALL rows of tiles are gone through column by column: those under way at a time
// share few rows of a product's first operand and few of its second.
enum { TALL = 16 };
struct Place {
  int m, n;
};
template <int BM, int BN> DEVFN Place place(int tile, int rows, int columns) {
  int band = tile / (TALL * columns) * TALL, inside = tile % (TALL * columns), tall = rows - band < TALL ? rows - band : TALL;
  return {(band + inside % tall) * BM, inside / tall * BN};
}
