// attention_sm80.cu: attention over key ranges in bf16 with f32 accumulators on tensor cores. A block treats a tile of
// queries (or keys) of one segment and one head; tiles begin at the segment's start and blocks of keys at multiples of 64
// logical positions, so a row's sums are the same in any packing. Rows of D elements hold heads of up to D, padded with zeros.
#include "ranges.h"
#include "tiles.h"

enum { THREADS = 128, QUERIES = 64 };

// A Tile is rows of D elements in shared memory, in chunks of 8 so laid out that eight rows lie in different banks.
template <int D> struct Tile {
  DEVFN u32 at(int row, int d) { return row * (D * 2) + ((d / 8 ^ (row & 7)) << 4); }
  DEVFN void load_row_chunk(saddr tile, int row, int chunk, const bf16 *from, int dim, bool aligned) {
    int inside = from ? dim - chunk * 8 : 0;
    inside = inside < 0 ? 0 : inside > 8 ? 8 : inside;
    load_chunk(tile + at(row, chunk * 8), inside ? from + chunk * 8 : from, inside, aligned);
  }
  // load begins to bring `rows` rows; row_at gives where one begins, or null for zeros.
  template <class F> DEVFN void load(saddr tile, int rows, int dim, bool aligned, F row_at) {
    for (int c = thread(); c < rows * (D / 8); c += THREADS) load_row_chunk(tile, c / (D / 8), c % (D / 8), row_at(c / (D / 8)), dim, aligned);
  }
  // a: the 16 × 16 matrix at (row, d) as mma's first operand. b: two of 8 rows × 16, as the second, whose terms are along
  // the rows. b_across: the same where the terms are the rows.
  DEVFN void a(u32 *f, saddr tile, int row, int d) {
    int lane = thread() % 32;
    load_matrices(f, tile + at(row + lane % 16, d + lane / 16 * 8));
  }
  DEVFN void b(u32 *f, saddr tile, int row, int d) {
    int lane = thread() % 32;
    load_matrices(f, tile + at(row + lane % 8 + lane / 16 * 8, d + (lane / 8 & 1) * 8));
  }
  DEVFN void b_across(u32 *f, saddr tile, int row, int d) {
    int lane = thread() % 32;
    load_matrices_transposed(f, tile + at(row + lane % 8 + (lane / 8 & 1) * 8, d + lane / 16 * 8));
  }
};

template <int N> DEVFN void zero(float (*x)[4]) {
#pragma unroll
  for (int i = 0; i < N; i++)
#pragma unroll
    for (int j = 0; j < 4; j++) x[i][j] = 0;
}

// rows_by_rows adds to sum [16 × 8N] the products of 16 rows of x with 8N rows of y.
template <int D, int N> DEVFN void rows_by_rows(float (*sum)[4], saddr x, int x_row, saddr y, int y_row) {
#pragma unroll
  for (int d = 0; d < D; d += 16) {
    u32 fx[4], fy[4];
    Tile<D>::a(fx, x, x_row, d);
#pragma unroll
    for (int j = 0; j < N; j += 2) {
      Tile<D>::b(fy, y, y_row + j * 8, d);
      mma(sum[j], fx, fy);
      mma(sum[j + 1], fx, fy + 2);
    }
  }
}

// weights_by_rows adds to sum [16 × D] the product of weights [16 × 8N], rounded to bf16, with 8N rows of y.
template <int D, int N> DEVFN void weights_by_rows(float (*sum)[4], float (*weights)[4], saddr y) {
#pragma unroll
  for (int k = 0; k < N / 2; k++) {
    float *lo = weights[2 * k], *hi = weights[2 * k + 1];
    u32 fx[4] = {pack2(lo[0], lo[1]), pack2(lo[2], lo[3]), pack2(hi[0], hi[1]), pack2(hi[2], hi[3])}, fy[4];
#pragma unroll
    for (int d = 0; d < D / 8; d += 2) {
      Tile<D>::b_across(fy, y, k * 16, d * 8);
      mma(sum[d], fx, fy);
      mma(sum[d + 1], fx, fy + 2);
    }
  }
}

// store_rows writes rows of 16 × D accumulators that lie below `rows`; row_at gives where one goes.
template <int D, class F> DEVFN void store_rows(float (*sum)[4], int row, int rows, int dim, const float *factor, F row_at) {
  int lane = thread() % 32;
#pragma unroll
  for (int half = 0; half < 2; half++) {
    int r = row + lane / 4 + half * 8;
    if (r >= rows) continue;
    bf16 *to = row_at(r);
    bool aligned = ((u64)to & 3) == 0;
#pragma unroll
    for (int j = 0; j < D / 8; j++) {
      int d = j * 8 + lane % 4 * 2;
      if (d < dim) store2(to + d, sum[j][half * 2] * factor[half], sum[j][half * 2 + 1] * factor[half], d + 1 < dim, aligned);
    }
  }
}

// store_part writes them as they are, rows that far apart.
template <int D> DEVFN void store_part(float *to, u64 step, float (*sum)[4], int row, int rows, int dim) {
#pragma unroll
  for (int half = 0; half < 2; half++)
#pragma unroll
    for (int j = 0; j < D / 8; j++)
#pragma unroll
      for (int x = 0; x < 2; x++) {
        int r = row + thread() % 32 / 4 + half * 8, d = j * 8 + thread() % 4 * 2 + x;
        if (r < rows && d < dim) to[r * step + d] = sum[j][half * 2 + x];
      }
}

// next_block is the first block of logical positions from `block` on of which the span's queries see anything.
DEVFN int next_block(const Segments &s, const Span &span, int block, int blocks) {
  while (block < blocks && !block_seen(s, span.segment, block, span.first, span.first + span.rows - 1)) block++;
  return block;
}

// describe notes the keys of a block, one a thread.
DEVFN void describe(Key *keys, const Segments &s, const Span &span, int block) {
  if (thread() < BLOCK) keys[thread()] = key_at(s, span.segment, block * BLOCK + thread());
}
DEVFN const bf16 *key_row(const Key &k, const bf16 *batch, const bf16 *cache, int kv_heads, int head, int dim) {
  if (k.last < 0) return 0;
  return (k.buffer ? cache : batch) + ((u64)k.row * kv_heads + head) * dim;
}

template <int D> DEVFN void attention(bf16 *packed, const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *ck, const bf16 *cv, Keys keys, Bound b, Heads a, double scale) {
  typedef Tile<D> T;
  enum { BYTES = BLOCK * D * 2 };
  DYNAMIC_SHARED(memory);
  saddr qs = shared_address(memory), ks = qs + BYTES, vs = ks + 2 * BYTES;
  Key *notes = (Key *)(memory + 5 * BYTES);
  int h = block_y(), head = h * a.kv_heads / a.heads, lane = thread() % 32, row = thread() / 32 * 16;
  if (faulty(b)) return;
  Segments s = segments_of(keys, b);
  Span span = span_of<QUERIES>(s, block_x());
  if (span.rows == 0) return;
  int blocks = (key_count(s, span.segment) + BLOCK - 1) / BLOCK;
  bool aligned = aligned16(q, a.dim) && aligned16(k, a.dim) && aligned16(v, a.dim) && aligned16(ck, a.dim) && aligned16(cv, a.dim);
  T::load(qs, QUERIES, a.dim, aligned, [&](int r) { return r < span.rows ? q + ((u64)(span.start + span.first + r) * a.heads + h) * a.dim : (const bf16 *)0; });
  auto load = [&](int block, int stage) {
    describe(notes + stage * BLOCK, s, span, block);
    sync_block();
    T::load(ks + stage * BYTES, BLOCK, a.dim, aligned, [&](int r) { return key_row(notes[stage * BLOCK + r], k, ck, a.kv_heads, head, a.dim); });
    T::load(vs + stage * BYTES, BLOCK, a.dim, aligned, [&](int r) { return key_row(notes[stage * BLOCK + r], v, cv, a.kv_heads, head, a.dim); });
  };
  float out[D / 8][4], top[2] = {-INFINITE, -INFINITE}, sum[2] = {0, 0};
  float to_log2 = (float)scale * LOG2E;
  zero<D / 8>(out);
  int block = next_block(s, span, 0, blocks), stage = 0;
  if (block < blocks) load(block, 0);
  copy_commit();
  for (; block < blocks; stage ^= 1) {
    int next = next_block(s, span, block + 1, blocks);
    if (next < blocks) load(next, stage ^ 1);
    copy_commit();
    copy_wait<1>();
    sync_block();
    float score[BLOCK / 8][4];
    zero<BLOCK / 8>(score);
    rows_by_rows<D, BLOCK / 8>(score, qs, row, ks + stage * BYTES, 0);
    float before[2] = {top[0], top[1]};
#pragma unroll
    for (int j = 0; j < BLOCK / 8; j++)
#pragma unroll
      for (int x = 0; x < 4; x++) {
        Key note = notes[stage * BLOCK + j * 8 + lane % 4 * 2 + x % 2];
        bool seen = sees(note, span.first + row + lane / 4 + x / 2 * 8);
        score[j][x] = seen ? score[j][x] * to_log2 : -INFINITE;
        if (score[j][x] > top[x / 2]) top[x / 2] = score[j][x];
      }
#pragma unroll
    for (int r = 0; r < 2; r++) {
#pragma unroll
      for (int m = 1; m < 4; m *= 2) {
        float other = shuffle_xor(top[r], m);
        if (other > top[r]) top[r] = other;
      }
      float base = top[r] == -INFINITE ? 0 : top[r], shrink = exp2_fast(before[r] - base);
      if (before[r] == top[r]) shrink = 1; // also when the row has seen nothing yet
#pragma unroll
      for (int j = 0; j < BLOCK / 8; j++)
#pragma unroll
        for (int x = 2 * r; x < 2 * r + 2; x++) score[j][x] = exp2_fast(score[j][x] - base);
      sum[r] *= shrink;
#pragma unroll
      for (int j = 0; j < BLOCK / 8; j++) sum[r] += score[j][2 * r] + score[j][2 * r + 1];
#pragma unroll
      for (int j = 0; j < D / 8; j++) out[j][2 * r] *= shrink, out[j][2 * r + 1] *= shrink;
    }
    weights_by_rows<D, BLOCK / 8>(out, score, vs + stage * BYTES);
    sync_block(); // everybody is done with the stage
    block = next;
  }
  copy_wait<0>();
  float *lse = (float *)(packed + (u64)keys.tokens * a.heads * a.dim), factor[2];
#pragma unroll
  for (int r = 0; r < 2; r++) {
#pragma unroll
    for (int m = 1; m < 4; m *= 2) sum[r] += shuffle_xor(sum[r], m);
    factor[r] = sum[r] == 0 ? 0 : 1 / sum[r]; // 0: no key was seen
    int i = row + lane / 4 + r * 8;
    if (lane % 4 == 0 && i < span.rows) lse[(u64)(span.start + span.first + i) * a.heads + h] = sum[r] == 0 ? -INFINITE : (top[r] + log2_fast(sum[r])) * LN2;
  }
  store_rows<D>(out, row, span.rows, a.dim, factor, [&](int r) { return packed + ((u64)(span.start + span.first + r) * a.heads + h) * a.dim; });
}

// attention_delta is dout·out of each row, a warp a row.
KERNEL(THREADS, 1) attention_delta_bf16(float *delta, const bf16 *packed, const bf16 *dout, Keys keys, Bound b, Heads a) {
  int t = block_x();
  if (faulty(b) || t >= live_of(b, TOKENS, keys.tokens)) return;
  for (int h = thread() / 32; h < a.heads; h += THREADS / 32) {
    u64 row = (u64)t * a.heads + h;
    float s = 0;
    for (int d = thread() % 32; d < a.dim; d += 32) s += number(dout[row * a.dim + d]) * number(packed[row * a.dim + d]);
    for (int m = 16; m; m >>= 1) s += shuffle_xor(s, m);
    if (thread() % 32 == 0) delta[row] = s;
  }
}
EXPORT(attention_delta_bf16)

// With dp = dout·value, δ = dout·out and ds = p·(dp − δ): dq = scale·Σ_keys ds·key.
template <int D> DEVFN void attention_dq(bf16 *dq, const float *delta, const bf16 *packed, const bf16 *dout, const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *ck, const bf16 *cv, Keys keys, Bound b, Heads a, double scale) {
  typedef Tile<D> T;
  enum { BYTES = BLOCK * D * 2 };
  DYNAMIC_SHARED(memory);
  saddr qs = shared_address(memory), ds = qs + BYTES, ks = ds + BYTES, vs = ks + BYTES;
  Key *notes = (Key *)(memory + 4 * BYTES);
  int h = block_y(), head = h * a.kv_heads / a.heads, lane = thread() % 32, row = thread() / 32 * 16;
  if (faulty(b)) return;
  Segments s = segments_of(keys, b);
  Span span = span_of<QUERIES>(s, block_x());
  if (span.rows == 0) return;
  int blocks = (key_count(s, span.segment) + BLOCK - 1) / BLOCK;
  bool aligned = aligned16(q, a.dim) && aligned16(dout, a.dim) && aligned16(k, a.dim) && aligned16(v, a.dim) && aligned16(ck, a.dim) && aligned16(cv, a.dim);
  u64 first = ((u64)(span.start + span.first) * a.heads + h) * a.dim, step = (u64)a.heads * a.dim;
  T::load(qs, QUERIES, a.dim, aligned, [&](int r) { return r < span.rows ? q + first + r * step : (const bf16 *)0; });
  T::load(ds, QUERIES, a.dim, aligned, [&](int r) { return r < span.rows ? dout + first + r * step : (const bf16 *)0; });
  const float *lse = (const float *)(packed + (u64)keys.tokens * a.heads * a.dim);
  float to_log2 = (float)scale * LOG2E, base[2], mean[2], sum[D / 8][4];
#pragma unroll
  for (int r = 0; r < 2; r++) {
    int i = row + lane / 4 + r * 8;
    u64 at = (u64)(span.start + span.first + i) * a.heads + h;
    base[r] = i < span.rows ? lse[at] * LOG2E : 0;
    mean[r] = i < span.rows ? delta[at] : 0;
  }
  zero<D / 8>(sum);
  for (int block = next_block(s, span, 0, blocks); block < blocks; block = next_block(s, span, block + 1, blocks)) {
    describe(notes, s, span, block);
    sync_block();
    T::load(ks, BLOCK, a.dim, aligned, [&](int r) { return key_row(notes[r], k, ck, a.kv_heads, head, a.dim); });
    T::load(vs, BLOCK, a.dim, aligned, [&](int r) { return key_row(notes[r], v, cv, a.kv_heads, head, a.dim); });
    copy_commit();
    copy_wait<0>();
    sync_block();
    float score[BLOCK / 8][4], dp[BLOCK / 8][4];
    zero<BLOCK / 8>(score);
    zero<BLOCK / 8>(dp);
    rows_by_rows<D, BLOCK / 8>(score, qs, row, ks, 0);
    rows_by_rows<D, BLOCK / 8>(dp, ds, row, vs, 0);
#pragma unroll
    for (int j = 0; j < BLOCK / 8; j++)
#pragma unroll
      for (int x = 0; x < 4; x++) {
        Key note = notes[j * 8 + lane % 4 * 2 + x % 2];
        bool seen = sees(note, span.first + row + lane / 4 + x / 2 * 8);
        score[j][x] = seen ? exp2_fast(score[j][x] * to_log2 - base[x / 2]) * (dp[j][x] - mean[x / 2]) : 0;
      }
    weights_by_rows<D, BLOCK / 8>(sum, score, ks);
    sync_block();
  }
  copy_commit();
  copy_wait<0>();
  float factor[2] = {(float)scale, (float)scale};
  store_rows<D>(sum, row, span.rows, a.dim, factor, [&](int r) { return dq + first + r * step; });
}

// attention_dkv: Σ_queries ds·query and Σ_queries p·dout of a tile of keys and one head's queries, which attention_dkv_sum makes dk
// and dv of. The sums run over the segments that see the keys, their ranges and their queries in ascending order. FEW queries at a
// time: as many as the registers allow.
template <int D, int FEW> DEVFN void attention_dkv(float *parts, const float *delta, const bf16 *packed, const bf16 *dout, const bf16 *q, const bf16 *k, const bf16 *v, Keys keys, Bound b, Heads a, double scale) {
  typedef Tile<D> T;
  enum { BYTES = BLOCK * D * 2, FEW_BYTES = FEW * D * 2 };
  DYNAMIC_SHARED(memory);
  saddr ks = shared_address(memory), vs = ks + BYTES, qs = vs + BYTES, ds = qs + FEW_BYTES;
  float *bases = (float *)(memory + 2 * BYTES + 2 * FEW_BYTES), *means = bases + FEW;
  int h = block_y(), head = h * a.kv_heads / a.heads, lane = thread() % 32, row = thread() / 32 * 16;
  if (faulty(b)) return;
  Segments s = segments_of(keys, b);
  Span span = span_of<QUERIES>(s, block_x());
  if (span.rows == 0) return;
  bool aligned = aligned16(q, a.dim) && aligned16(dout, a.dim) && aligned16(k, a.dim) && aligned16(v, a.dim);
  int key0 = span.start + span.first, key1 = key0 + span.rows;
  u64 first = ((u64)key0 * a.kv_heads + head) * a.dim, step = (u64)a.kv_heads * a.dim;
  T::load(ks, BLOCK, a.dim, aligned, [&](int r) { return r < span.rows ? k + first + r * step : (const bf16 *)0; });
  T::load(vs, BLOCK, a.dim, aligned, [&](int r) { return r < span.rows ? v + first + r * step : (const bf16 *)0; });
  const float *lse = (const float *)(packed + (u64)keys.tokens * a.heads * a.dim);
  float to_log2 = (float)scale * LOG2E, sum_k[D / 8][4], sum_v[D / 8][4];
  zero<D / 8>(sum_k);
  zero<D / 8>(sum_v);
  for (int segment = 0; segment < s.count; segment++)
    for (int j = s.offsets[segment]; j < s.offsets[segment + 1]; j++) {
      Range r = range_of(s, j);
      int from = r.start > key0 ? r.start : key0, to = r.end < key1 ? r.end : key1;
      if (r.buffer != 0 || from >= to) continue;
      int start = s.starts[segment], length = s.starts[segment + 1] - start;
      for (int q0 = 0; q0 < length; q0 += FEW) {
        int q1 = q0 + FEW < length ? q0 + FEW : length;
        if (key_of(r, from - r.start).first >= q1 || key_of(r, to - 1 - r.start).last < q0) continue;
        u64 at = ((u64)(start + q0) * a.heads + h) * a.dim, next = (u64)a.heads * a.dim;
        T::load(qs, FEW, a.dim, aligned, [&](int i) { return q0 + i < q1 ? q + at + i * next : (const bf16 *)0; });
        T::load(ds, FEW, a.dim, aligned, [&](int i) { return q0 + i < q1 ? dout + at + i * next : (const bf16 *)0; });
        if (thread() < FEW) {
          u64 i = (u64)(start + q0 + thread()) * a.heads + h;
          bases[thread()] = q0 + thread() < q1 ? lse[i] * LOG2E : 0;
          means[thread()] = q0 + thread() < q1 ? delta[i] : 0;
        }
        copy_commit();
        copy_wait<0>();
        sync_block();
        float p[FEW / 8][4], dp[FEW / 8][4];
        zero<FEW / 8>(p);
        zero<FEW / 8>(dp);
        rows_by_rows<D, FEW / 8>(p, ks, row, qs, 0);
        rows_by_rows<D, FEW / 8>(dp, vs, row, ds, 0);
#pragma unroll
        for (int n = 0; n < FEW / 8; n++)
#pragma unroll
          for (int x = 0; x < 4; x++) {
            int key = key0 + row + lane / 4 + x / 2 * 8, i = n * 8 + lane % 4 * 2 + x % 2;
            bool seen = key >= from && key < to && q0 + i < q1 && sees(key_of(r, key - r.start), q0 + i);
            p[n][x] = seen ? exp2_fast(p[n][x] * to_log2 - bases[i]) : 0;
            dp[n][x] = seen ? p[n][x] * (dp[n][x] - means[i]) : 0;
          }
        weights_by_rows<D, FEW / 8>(sum_v, p, ds);
        weights_by_rows<D, FEW / 8>(sum_k, dp, qs);
        sync_block();
      }
    }
  copy_commit();
  copy_wait<0>();
  u64 next = (u64)a.heads * a.dim;
  float *to = parts + key0 * next + h * a.dim;
  store_part<D>(to, next, sum_k, row, span.rows, a.dim);
  store_part<D>(to + keys.tokens * next, next, sum_v, row, span.rows, a.dim);
}

#define DEFINE(D, FEW) \
  KERNEL(THREADS, 1) attention_bf16_##D(bf16 *packed, const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *ck, const bf16 *cv, Keys keys, Bound b, Heads a, double scale) { attention<D>(packed, q, k, v, ck, cv, keys, b, a, scale); } \
  EXPORT(attention_bf16_##D) \
  KERNEL(THREADS, 1) attention_dq_bf16_##D(bf16 *dq, const float *delta, const bf16 *packed, const bf16 *dout, const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *ck, const bf16 *cv, Keys keys, Bound b, Heads a, double scale) { attention_dq<D>(dq, delta, packed, dout, q, k, v, ck, cv, keys, b, a, scale); } \
  EXPORT(attention_dq_bf16_##D) \
  KERNEL(THREADS, 1) attention_dkv_bf16_##D(float *parts, const float *delta, const bf16 *packed, const bf16 *dout, const bf16 *q, const bf16 *k, const bf16 *v, Keys keys, Bound b, Heads a, double scale) { attention_dkv<D, FEW>(parts, delta, packed, dout, q, k, v, keys, b, a, scale); } \
  EXPORT(attention_dkv_bf16_##D)
DEFINE(64, 32)
DEFINE(128, 16)
