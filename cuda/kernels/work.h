// work.h: which tiles of which products the blocks of one launch of gemm_sm90.cu have. Blocks take every so many tiles of all.
#pragma once
#include "panels.h"

enum { BM = 128 }; // rows of a tile

// A Task is a tile of a product of m live rows and n columns: the row and column that it begins at. To is what the copy engine
// needs to write it.
template <class C, class To> struct Task {
  C *c;
  const To *to;
  const Brought *a, *b;
  int m, n, row, column;
};

// One product, in tiles of WIDTH columns. The BLOCKS of a cluster take tiles of the same columns, whose rows follow each other: the last
// of them may have no rows.
template <class C, int WIDTH, int BLOCKS> struct One {
  typedef C Number;
  C *c;
  const Written *to;
  const Brought *a, *b;
  int m, n, rows, columns, tiles;

  DEVFN One of(C *c, const Written *to, const Brought *a, const Brought *b, int m, int n) {
    int rows = (m + BLOCKS * BM - 1) / (BLOCKS * BM) * BLOCKS, columns = (n + WIDTH - 1) / WIDTH;
    return {c, to, a, b, m, n, rows, columns, rows * columns};
  }
  DEVFN Task<C, Written> task(const One &w, int tile) {
    Place p = place<BM, WIDTH>(tile, w.rows, w.columns);
    return {w.c, w.to, w.a, w.b, w.m, w.n, p.m, p.n};
  }
};

// Gradients are the products of one launch whose terms are the same tokens: left, transposed, times one of right. There are as many
// as fit the 4 KB of a kernel's parameters; a layer's seven weights have four inputs.
enum { PRODUCTS = 7, RIGHTS = 4 };
struct Gradients {
  TensorMap out[PRODUCTS];
  Brought left[PRODUCTS], right[RIGHTS];
  struct Product {
    float *c;
    int m, n, right, end; // end: the first tile behind its own
  } products[PRODUCTS];
};

// Several products, one after another. A block asks for tiles in ascending order.
template <int WIDTH> struct Several {
  typedef float Number;
  const Gradients *g;
  int tiles, now, first; // now: the product of the last tile asked for, whose own begin at first

  DEVFN Task<float, TensorMap> task(Several &w, int tile) {
    while (tile >= w.g->products[w.now].end) w.first = w.g->products[w.now++].end;
    Gradients::Product x = w.g->products[w.now];
    Place p = place<BM, WIDTH>(tile - w.first, (x.m + BM - 1) / BM, (x.n + WIDTH - 1) / WIDTH);
    return {x.c, w.g->out + w.now, w.g->left + w.now, w.g->right + x.right, x.m, x.n, p.m, p.n};
  }
};
