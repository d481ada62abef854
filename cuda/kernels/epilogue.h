// epilogue.h: what becomes of a product's elements before they are written.
#pragma once
#include "functions.h"
#include "tiles.h"

// An Epilogue: the bias of its column is added, and the rounded result times factor to the addend, which has the product's
// shape and may be where the result goes.
struct Epilogue {
  const float *bias;  // null: none
  const bf16 *addend; // null: none
  float factor;
};

// pairs tells whether neighbours may be read and written at once, in rows of so many columns.
DEVFN bool pairs(const bf16 *c, const bf16 *addend, int columns) { return columns % 2 == 0 && (((u64)c | (u64)addend) & 3) == 0; }
DEVFN bool pairs(const float *c, const bf16 *, int columns) { return columns % 2 == 0 && ((u64)c & 7) == 0; }
DEVFN u32 load_pair(const bf16 *p, bool both, bool aligned) {
  if (both && aligned) return *(const u32 *)p;
  return p[0].bits | (both ? (u32)p[1].bits << 16 : 0);
}
DEVFN float low(u32 pair) { return bits_as<float>(pair << 16); }
DEVFN float high(u32 pair) { return bits_as<float>(pair & 0xffff0000u); }

// finish writes to c + at the elements x and y of columns s and s + 1, of which the second may be past the end.
DEVFN void finish(bf16 *c, u64 at, int s, float x, float y, bool both, bool aligned, const Epilogue &e) {
  if (e.bias) x += e.bias[s], y += both ? e.bias[s + 1] : 0;
  u32 v = pack2(x, y);
  if (e.addend) {
    u32 a = load_pair(e.addend + at, both, aligned);
    v = pack2(low(a) + e.factor * low(v), high(a) + e.factor * high(v));
  }
  store_pair(c + at, v, both, aligned);
}
DEVFN void finish(float *c, u64 at, int s, float x, float y, bool both, bool aligned, const Epilogue &e) { // a weight's gradient
  c[at] = x;
  if (both) c[at + 1] = y;
}

// finish_gated writes silu(g)·u of the rounded g and u, for two neighbours.
DEVFN void finish_gated(bf16 *c, u64 at, const float *gates, const float *ups, bool both, bool aligned) {
  u32 g = pack2(gates[0], gates[1]), u = pack2(ups[0], ups[1]);
  store_pair(c + at, pack2(low(g) * logistic(low(g)) * low(u), high(g) * logistic(high(g)) * high(u)), both, aligned);
}
