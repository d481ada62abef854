// gemm_sm90.cu: linear, linear_dx and linear_dw on Hopper. Blocks stay and take one tile after another, in an order that only
// the live sizes determine, so that a tile is written while the next is being brought. Terms are added 16 at a time, from the
// first to the last. Rows past the live ones are multiplied too and not written; terms past them, and what lies outside of a
// matrix, arrive as zeros. Warps whose rows are all live write them by panels (panels.h), others number by number. Epilogues and the gated product are those of gemm_sm80.cu; a tile of that one has 128 columns.
#include "hopper.h"
#include "panels.h"
#include "work.h"

enum { DEPTH = 64, STAGES = 4, A_BYTES = BM * DEPTH * 2, PANEL = DEPTH * LINE };

template <int BLOCKS> DEVFN void meet() {
  if (BLOCKS > 1) sync_cluster();
  else sync_block();
}
// leave ends a thread: its block is there as long as the other one may arrive at its barriers or bring boxes.
template <int BLOCKS> DEVFN void leave() {
  if (BLOCKS > 1) sync_cluster();
}
// share begins to bring a half of b's tile for both blocks of the cluster: of gates and what they let through one of the two, else half of
// the rows of each box.
template <bool B_ALONG, bool GATED, int BN> DEVFN void share(saddr to, const Brought *b, const Brought *up, int column, int k0, saddr ready) {
  enum { HALF = (B_ALONG ? BN : DEPTH) / 2 };
  int rank = block_x() % 2, half = rank * HALF;
  if (GATED) share_box(to + half * LINE, rank ? &up->box : &b->box, k0, column, ready, 3);
  else if (B_ALONG) share_box(to + half * LINE, &b->box, k0, column + half, ready, 3);
  else
    for (int p = 0; p < BN / 64; p++) share_box(to + p * PANEL + half * LINE, &b->box, column + p * 64, k0 + half, ready, 3);
}

// A_ALONG, B_ALONG: the rows of an operand are m or n, and lie along the terms; else they are the terms, and a tile is panels
// of 64 columns, BN in all. Work says which tiles there are (work.h). Of two BLOCKS, a cluster, each brings a half of b's tiles for both.
template <bool A_ALONG, bool B_ALONG, bool GATED, int BN, int BLOCKS, class Work>
DEVFN void gemm(Work work, const Brought *up, Epilogue e, int k, int blocks) {
  typedef typename Work::Number C;
  enum { WIDTH = GATED ? BN / 2 : BN, STAGE = A_BYTES + BN * DEPTH * 2, EARLY = 3 };
  DYNAMIC_SHARED(memory);
  typedef Ring<STAGES, BLOCKS> R;
  typedef Panels<C, WIDTH> P;
  saddr base = shared_address(memory), panels = base + STAGES * STAGE, ring = panels + P::BLOCK_BYTES;
  int group = thread() / GROUP, stages = (k + DEPTH - 1) / DEPTH;
  if (thread() == 0) {
    R::init(ring);
    P::init(panels);
    barrier_publish();
  }
  meet<BLOCKS>();
  int use = 0; // of the ring
  if (group == 0) {
    producer_registers<40>();
    if (thread() >= 32) return leave<BLOCKS>();
    for (int tile = block_x(); tile < work.tiles; tile += blocks) {
      auto p = Work::task(work, tile);
      for (int s = 0; s < stages; s++, use++) {
        saddr at = base + use % STAGES * STAGE, ready = R::full(ring, use);
        int k0 = s * DEPTH;
        R::wait_empty(ring, use);
        sync_warp(); // a lane that comes late would miss a phase, whose parity comes again
        if (thread() == 0) barrier_expect(ready, STAGE);
        if (!A_ALONG && k - k0 < DEPTH) { // dead rows may hold anything
          bring_lines<DEPTH, BM / 64>(at, PANEL, p.row, ready, [&](int i) { return Line{p.a, k0 + i < k ? k0 + i : -1}; });
          bring_lines<DEPTH, BN / 64>(at + A_BYTES, PANEL, p.column, ready, [&](int i) { return Line{p.b, k0 + i < k ? k0 + i : -1}; });
        } else if (thread() == 0) {
          if (A_ALONG) load_box(at, &p.a->box, k0, p.row, ready);
          else bring_box<BM / 64>(at, PANEL, p.a, p.row, k0, ready);
          if (BLOCKS > 1) share<B_ALONG, GATED, BN>(at + A_BYTES, p.b, up, p.column, k0, ready);
          else if (!B_ALONG) bring_box<BN / 64>(at + A_BYTES, PANEL, p.b, p.column, k0, ready);
          else load_box(at + A_BYTES, &p.b->box, k0, p.column, ready); // WIDTH rows
          if (BLOCKS == 1 && GATED) load_box(at + A_BYTES + WIDTH * LINE, &up->box, k0, p.column, ready);
        }
      }
    }
    return leave<BLOCKS>();
  }
  consumer_registers<40>();
  P mine_panels = P::of_warp(panels, thread() / 32 - GROUP / 32);
  for (int tile = block_x(); tile < work.tiles; tile += blocks) {
    auto p = Work::task(work, tile);
    int first = p.row + (group - 1) * 64 + thread() % GROUP / 32 * 16; // of the warp's 16 rows
    bool whole = p.n % 8 == 0 && ((u64)e.bias & 7) == 0; // rows that the copy engine can write
    bool by_panels = whole && first + 16 <= p.m;
    int early = GATED || !A_ALONG || !e.addend || !by_panels ? -1 : stages > EARLY ? stages - EARLY : 0; // when its addend is brought
    float sum[BN / 2];
#pragma unroll
    for (int i = 0; i < BN / 2; i++) sum[i] = 0;
    for (int s = 0; s < stages; s++, use++) {
      R::wait_full(ring, use);
      saddr at = base + use % STAGES * STAGE, mine = at + (group - 1) * 64 * LINE; // 64 rows, or a panel
      settle(sum);
      products_begin();
#pragma unroll
      for (int kk = 0; kk < DEPTH / 16; kk++)
        product<BN, true, !A_ALONG, !B_ALONG>(sum, A_ALONG ? matrix_at(mine + kk * 32, 16, 1024) : matrix_at(mine + kk * 16 * LINE, PANEL, 1024),
                                              B_ALONG ? matrix_at(at + A_BYTES + kk * 32, 16, 1024) : matrix_at(at + A_BYTES + kk * 16 * LINE, PANEL, 1024));
      products_commit();
      if constexpr (A_ALONG && !GATED)
        if (s == early) P::bring(mine_panels, p.to, first, p.column, 0);
      products_wait<1>(); // the stage before is free, this one's products are under way
      if (s > 0) R::release(ring, use - 1);
    }
    products_wait<0>();
    if (stages > 0) R::release(ring, use - 1);
    settle(sum);
    if (by_panels) {
      if constexpr (GATED) write_gated(mine_panels, p.to, first, p.column, p.n, sum);
      else write_panels(mine_panels, p.to, first, p.column, p.n, sum, e);
      continue;
    }
    int lane = thread() % 32, row = first + lane / 4;
    bool aligned = pairs(p.c, e.addend, p.n);
#pragma unroll
    for (int j = 0; j < WIDTH / 8; j++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        int r = row + half * 8, s = p.column + j * 8 + lane % 4 * 2;
        if (r >= p.m || s >= p.n) continue;
        const float *v = sum + j * 4 + half * 2;
        u64 at = (u64)r * p.n + s;
        if constexpr (GATED) finish_gated(p.c, at, v, v + WIDTH / 2, s + 1 < p.n, aligned);
        else finish(p.c, at, s, v[0], v[1], s + 1 < p.n, aligned, e);
      }
  }
  if (thread() % 32 == 0) stores_read<0>(); // before the block's memory is another's
  leave<BLOCKS>();
}
#define DEFINE(name, B_ALONG, BN, ENTRY, BLOCKS) \
  ENTRY(HOPPER_THREADS, 1) gemm_##name(bf16 *c, Written to, Brought a, Brought b, Epilogue e, Bound bound, int m, int n, int k, int blocks) { \
    const Brought *right = PARAM_AT(gemm_##name, 3, b); \
    auto work = One<bf16, BN, BLOCKS>::of(c, PARAM_AT(gemm_##name, 1, to), PARAM_AT(gemm_##name, 2, a), right, rows_of(bound, m), n); \
    gemm<true, B_ALONG, false, BN, BLOCKS>(work, right, e, k, blocks); \
  } \
  EXPORT(gemm_##name)
#define DEFINE_BOTH(name, B_ALONG, BN) \
  DEFINE(name, B_ALONG, BN, KERNEL, 1) \
  DEFINE(name##_pair, B_ALONG, BN, PAIRED_KERNEL, 2)
DEFINE_BOTH(nt_hopper_128, true, 128) // linear
DEFINE_BOTH(nt_hopper_192, true, 192)
DEFINE_BOTH(nt_hopper_256, true, 256)
DEFINE_BOTH(nn_hopper_128, false, 128) // linear_dx
DEFINE_BOTH(nn_hopper_192, false, 192)
DEFINE_BOTH(nn_hopper_256, false, 256)
#define DEFINE_GRADIENTS(name, BN) \
  KERNEL(HOPPER_THREADS, 1) gemm_##name(Gradients g, Bound bound, int k, int tiles, int blocks) { \
    Several<BN> work{PARAM_AT(gemm_##name, 0, g), tiles, 0, 0}; \
    gemm<false, false, false, BN, 1>(work, nullptr, Epilogue{}, rows_of(bound, k), blocks); \
  } \
  EXPORT(gemm_##name)
DEFINE_GRADIENTS(tn_hopper_128, 128) // linear_dw, or several
DEFINE_GRADIENTS(tn_hopper_192, 192)
DEFINE_GRADIENTS(tn_hopper_256, 256)
#define DEFINE_GATED(name, ENTRY, BLOCKS) \
  ENTRY(HOPPER_THREADS, 1) gemm_##name(bf16 *c, Written to, Brought a, Brought gate, Brought up, Bound bound, int m, int n, int k, int blocks) { \
    auto work = One<bf16, 128, BLOCKS>::of(c, PARAM_AT(gemm_##name, 1, to), PARAM_AT(gemm_##name, 2, a), PARAM_AT(gemm_##name, 3, gate), rows_of(bound, m), n); \
    gemm<true, true, true, 256, BLOCKS>(work, PARAM_AT(gemm_##name, 4, up), Epilogue{}, k, blocks); \
  } \
  EXPORT(gemm_##name)
DEFINE_GATED(gated_hopper_256, KERNEL, 1) // linear_swiglu
DEFINE_GATED(gated_hopper_256_pair, PAIRED_KERNEL, 2)
