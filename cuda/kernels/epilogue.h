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

// finish_inside is finish for two rows of a thread's pairs, `below` elements apart, in a tile whose pairs may all be written at
// once: the pairs are 8 columns apart, and what is added to AHEAD of them is on its way before the first is written.
template <int PAIRS, bool BIAS, bool ADDEND> DEVFN void finish_rows(bf16 *c, u64 at, u64 below, int s, const float *v, const Epilogue &e) {
  enum { AHEAD = 8 };
#pragma unroll
  for (int from = 0; from < PAIRS; from += AHEAD) {
    float bias[AHEAD][2];
    u32 addend[AHEAD][2];
#pragma unroll
    for (int j = 0; j < AHEAD; j++)
#pragma unroll
      for (int i = 0; i < 2; i++) {
        if (BIAS) bias[j][i] = e.bias[s + (from + j) * 8 + i];
        if (ADDEND) addend[j][i] = *(const u32 *)(e.addend + at + i * below + (from + j) * 8);
      }
#pragma unroll
    for (int j = 0; j < AHEAD; j++)
#pragma unroll
      for (int i = 0; i < 2; i++) {
        float x = v[(from + j) * 4 + i * 2], y = v[(from + j) * 4 + i * 2 + 1];
        if (BIAS) x += bias[j][0], y += bias[j][1];
        u32 w = pack2(x, y);
        if (ADDEND) w = pack2(low(addend[j][i]) + e.factor * low(w), high(addend[j][i]) + e.factor * high(w));
        *(u32 *)(c + at + i * below + (from + j) * 8) = w;
      }
  }
}
template <int PAIRS> DEVFN void finish_inside(bf16 *c, u64 at, u64 below, int s, const float *v, const Epilogue &e) {
  if (e.bias && e.addend) finish_rows<PAIRS, true, true>(c, at, below, s, v, e);
  else if (e.bias) finish_rows<PAIRS, true, false>(c, at, below, s, v, e);
  else if (e.addend) finish_rows<PAIRS, false, true>(c, at, below, s, v, e);
  else finish_rows<PAIRS, false, false>(c, at, below, s, v, e);
}
template <int PAIRS> DEVFN void finish_inside(float *c, u64 at, u64 below, int, const float *v, const Epilogue &) {
#pragma unroll
  for (int j = 0; j < PAIRS; j++)
#pragma unroll
    for (int i = 0; i < 2; i++) *(Pair *)(c + at + i * below + j * 8) = {v[j * 4 + i * 2], v[j * 4 + i * 2 + 1]};
}

// finish_gated writes silu(g)·u of the rounded g and u, for two neighbours.
DEVFN void finish_gated(bf16 *c, u64 at, const float *gates, const float *ups, bool both, bool aligned) {
  u32 g = pack2(gates[0], gates[1]), u = pack2(ups[0], ups[1]);
  store_pair(c + at, pack2(low(g) * logistic(low(g)) * low(u), high(g) * logistic(high(g)) * high(u)), both, aligned);
}
template <int PAIRS> DEVFN void finish_gated_inside(bf16 *c, u64 at, u64 below, const float *gates, const float *ups) {
#pragma unroll
  for (int j = 0; j < PAIRS; j++)
#pragma unroll
    for (int i = 0; i < 2; i++) finish_gated(c, at + i * below + j * 8, gates + j * 4 + i * 2, ups + j * 4 + i * 2, true, true);
}
