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

// store2 writes two neighbours of a row, or one at its end; aligned says that pairs may be written at once.
DEVFN void store2(float *c, float x, float y, bool both, bool aligned) {
  c[0] = x;
  if (both) c[1] = y;
}
DEVFN void store2(bf16 *c, float x, float y, bool both, bool aligned) {
  u32 v = pack2(x, y);
  if (both && aligned) {
    *(u32 *)c = v;
    return;
  }
  c[0].bits = (u16)v;
  if (both) c[1].bits = (u16)(v >> 16);
}
