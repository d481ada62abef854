// gemm_sm90.cu: linear, linear_dx and linear_dw on Hopper. Blocks stay and take one tile after another, in an order that only
// the live sizes determine, so that a tile is written while the next is being brought. Terms are added 16 at a time, from the
// first to the last. Rows past the live ones are multiplied too and not written; terms past them, and what lies outside of a
// matrix, arrive as zeros. Warps whose rows are all live write them by panels (panels.h), others number by number. Epilogues and the gated product are those of gemm_sm80.cu; a tile of that one has 128 columns.
#include "hopper.h"
#include "panels.h"

enum { BM = 128, DEPTH = 64, STAGES = 4, A_BYTES = BM * DEPTH * 2, PANEL = DEPTH * LINE };

// A_ALONG, B_ALONG: the rows of an operand are m or n, and lie along the terms; else they are the terms, and a tile is panels
// of 64 columns, BN in all. The live count bounds the rows: m, or the terms where those of a are terms.
template <bool A_ALONG, bool B_ALONG, bool GATED, int BN, class C>
DEVFN void gemm(C *c, const Written *to, const Brought *a, const Brought *b, const Brought *up, Epilogue e, Bound bound, int m, int n, int k, int blocks) {
  enum { WIDTH = GATED ? BN / 2 : BN, STAGE = A_BYTES + BN * DEPTH * 2, EARLY = 3 };
  DYNAMIC_SHARED(memory);
  typedef Ring<STAGES> R;
  typedef Panels<C, WIDTH> P;
  saddr base = shared_address(memory), panels = base + STAGES * STAGE, ring = panels + P::BLOCK_BYTES;
  if (A_ALONG) m = rows_of(bound, m);
  else k = rows_of(bound, k);
  int group = thread() / GROUP, stages = (k + DEPTH - 1) / DEPTH, rows = (m + BM - 1) / BM, columns = (n + WIDTH - 1) / WIDTH;
  if (thread() == 0) {
    R::init(ring);
    P::init(panels);
    barrier_publish();
  }
  sync_block();
  int use = 0; // of the ring
  if (group == 0) {
    producer_registers<40>();
    if (thread() >= 32) return;
    for (int tile = block_x(); tile < rows * columns; tile += blocks) {
      Place p = place<BM, WIDTH>(tile, rows, columns);
      for (int s = 0; s < stages; s++, use++) {
        saddr at = base + use % STAGES * STAGE, ready = R::full(ring, use);
        int k0 = s * DEPTH;
        R::wait_empty(ring, use);
        sync_warp(); // a lane that comes late would miss a phase, whose parity comes again
        if (thread() == 0) barrier_expect(ready, STAGE);
        if (!A_ALONG && k - k0 < DEPTH) { // dead rows may hold anything
          bring_lines<DEPTH, BM / 64>(at, PANEL, p.m, ready, [&](int i) { return Line{a, k0 + i < k ? k0 + i : -1}; });
          bring_lines<DEPTH, BN / 64>(at + A_BYTES, PANEL, p.n, ready, [&](int i) { return Line{b, k0 + i < k ? k0 + i : -1}; });
        } else if (thread() == 0) {
          if (A_ALONG) load_box(at, &a->box, k0, p.m, ready);
          else bring_box<BM / 64>(at, PANEL, a, p.m, k0, ready);
          if (B_ALONG) load_box(at + A_BYTES, &b->box, k0, p.n, ready); // WIDTH rows
          if (GATED) load_box(at + A_BYTES + WIDTH * LINE, &up->box, k0, p.n, ready);
          if (!B_ALONG) bring_box<BN / 64>(at + A_BYTES, PANEL, b, p.n, k0, ready);
        }
      }
    }
    return;
  }
  consumer_registers<40>();
  bool aligned = pairs(c, e.addend, n), whole = n % 8 == 0 && ((u64)e.bias & 7) == 0; // rows that the copy engine can write
  P mine_panels = P::of_warp(panels, thread() / 32 - GROUP / 32);
  for (int tile = block_x(); tile < rows * columns; tile += blocks) {
    Place p = place<BM, WIDTH>(tile, rows, columns);
    int first = p.m + (group - 1) * 64 + thread() % GROUP / 32 * 16; // of the warp's 16 rows
    bool by_panels = whole && first + 16 <= m;
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
      if (s == early) P::bring(mine_panels, to, first, p.n, 0);
      products_wait<1>(); // the stage before is free, this one's products are under way
      if (s > 0) R::release(ring, use - 1);
    }
    products_wait<0>();
    if (stages > 0) R::release(ring, use - 1);
    settle(sum);
    if (by_panels) {
      if constexpr (GATED) write_gated(mine_panels, to, first, p.n, n, sum);
      else write_panels(mine_panels, to, first, p.n, n, sum, e);
      continue;
    }
    int lane = thread() % 32, row = first + lane / 4;
#pragma unroll
    for (int j = 0; j < WIDTH / 8; j++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        int r = row + half * 8, s = p.n + j * 8 + lane % 4 * 2;
        if (r >= m || s >= n) continue;
        const float *v = sum + j * 4 + half * 2;
        u64 at = (u64)r * n + s;
        if constexpr (GATED) finish_gated(c, at, v, v + WIDTH / 2, s + 1 < n, aligned);
        else finish(c, at, s, v[0], v[1], s + 1 < n, aligned, e);
      }
  }
  if (thread() % 32 == 0) stores_read<0>(); // before the block's memory is another's
}
#define DEFINE(name, A_ALONG, B_ALONG, BN, C) \
  KERNEL(HOPPER_THREADS, 1) gemm_##name(C *c, Written to, Brought a, Brought b, Epilogue e, Bound bound, int m, int n, int k, int blocks) { \
    const Brought *right = PARAM_AT(gemm_##name, 3, b); \
    gemm<A_ALONG, B_ALONG, false, BN>(c, PARAM_AT(gemm_##name, 1, to), PARAM_AT(gemm_##name, 2, a), right, right, e, bound, m, n, k, blocks); \
  } \
  EXPORT(gemm_##name)
DEFINE(nt_hopper_128, true, true, 128, bf16) // linear
DEFINE(nt_hopper_192, true, true, 192, bf16)
DEFINE(nt_hopper_256, true, true, 256, bf16)
DEFINE(nn_hopper_128, true, false, 128, bf16) // linear_dx
DEFINE(nn_hopper_192, true, false, 192, bf16)
DEFINE(nn_hopper_256, true, false, 256, bf16)
DEFINE(tn_hopper_128, false, false, 128, float) // linear_dw
DEFINE(tn_hopper_192, false, false, 192, float)
DEFINE(tn_hopper_256, false, false, 256, float)
KERNEL(HOPPER_THREADS, 1) gemm_gated_hopper_256(bf16 *c, Written to, Brought a, Brought gate, Brought up, Bound bound, int m, int n, int k, int blocks) { // linear_swiglu
  gemm<true, true, true, 256>(c, PARAM_AT(gemm_gated_hopper_256, 1, to), PARAM_AT(gemm_gated_hopper_256, 2, a), PARAM_AT(gemm_gated_hopper_256, 3, gate),
                              PARAM_AT(gemm_gated_hopper_256, 4, up), Epilogue{}, bound, m, n, k, blocks);
}
EXPORT(gemm_gated_hopper_256)
