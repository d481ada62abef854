// panels.h: how a warp of Hopper's products writes its 16 rows of a tile, in panels of 128 bytes a row: it lays them in shared
// memory, swizzled, and the copy engine takes them from there and leaves out columns past the matrix. What is added to the
// product comes the other way, into the same places.
#pragma once
#include "epilogue.h"

// Written is where results go, and what is added to them, to the copy engine.
struct Written {
  TensorMap out, addend;
};

// Panels are a warp's places in shared memory, with a barrier each. A tile has ALL panels, of which HELD are there at a time.
template <class C, int WIDTH> struct Panels {
  enum { COLUMNS = LINE / sizeof(C), ALL = WIDTH / COLUMNS, HELD = ALL == 3 ? 3 : 2, ROWS = 16, BYTES = ROWS * LINE };
  enum { WARPS = CONSUMERS * GROUP / 32, WARP_BYTES = HELD * BYTES, BARRIERS = WARPS * WARP_BYTES, BLOCK_BYTES = BARRIERS + WARPS * HELD * 8 };
  saddr places, barriers;
  int turn; // how often addends have filled the places

  DEVFN Panels of_warp(saddr block, int warp) { return {block + warp * WARP_BYTES, block + BARRIERS + warp * HELD * 8, 0}; }
  DEVFN saddr place(const Panels &w, int panel) { return w.places + panel % HELD * BYTES; }
  DEVFN saddr full(const Panels &w, int panel) { return w.barriers + panel % HELD * 8; }
  DEVFN void init(saddr block) {
    for (int i = 0; i < WARPS * HELD; i++) barrier_init(block + BARRIERS + i * 8, 1);
  }
  // bring begins to bring HELD panels of the addend, from `panel` on, once the results that were there have been taken.
  DEVFN void bring(const Panels &w, const Written *to, int row, int column, int panel) {
    if (thread() % 32) return;
    stores_read<0>();
    for (int i = 0; i < HELD; i++) {
      barrier_expect(full(w, i), BYTES);
      load_box(place(w, i), &to->addend, column + (panel + i) * COLUMNS, row, full(w, i));
    }
  }
  // vacate waits until a panel's place has been read, where nothing was brought into it since.
  DEVFN void vacate() {
    if (thread() % 32 == 0) stores_read<HELD - 1>();
    sync_warp();
  }
  DEVFN void store(const Panels &w, const TensorMap *to, int row, int column, int panel) {
    publish_shared();
    sync_warp();
    if (thread() % 32) return;
    store_box(to, column + panel * COLUMNS, row, place(w, panel));
    stores_commit();
  }
};

// write_panels writes 16 rows from `row` on and the tile's columns from `column` on, of n that the matrix has. A quad of lanes
// has 8 columns of a row: a lane two neighbours of each of two rows, 8 apart.
template <int WIDTH, bool BIAS, bool ADDEND>
DEVFN void write_panels(Panels<bf16, WIDTH> &w, const Written *to, int row, int column, int n, const float *v, const Epilogue &e) {
  typedef Panels<bf16, WIDTH> P;
  int lane = thread() % 32;
  u32 inside = lane % 16 * LINE + ((lane / 16 ^ lane % 8) << 4); // the lane's row of four matrices of 8 × 8
#pragma unroll
  for (int panel = 0; panel < P::ALL; panel++) {
    if (ADDEND) {
      if (panel > 0 && panel % P::HELD == 0) P::bring(w, to, row, column, panel);
      barrier_wait(P::full(w, panel), w.turn & 1);
      if (panel % P::HELD == P::HELD - 1) w.turn++;
    } else P::vacate();
    saddr at = P::place(w, panel) + inside;
    Pair bias[8];
    u32 addend[4][4];
#pragma unroll
    for (int j = 0; j < 8; j++) {
      int s = column + panel * 64 + j * 8 + lane % 4 * 2;
      if (BIAS) bias[j] = *(const Pair *)(e.bias + (s < n ? s : 0)); // what is past the matrix is not stored
      if (ADDEND && j < 4) load_matrices(addend[j], at ^ j << 5);
    }
#pragma unroll
    for (int four = 0; four < 4; four++) {
      u32 r[4];
#pragma unroll
      for (int i = 0; i < 4; i++) {
        int j = four * 2 + i / 2;
        const float *pair = v + (panel * 8 + j) * 4 + i % 2 * 2;
        r[i] = BIAS ? pack2(pair[0] + bias[j].x, pair[1] + bias[j].y) : pack2(pair[0], pair[1]);
        u32 a = addend[four][i];
        if (ADDEND) r[i] = pack2(low(a) + e.factor * low(r[i]), high(a) + e.factor * high(r[i]));
      }
      store_matrices(at ^ four << 5, r);
    }
    P::store(w, &to->out, row, column, panel);
  }
}
template <int WIDTH> DEVFN void write_panels(Panels<bf16, WIDTH> &w, const Written *to, int row, int column, int n, const float *v, const Epilogue &e) {
  if (e.bias && e.addend) write_panels<WIDTH, true, true>(w, to, row, column, n, v, e);
  else if (e.bias) write_panels<WIDTH, true, false>(w, to, row, column, n, v, e);
  else if (e.addend) write_panels<WIDTH, false, true>(w, to, row, column, n, v, e);
  else write_panels<WIDTH, false, false>(w, to, row, column, n, v, e);
}

// A weight's gradient: of two groups of columns 16 apart, odd rows write the second first, so that the four rows that half a warp
// writes at once lie in banks of their own.
template <int WIDTH> DEVFN void write_panels(Panels<float, WIDTH> &w, const TensorMap *to, int row, int column, int, const float *v, const Epilogue &) {
  typedef Panels<float, WIDTH> P;
  int lane = thread() % 32;
  bool odd = lane & 4;
  u32 inside = lane / 4 * LINE + ((lane % 4 / 2 ^ lane / 4 ^ (odd ? 4 : 0)) << 4) + lane % 2 * 8;
#pragma unroll
  for (int panel = 0; panel < P::ALL; panel++) {
    P::vacate();
    saddr at = P::place(w, panel) + inside;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const float *near = v + (panel * 4 + i / 2) * 4 + i % 2 * 2, *far = near + 2 * 4;
      saddr to8 = (at + i % 2 * 8 * LINE) ^ i / 2 << 5;
      store_shared8(to8, odd ? far[0] : near[0], odd ? far[1] : near[1]);
      store_shared8(to8 ^ 64, odd ? near[0] : far[0], odd ? near[1] : far[1]);
    }
    P::store(w, to, row, column, panel);
  }
}

// Gates and what they let through, half of the sums each.
template <int WIDTH> DEVFN void write_gated(Panels<bf16, WIDTH> &w, const Written *to, int row, int column, int n, float *v) {
#pragma unroll
  for (int i = 0; i < WIDTH / 2; i += 8) {
    float g[8], u[8];
#pragma unroll
    for (int j = 0; j < 8; j++) g[j] = number(to_bf16(v[i + j])), u[j] = number(to_bf16(v[WIDTH / 2 + i + j]));
    gated<8>(v + i, g, u);
  }
  write_panels<WIDTH, false, false>(w, to, row, column, n, v, Epilogue{});
}
