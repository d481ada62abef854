// gemm_sm80.cu: matrix products of bf16 with f32 accumulators on tensor cores: c[m,n] = Σ_k a(m,k)·b(k,n), and what is made of
// it at once: see Epilogue. The gated product has two b of one shape, gate and up: c = silu(a·gate)·(a·up).
// Each operand lies along k (its rows are m or n) or across it (its rows are k). An element's terms are added 16 at a time,
// from the first to the last, whatever the tile, so its bits do not depend on m, n or the choice of tile; results that are
// taken on are rounded first, so that they have the bits of kernels that write them.
#include "epilogue.h"

// An Operand is a stage of a tile in shared memory: ROWS of m or n by DEPTH of k, in chunks of 8 elements that are laid out
// so that the eight rows of a matrix lie in different banks.
template <bool ALONG, int ROWS, int DEPTH, int THREADS> struct Operand {
  enum { BYTES = ROWS * DEPTH * 2, CHUNKS = ROWS * DEPTH / 8, LENGTH = ALONG ? DEPTH : ROWS };
  DEVFN u32 at(int r, int k) { // of the chunk that holds (r, k)
    int line = ALONG ? r : k, chunk = (ALONG ? k : r) / 8;
    return line * (LENGTH * 2) + ((chunk ^ (LENGTH == 32 ? line / 2 & 3 : line & 7)) << 4);
  }
  // own_row is a row's number in its matrix where two lie by turns.
  template <int TURN> DEVFN int own_row(int r) {
    if constexpr (TURN > 0) return r / (2 * TURN) * TURN + r % TURN;
    return r;
  }
  // load begins to bring terms k0.. of rows r0..; what lies outside is zero. step is the length of a row in memory. TURN > 0:
  // there are two matrices, of which so many rows of the first and the same of the second lie by turns.
  template <int TURN> DEVFN void load(saddr to, const bf16 *first_of, const bf16 *second, int r0, int rows, int k0, int terms, int step, bool aligned) {
#pragma unroll
    for (int i = 0; i < CHUNKS / THREADS; i++) {
      int c = i * THREADS + thread();
      int r = ALONG ? c / (DEPTH / 8) : c % (ROWS / 8) * 8, k = ALONG ? c % (DEPTH / 8) * 8 : c / (ROWS / 8);
      // the chunk's line and where in it: a row of m or n, or of k
      const bf16 *from = TURN && (r & TURN) ? second : first_of;
      int line = ALONG ? r0 + own_row<TURN>(r) : k0 + k, lines = ALONG ? rows : terms, first = ALONG ? k0 + k : r0 + r, length = ALONG ? terms : rows;
      int inside = line < lines && first < length ? length - first < 8 ? length - first : 8 : 0;
      const bf16 *source = from + (inside ? (u64)line * step + first : 0);
      load_chunk(to + at(r, k), source, inside, aligned);
    }
  }
  // fragment_a loads the 16 × 16 matrix at (r, k) as mma's first operand, fragment_b two of 8 × 16 as its second.
  DEVFN void fragment_a(u32 *f, saddr tile, int r, int k) {
    int lane = thread() % 32;
    if (ALONG) load_matrices(f, tile + at(r + lane % 16, k + lane / 16 * 8));
    else load_matrices_transposed(f, tile + at(r + (lane / 8 & 1) * 8, k + lane % 8 + lane / 16 * 8));
  }
  DEVFN void fragment_b(u32 *f, saddr tile, int r, int k) {
    int lane = thread() % 32;
    if (ALONG) load_matrices(f, tile + at(r + lane % 8 + lane / 16 * 8, k + (lane / 8 & 1) * 8));
    else load_matrices_transposed(f, tile + at(r + lane / 16 * 8, k + lane % 8 + (lane / 8 & 1) * 8));
  }
};

// A Tile: a block makes BM × BN elements, of which a warp makes WM × WN; DEPTH terms a stage, STAGES of them under way.
template <int BM_, int BN_, int WM_, int WN_, int DEPTH_, int STAGES_> struct Tile {
  enum { BM = BM_, BN = BN_, WM = WM_, WN = WN_, DEPTH = DEPTH_, STAGES = STAGES_, THREADS = BM / WM * (BN / WN) * 32 };
};
typedef Tile<128, 128, 64, 64, 32, 3> Tile128;
typedef Tile<64, 64, 32, 32, 32, 3> Tile64;
typedef Tile<32, 32, 16, 16, 64, 6> Tile32; // for products with one small side, which memory bounds: much of it must be under way

template <class T, bool A_ALONG, bool B_ALONG, bool LIVE_TERMS, bool GATED, class C>
DEVFN void gemm(C *c, const bf16 *a, const bf16 *b, const bf16 *up, Epilogue e, Bound bound, int m, int n, int k) {
  enum { BM = T::BM, BN = T::BN, WM = T::WM, WN = T::WN, DEPTH = T::DEPTH, STAGES = T::STAGES, THREADS = T::THREADS, PARTS = 1 + GATED };
  static_assert(!GATED || B_ALONG, ""); // a warp's columns are half gates and half of the others
  typedef Operand<A_ALONG, BM, DEPTH, THREADS> A;
  typedef Operand<B_ALONG, BN, DEPTH, THREADS> B;
  DYNAMIC_SHARED(memory);
  saddr as = shared_address(memory), bs = as + STAGES * A::BYTES;
  int a_step = A_ALONG ? k : m, b_step = B_ALONG ? k : n, columns = (n + BN / PARTS - 1) / (BN / PARTS);
  Place tile = place<BM, BN / PARTS>(block_y() * columns + block_x(), (m + BM - 1) / BM, columns);
  if (LIVE_TERMS) k = rows_of(bound, k);
  else m = rows_of(bound, m);
  int m0 = tile.m, n0 = tile.n, stages = (k + DEPTH - 1) / DEPTH;
  if (m0 >= m) return;
  int lane = thread() % 32, warp = thread() / 32, wm = warp / (BN / WN) * WM, wn = warp % (BN / WN) * WN;
  bool a_aligned = aligned16(a, a_step), b_aligned = aligned16(b, b_step) && (!GATED || aligned16(up, b_step));
  float sum[WM / 16][WN / 8][4];
#pragma unroll
  for (int i = 0; i < WM / 16; i++)
#pragma unroll
    for (int j = 0; j < WN / 8; j++)
#pragma unroll
      for (int x = 0; x < 4; x++) sum[i][j][x] = 0;
  auto load = [&](int stage) {
    if (stage < stages) {
      A::template load<0>(as + stage % STAGES * A::BYTES, a, a, m0, m, stage * DEPTH, k, a_step, a_aligned);
      B::template load<GATED ? WN / 2 : 0>(bs + stage % STAGES * B::BYTES, b, up, n0, n, stage * DEPTH, k, b_step, b_aligned);
    }
    copy_commit();
  };
#pragma unroll
  for (int s = 0; s < STAGES - 1; s++) load(s);
  for (int s = 0; s < stages; s++) {
    copy_wait<STAGES - 2>(); // the stage is there, of this thread's copies
    sync_block();            // of everybody's, and everybody is done with the stage before
    load(s + STAGES - 1);
    saddr ta = as + s % STAGES * A::BYTES, tb = bs + s % STAGES * B::BYTES;
#pragma unroll
    for (int kk = 0; kk < DEPTH; kk += 16) {
      u32 fa[WM / 16][4], fb[WN / 16][4];
#pragma unroll
      for (int i = 0; i < WM / 16; i++) A::fragment_a(fa[i], ta, wm + i * 16, kk);
#pragma unroll
      for (int j = 0; j < WN / 16; j++) B::fragment_b(fb[j], tb, wn + j * 16, kk);
#pragma unroll
      for (int i = 0; i < WM / 16; i++)
#pragma unroll
        for (int j = 0; j < WN / 8; j++) mma(sum[i][j], fa[i], &fb[j / 2][j % 2 * 2]);
    }
  }
  bool aligned = pairs(c, e.addend, n);
#pragma unroll
  for (int i = 0; i < WM / 16; i++)
#pragma unroll
    for (int j = 0; j < WN / 8 / PARTS; j++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        int r = m0 + wm + i * 16 + lane / 4 + half * 8, s = n0 + wn / PARTS + j * 8 + lane % 4 * 2;
        if (r >= m || s >= n) continue;
        const float *v = sum[i][j] + half * 2;
        u64 at = (u64)r * n + s;
        if constexpr (GATED) finish_gated(c, at, v, sum[i][j + WN / 16] + half * 2, s + 1 < n, aligned);
        else finish(c, at, s, v[0], v[1], s + 1 < n, aligned, e);
      }
}
#define DEFINE(layout, tile, A_ALONG, B_ALONG, LIVE, C) \
  KERNEL(Tile##tile::THREADS, 1) gemm_##layout##_##tile(C *c, const bf16 *a, const bf16 *b, Epilogue e, Bound bound, int m, int n, int k) { gemm<Tile##tile, A_ALONG, B_ALONG, LIVE, false>(c, a, b, b, e, bound, m, n, k); } \
  EXPORT(gemm_##layout##_##tile)
#define TILES(layout, A_ALONG, B_ALONG, LIVE, C) \
  DEFINE(layout, 128, A_ALONG, B_ALONG, LIVE, C) \
  DEFINE(layout, 64, A_ALONG, B_ALONG, LIVE, C) \
  DEFINE(layout, 32, A_ALONG, B_ALONG, LIVE, C)
TILES(nt, true, true, false, bf16)    // linear
TILES(nn, true, false, false, bf16)   // linear_dx
TILES(tn, false, false, true, float)  // linear_dw
#undef DEFINE
#define DEFINE(tile) \
  KERNEL(Tile##tile::THREADS, 1) gemm_gated_##tile(bf16 *c, const bf16 *a, const bf16 *gate, const bf16 *up, Bound bound, int m, int n, int k) { gemm<Tile##tile, true, true, false, true>(c, a, gate, up, Epilogue{}, bound, m, n, k); } \
  EXPORT(gemm_gated_##tile)
DEFINE(128) // linear_swiglu
DEFINE(64)
