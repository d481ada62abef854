// attention_sm90.cu: attention over key ranges on Hopper, for heads of 64 and 128: what attention_sm80.cu computes, sum by
// sum, save the gradients of keys and values. A block treats 128 queries (or keys) of one segment and one head, 64 a consumer
// group, while the producer brings blocks of 64 keys (or queries): as a box where they lie together, else line by line, with
// zeros for what is nobody's. Blocks are taken in the order of their numbers, heads first, so that the tiles with most to do come
// first: the last ones of queries, which see most keys, and the first ones of keys.
#include "hopper.h"
#include "ranges.h"
#include "tiles.h"

enum { TILE = CONSUMERS * BLOCK, STAGES = 4, PANEL = BLOCK * LINE };
typedef Ring<STAGES> R;

struct Inputs {
  Brought q, dout, k, v, ck, cv;
};

// A Note goes with each stage of keys: whether it is the end, and what sees which key unless all see all.
enum Kind { END, MASKED, PLAIN };
struct Note {
  Kind kind;
  int unused;
  struct {
    int first, last;
  } keys[BLOCK];
};
// QueryNote: of a stage of queries q0 to q1 of a segment, of which range r makes keys from to `to` (rows) seen.
struct QueryNote {
  Kind kind;
  int from, to, q0, q1;
  Range range;
  Pair bases[BLOCK / 2], means[BLOCK / 2];
};

// A tile is 64 rows of D elements in panels of 64 columns. along: 16 columns of it, terms along its rows; across: 16 rows,
// which are terms.
DEVFN u64 along(saddr tile, int k) { return matrix_at(tile + k / 4 * PANEL + k % 4 * 32, 16, 1024); }
DEVFN u64 across(saddr tile, int k) { return matrix_at(tile + k * 16 * LINE, PANEL, 1024); }

// rows_by_rows begins to make sum the products of the rows of x with those of y.
template <int D> DEVFN void rows_by_rows(float (&sum)[BLOCK / 2], saddr x, saddr y) {
  product<BLOCK, false, false, false>(sum, along(x, 0), along(y, 0));
#pragma unroll
  for (int k = 1; k < D / 16; k++) product<BLOCK, true, false, false>(sum, along(x, k), along(y, k));
}

// Held are a warp's 16 rows of a tile in registers, so that products read shared memory once for it and not with every block.
template <int D> struct Held {
  u32 part[D / 16][4];
};
template <int D> DEVFN void hold(Held<D> &x, saddr tile) {
  int lane = thread() % 32;
  saddr row = tile + thread() % GROUP / 32 * 16 * LINE + lane % 16 * LINE + ((lane / 16 ^ lane % 8) << 4);
#pragma unroll
  for (int k = 0; k < D / 16; k++) load_matrices(x.part[k], (row + k / 4 * PANEL) ^ k % 4 << 5);
}
template <int D> DEVFN void rows_by_rows(float (&sum)[BLOCK / 2], const Held<D> &x, saddr y) {
  weighted<BLOCK, false, false>(sum, x.part[0], along(y, 0));
#pragma unroll
  for (int k = 1; k < D / 16; k++) weighted<BLOCK, true, false>(sum, x.part[k], along(y, k));
}

// round_weights rounds 64 × 64 accumulators to what weights_by_rows takes.
struct Weights {
  u32 part[BLOCK / 16][4];
};
DEVFN void round_weights(Weights &w, const float (&x)[BLOCK / 2]) {
#pragma unroll
  for (int k = 0; k < BLOCK / 16; k++)
#pragma unroll
    for (int i = 0; i < 4; i++) w.part[k][i] = pack2(x[k * 8 + i * 2], x[k * 8 + i * 2 + 1]);
}
// weights_by_rows begins to add to sum [64 × D] the product of the weights with the rows of y.
template <int D> DEVFN void weights_by_rows(float (&sum)[D / 2], const Weights &w, saddr y) {
#pragma unroll
  for (int k = 0; k < BLOCK / 16; k++) weighted<D, true, true>(sum, w.part[k], across(y, k));
}

template <int N> DEVFN void zero(float (&x)[N]) {
#pragma unroll
  for (int i = 0; i < N; i++) x[i] = 0;
}

// my_row is the first of the two rows of a group's 64 that a thread has parts of; the other is 8 further. my_column is the
// first of the pair of columns that it has of every 8.
DEVFN int my_row() { return thread() % GROUP / 32 * 16 + thread() % 32 / 4; }
DEVFN int my_column() { return thread() % 4 * 2; }

// store_rows writes the rows of 64 × D accumulators that lie below `rows`; row_at gives where one goes.
template <int D, class F> DEVFN void store_rows(const float (&sum)[D / 2], int row, int rows, const float *factor, F row_at) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
    int r = row + half * 8;
    if (r >= rows) continue;
    bf16 *to = row_at(r);
    bool aligned = ((u64)to & 3) == 0;
#pragma unroll
    for (int j = 0; j < D / 8; j++) store2(to + j * 8 + my_column(), sum[j * 4 + half * 2] * factor[half], sum[j * 4 + half * 2 + 1] * factor[half], true, aligned);
  }
}

// last_tile is the last that a batch of the capacity can have: the grid's, whose last block it is.
DEVFN int last_tile(const Keys &k) { return (k.tokens + TILE - 1) / TILE + k.segments - 1; }

// A Run is where a block of 64 logical positions lies, if in one range.
struct Run {
  Range range;
  int offset;
  bool whole;
};
DEVFN Run run_at(const Segments &s, int segment, int position) {
  for (int j = s.offsets[segment]; j < s.offsets[segment + 1]; j++) {
    Range r = range_of(s, j);
    int n = r.end - r.start;
    if (position < n) return {r, position, position + BLOCK <= n};
    position -= n;
  }
  return {{0, 0, 0, 0, 0}, 0, false};
}

// KeyBlocks are the blocks of keys that a span's queries see, one after another.
struct KeyBlocks {
  const Segments &s;
  const Span &span;
  int block, blocks;
  Run run;
};
DEVFN bool find(KeyBlocks &b) {
  while (b.block < b.blocks && !block_seen(b.s, b.span.segment, b.block, b.span.first, b.span.first + b.span.rows - 1)) b.block++;
  if (b.block == b.blocks) return false;
  b.run = run_at(b.s, b.span.segment, b.block * BLOCK);
  return true;
}
// describe writes a block's note, a warp together.
DEVFN void describe(Note &note, const KeyBlocks &b) {
  const Run &r = b.run;
  bool plain = r.whole && key_of(r.range, r.offset + BLOCK - 1).first <= b.span.first && key_of(r.range, r.offset).last >= b.span.first + TILE - 1;
  if (thread() == 0) note.kind = plain ? PLAIN : MASKED;
  for (int i = thread(); i < BLOCK && !plain; i += 32) {
    Key k = key_at(b.s, b.span.segment, b.block * BLOCK + i);
    note.keys[i].first = k.first, note.keys[i].last = k.last;
  }
  sync_warp();
}
template <int D> DEVFN void bring_keys(saddr to, const Brought *batch, const Brought *cache, int head, const KeyBlocks &b, saddr barrier) {
  const Run &r = b.run;
  if (!r.whole)
    bring_lines<BLOCK, D / 64>(to, PANEL, head * D, barrier, [&](int i) {
      Key k = key_at(b.s, b.span.segment, b.block * BLOCK + i);
      return Line{k.buffer ? cache : batch, k.last < 0 ? -1 : k.row};
    });
  else if (thread() == 0) bring_box<D / 64>(to, PANEL, r.range.buffer ? cache : batch, head * D, r.range.start + r.offset, barrier);
}
// end tells the consumers that nothing follows.
template <class N> DEVFN void end(N *notes, saddr ring, int use) {
  R::wait_empty(ring, use);
  if (thread() > 0) return;
  notes[use % STAGES].kind = END;
  barrier_arrive(R::full(ring, use));
}

// seen tells whether accumulator x of a thread, whose rows are queries i and i + 8, is of a key that the query sees.
DEVFN bool seen(const Note &note, int x, int i) {
  auto key = note.keys[x / 4 * 8 + my_column() + x % 2];
  int query = i + x / 2 % 2 * 8;
  return query >= key.first && query <= key.last;
}

// Softmax is a thread's part of two rows' running softmax, in powers of two.
struct Softmax {
  float top[2], sum[2], shrink[2];
};
// soften makes weights of scores, whose rows are queries i and i + 8, and says by how much what came before shrinks.
template <bool MASK> DEVFN void soften_block(float (&score)[BLOCK / 2], Softmax &m, const Note &note, int i, float to_log2) {
  float before[2] = {m.top[0], m.top[1]};
#pragma unroll
  for (int x = 0; x < BLOCK / 2; x++) {
    score[x] = MASK && !seen(note, x, i) ? -INFINITE : score[x] * to_log2;
    m.top[x / 2 % 2] = larger(score[x], m.top[x / 2 % 2]);
  }
#pragma unroll
  for (int r = 0; r < 2; r++) {
#pragma unroll
    for (int x = 1; x < 4; x *= 2) m.top[r] = larger(shuffle_xor(m.top[r], x), m.top[r]);
    float base = m.top[r] == -INFINITE ? 0 : m.top[r];
    m.shrink[r] = exp2_fast(before[r] - base);
    if (before[r] == m.top[r]) m.shrink[r] = 1; // also when the row has seen nothing yet
#pragma unroll
    for (int j = 0; j < BLOCK / 8; j++)
#pragma unroll
      for (int x = 2 * r; x < 2 * r + 2; x++) score[j * 4 + x] = exp2_fast(score[j * 4 + x] - base);
    m.sum[r] *= m.shrink[r];
#pragma unroll
    for (int j = 0; j < BLOCK / 8; j++) m.sum[r] += score[j * 4 + 2 * r] + score[j * 4 + 2 * r + 1];
  }
}

DEVFN void soften(float (&score)[BLOCK / 2], Softmax &m, const Note &note, int i, float to_log2) {
  if (note.kind == PLAIN) soften_block<false>(score, m, note, i, to_log2);
  else soften_block<true>(score, m, note, i, to_log2);
}

// While the softmax of a block is computed, the values of the block before are being weighed.
template <int D> DEVFN void attention(bf16 *packed, const Inputs *in, Keys keys, Bound b, Heads a, double scale) {
  enum { BYTES = BLOCK * D * 2 };
  DYNAMIC_SHARED(memory);
  saddr qs = shared_address(memory), ks = qs + CONSUMERS * BYTES, vs = ks + STAGES * BYTES, key_ring = vs + STAGES * BYTES, value_ring = key_ring + R::BYTES, ready = value_ring + R::BYTES;
  Note *notes = (Note *)(memory + (ready + 16 - qs));
  int h = block_x(), group = thread() / GROUP;
  if (faulty(b)) return;
  Segments s = segments_of(keys, b);
  Span span = span_of<TILE>(s, last_tile(keys) - block_y());
  if (span.rows == 0) return;
  if (thread() == 0) {
    R::init(key_ring);
    R::init(value_ring);
    barrier_init(ready, 1);
    barrier_publish();
  }
  sync_block();
  if (group == 0) {
    producer_registers<24>();
    if (thread() >= 32) return;
    if (thread() == 0) {
      barrier_expect(ready, CONSUMERS * BYTES);
      for (int g = 0; g < CONSUMERS; g++) bring_box<D / 64>(qs + g * BYTES, PANEL, &in->q, h * D, span.start + span.first + g * BLOCK, ready);
    }
    int head = h * a.kv_heads / a.heads, use = 0;
    KeyBlocks blocks = {s, span, 0, (key_count(s, span.segment) + BLOCK - 1) / BLOCK, {}};
    for (; find(blocks); blocks.block++, use++) {
      R::wait_empty(key_ring, use);
      describe(notes[use % STAGES], blocks);
      if (thread() == 0) barrier_expect(R::full(key_ring, use), BYTES);
      bring_keys<D>(ks + use % STAGES * BYTES, &in->k, &in->ck, head, blocks, R::full(key_ring, use));
      R::wait_empty(value_ring, use);
      sync_warp(); // a lane that comes late would miss a phase, were values released before the next keys are there
      if (thread() == 0) barrier_expect(R::full(value_ring, use), BYTES);
      bring_keys<D>(vs + use % STAGES * BYTES, &in->v, &in->cv, head, blocks, R::full(value_ring, use));
    }
    end(notes, key_ring, use);
    return;
  }
  consumer_registers<24>();
  Held<D> queries;
  int row = (group - 1) * BLOCK + my_row(), i = span.first + row;
  float out[D / 2], score[BLOCK / 2], to_log2 = (float)scale * LOG2E;
  Softmax m = {{-INFINITE, -INFINITE}, {0, 0}, {1, 1}};
  zero(out);
  barrier_wait(ready, 0);
  hold(queries, qs + (group - 1) * BYTES);
  R::wait_full(key_ring, 0);
  if (notes[0].kind != END) {
    Weights weights;
    settle(score);
    products_begin();
    rows_by_rows(score, queries, ks);
    products_commit();
    products_wait<0>();
    settle(score);
    soften(score, m, notes[0], i, to_log2);
    R::release(key_ring, 0);
    round_weights(weights, score);
    int use = 0; // of the values
    for (;; use++) {
      R::wait_full(key_ring, use + 1);
      if (notes[(use + 1) % STAGES].kind == END) break;
      settle(score);
      products_begin();
      rows_by_rows(score, queries, ks + (use + 1) % STAGES * BYTES);
      products_commit();
      R::wait_full(value_ring, use);
      settle(out);
      products_begin();
      weights_by_rows<D>(out, weights, vs + use % STAGES * BYTES);
      products_commit();
      products_wait<1>();
      settle(score);
      soften(score, m, notes[(use + 1) % STAGES], i, to_log2);
      R::release_after(key_ring, use + 1, m.sum[0] + m.sum[1]); // so the weights are made while the values are weighed
      settle(score);
      products_wait<0>();
      settle(out);
      R::release(value_ring, use);
#pragma unroll
      for (int j = 0; j < D / 2; j++) out[j] *= m.shrink[j / 2 % 2];
      round_weights(weights, score);
    }
    R::wait_full(value_ring, use);
    settle(out);
    products_begin();
    weights_by_rows<D>(out, weights, vs + use % STAGES * BYTES);
    products_commit();
    products_wait<0>();
    settle(out);
  }
  float *lse = (float *)(packed + (u64)keys.tokens * a.heads * D), factor[2];
#pragma unroll
  for (int r = 0; r < 2; r++) {
#pragma unroll
    for (int x = 1; x < 4; x *= 2) m.sum[r] += shuffle_xor(m.sum[r], x);
    factor[r] = m.sum[r] == 0 ? 0 : 1 / m.sum[r]; // 0: no key was seen
    if (thread() % 4 == 0 && row + r * 8 < span.rows)
      lse[(u64)(span.start + i + r * 8) * a.heads + h] = m.sum[r] == 0 ? -INFINITE : (m.top[r] + log2_fast(m.sum[r])) * LN2;
  }
  store_rows<D>(out, row, span.rows, factor, [&](int r) { return packed + ((u64)(span.start + span.first + r) * a.heads + h) * D; });
}

// With dp = dout·value, δ = dout·out and ds = p·(dp − δ): dq = scale·Σ_keys ds·key.
template <int D> DEVFN void attention_dq(bf16 *dq, const float *delta, const bf16 *packed, const Inputs *in, Keys keys, Bound b, Heads a, double scale) {
  enum { BYTES = BLOCK * D * 2 };
  DYNAMIC_SHARED(memory);
  saddr qs = shared_address(memory), ds = qs + CONSUMERS * BYTES, ks = ds + CONSUMERS * BYTES, vs = ks + STAGES * BYTES, ring = vs + STAGES * BYTES, ready = ring + R::BYTES;
  Note *notes = (Note *)(memory + (ready + 16 - qs));
  int h = block_x(), group = thread() / GROUP;
  if (faulty(b)) return;
  Segments s = segments_of(keys, b);
  Span span = span_of<TILE>(s, last_tile(keys) - block_y());
  if (span.rows == 0) return;
  if (thread() == 0) {
    R::init(ring);
    barrier_init(ready, 1);
    barrier_publish();
  }
  sync_block();
  int first = span.start + span.first;
  if (group == 0) {
    producer_registers<24>();
    if (thread() >= 32) return;
    if (thread() == 0) {
      barrier_expect(ready, 2 * CONSUMERS * BYTES);
      for (int g = 0; g < CONSUMERS; g++) {
        bring_box<D / 64>(qs + g * BYTES, PANEL, &in->q, h * D, first + g * BLOCK, ready);
        bring_box<D / 64>(ds + g * BYTES, PANEL, &in->dout, h * D, first + g * BLOCK, ready);
      }
    }
    int head = h * a.kv_heads / a.heads, use = 0;
    KeyBlocks blocks = {s, span, 0, (key_count(s, span.segment) + BLOCK - 1) / BLOCK, {}};
    for (; find(blocks); blocks.block++, use++) {
      R::wait_empty(ring, use);
      describe(notes[use % STAGES], blocks);
      if (thread() == 0) barrier_expect(R::full(ring, use), 2 * BYTES);
      bring_keys<D>(ks + use % STAGES * BYTES, &in->k, &in->ck, head, blocks, R::full(ring, use));
      bring_keys<D>(vs + use % STAGES * BYTES, &in->v, &in->cv, head, blocks, R::full(ring, use));
    }
    end(notes, ring, use);
    return;
  }
  consumer_registers<24>();
  Held<D> queries, slopes; // slopes: of dout
  int row = (group - 1) * BLOCK + my_row(), i = span.first + row;
  const float *lse = (const float *)(packed + (u64)keys.tokens * a.heads * D);
  float to_log2 = (float)scale * LOG2E, base[2], mean[2], sum[D / 2], score[BLOCK / 2], dp[BLOCK / 2];
#pragma unroll
  for (int r = 0; r < 2; r++) {
    u64 at = (u64)(first + row + r * 8) * a.heads + h;
    base[r] = row + r * 8 < span.rows ? lse[at] * LOG2E : 0;
    mean[r] = row + r * 8 < span.rows ? delta[at] : 0;
  }
  zero(sum);
  barrier_wait(ready, 0);
  hold(queries, qs + (group - 1) * BYTES);
  hold(slopes, ds + (group - 1) * BYTES);
  for (int use = 0;; use++) {
    R::wait_full(ring, use);
    const Note &note = notes[use % STAGES];
    if (note.kind == END) break;
    saddr k = ks + use % STAGES * BYTES, v = vs + use % STAGES * BYTES;
    settle(score);
    settle(dp);
    products_begin();
    rows_by_rows(score, queries, k);
    rows_by_rows(dp, slopes, v);
    products_commit();
    products_wait<0>();
    settle(score);
    settle(dp);
    auto weigh = [&](bool plain) {
#pragma unroll
      for (int x = 0; x < BLOCK / 2; x++) score[x] = plain || seen(note, x, i) ? exp2_fast(score[x] * to_log2 - base[x / 2 % 2]) * (dp[x] - mean[x / 2 % 2]) : 0;
    };
    if (note.kind == PLAIN) weigh(true);
    else weigh(false);
    Weights weights;
    round_weights(weights, score);
    settle(sum);
    products_begin();
    weights_by_rows<D>(sum, weights, k);
    products_commit();
    products_wait<0>();
    settle(sum);
    R::release(ring, use);
  }
  float factor[2] = {(float)scale, (float)scale};
  store_rows<D>(sum, row, span.rows, factor, [&](int r) { return dq + ((u64)(first + r) * a.heads + h) * D; });
}

// store_part writes the rows of 64 × D accumulators that lie below `rows`, as they are.
template <int D> DEVFN void store_part(float *to, u64 step, const float (&sum)[D / 2], int row, int rows) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
    if (row + half * 8 >= rows) continue;
    float *at = to + (row + half * 8) * step + my_column();
#pragma unroll
    for (int j = 0; j < D / 8; j++) *(Pair *)(at + j * 8) = {sum[j * 4 + half * 2], sum[j * 4 + half * 2 + 1]};
  }
}

// attention_dkv: what the queries of one head add to the gradients of a tile of keys and values, which attention_dkv_sum adds
// up: dk = scale·Σ_queries ds·query and dv = Σ_queries p·dout. The sums run over the segments that see the keys, their ranges
// and their queries in ascending order. parts are [tokens, heads, D] of dk without the scale, then as many of dv.
template <int D> DEVFN void attention_dkv(float *parts, const float *delta, const bf16 *packed, const Inputs *in, Keys keys, Bound b, Heads a, double scale) {
  enum { BYTES = BLOCK * D * 2 };
  DYNAMIC_SHARED(memory);
  saddr ks = shared_address(memory), vs = ks + CONSUMERS * BYTES, qs = vs + CONSUMERS * BYTES, ds = qs + STAGES * BYTES, ring = ds + STAGES * BYTES, ready = ring + R::BYTES;
  QueryNote *notes = (QueryNote *)(memory + (ready + 16 - ks));
  int h = block_x(), group = thread() / GROUP;
  if (faulty(b)) return;
  Segments s = segments_of(keys, b);
  Span span = span_of<TILE>(s, block_y());
  if (span.rows == 0) return;
  if (thread() == 0) {
    R::init(ring);
    barrier_init(ready, 1);
    barrier_publish();
  }
  sync_block();
  int key0 = span.start + span.first, key1 = key0 + span.rows;
  if (group == 0) {
    producer_registers<24>();
    if (thread() >= 32) return;
    if (thread() == 0) {
      int head = h * a.kv_heads / a.heads;
      barrier_expect(ready, 2 * CONSUMERS * BYTES);
      for (int g = 0; g < CONSUMERS; g++) {
        bring_box<D / 64>(ks + g * BYTES, PANEL, &in->k, head * D, key0 + g * BLOCK, ready);
        bring_box<D / 64>(vs + g * BYTES, PANEL, &in->v, head * D, key0 + g * BLOCK, ready);
      }
    }
    const float *lse = (const float *)(packed + (u64)keys.tokens * a.heads * D);
    int use = 0;
    for (int segment = 0; segment < s.count; segment++)
      for (int j = s.offsets[segment]; j < s.offsets[segment + 1]; j++) {
        Range r = range_of(s, j);
        int from = r.start > key0 ? r.start : key0, to = r.end < key1 ? r.end : key1;
        if (r.buffer != 0 || from >= to) continue;
        int start = s.starts[segment], length = s.starts[segment + 1] - start;
        Key lowest = key_of(r, from - r.start), highest = key_of(r, to - 1 - r.start);
        for (int q0 = 0; q0 < length; q0 += BLOCK) {
          int q1 = q0 + BLOCK < length ? q0 + BLOCK : length;
          if (lowest.first >= q1 || highest.last < q0) continue;
          R::wait_empty(ring, use);
          QueryNote &note = notes[use % STAGES];
          bool plain = to - from == TILE && q1 - q0 == BLOCK && highest.first <= q0 && lowest.last >= q1 - 1;
          if (thread() == 0) note.kind = plain ? PLAIN : MASKED, note.from = from, note.to = to, note.q0 = q0, note.q1 = q1, note.range = r;
          auto of = [&](const float *x, int i) { return q0 + i < q1 ? x[(u64)(start + q0 + i) * a.heads + h] : 0; };
          int i = 2 * thread();
          note.bases[thread()] = {of(lse, i) * LOG2E, of(lse, i + 1) * LOG2E};
          note.means[thread()] = {of(delta, i), of(delta, i + 1)};
          sync_warp();
          saddr full = R::full(ring, use), q = qs + use % STAGES * BYTES, d = ds + use % STAGES * BYTES;
          if (thread() == 0) barrier_expect(full, 2 * BYTES);
          if (q1 - q0 < BLOCK) {
            bring_lines<BLOCK, D / 64>(q, PANEL, h * D, full, [&](int i) { return Line{&in->q, q0 + i < q1 ? start + q0 + i : -1}; });
            bring_lines<BLOCK, D / 64>(d, PANEL, h * D, full, [&](int i) { return Line{&in->dout, q0 + i < q1 ? start + q0 + i : -1}; });
          } else if (thread() == 0) {
            bring_box<D / 64>(q, PANEL, &in->q, h * D, start + q0, full);
            bring_box<D / 64>(d, PANEL, &in->dout, h * D, start + q0, full);
          }
          use++;
        }
      }
    end(notes, ring, use);
    return;
  }
  consumer_registers<24>();
  saddr offset = (group - 1) * BYTES;
  int row = (group - 1) * BLOCK + my_row(), mine = key0 + (group - 1) * BLOCK;
  float to_log2 = (float)scale * LOG2E, sum_k[D / 2], sum_v[D / 2], p[BLOCK / 2], dp[BLOCK / 2];
  zero(sum_k);
  zero(sum_v);
  barrier_wait(ready, 0);
  for (int use = 0;; use++) {
    R::wait_full(ring, use);
    const QueryNote &note = notes[use % STAGES];
    if (note.kind == END) break;
    Range r = note.range;
    int from = note.from > mine ? note.from : mine, to = note.to < mine + BLOCK ? note.to : mine + BLOCK, q0 = note.q0, q1 = note.q1;
    if (from >= to || key_of(r, from - r.start).first >= q1 || key_of(r, to - 1 - r.start).last < q0) { // none of this group's keys
      R::release(ring, use);
      continue;
    }
    saddr q = qs + use % STAGES * BYTES, d = ds + use % STAGES * BYTES;
    settle(p);
    settle(dp);
    products_begin();
    rows_by_rows<D>(p, fresh(ks + offset), q);
    rows_by_rows<D>(dp, fresh(vs + offset), d);
    products_commit();
    products_wait<0>();
    settle(p);
    settle(dp);
    auto weigh = [&](bool plain) {
      int first[2], last[2]; // the queries of this stage that see each of the thread's two keys
#pragma unroll
      for (int half = 0; half < 2; half++) {
        int key = key0 + row + half * 8;
        Key k = key_of(r, key - r.start);
        bool there = key >= from && key < to;
        first[half] = there ? k.first - q0 : BLOCK;
        last[half] = k.last < q1 ? k.last - q0 : q1 - 1 - q0;
      }
#pragma unroll
      for (int j = 0; j < BLOCK / 8; j++) {
        Pair base = note.bases[j * 4 + thread() % 4], mean = note.means[j * 4 + thread() % 4];
#pragma unroll
        for (int x = 0; x < 4; x++) {
          int at = j * 4 + x, i = j * 8 + my_column() + x % 2;
          bool seen = plain || (i >= first[x / 2] && i <= last[x / 2]);
          p[at] = seen ? exp2_fast(p[at] * to_log2 - (x % 2 ? base.y : base.x)) : 0;
          dp[at] = seen ? p[at] * (dp[at] - (x % 2 ? mean.y : mean.x)) : 0;
        }
      }
    };
    if (note.kind == PLAIN) weigh(true);
    else weigh(false);
    Weights of_v, of_k;
    round_weights(of_v, p);
    round_weights(of_k, dp);
    settle(sum_v);
    settle(sum_k);
    products_begin();
    weights_by_rows<D>(sum_v, of_v, d);
    weights_by_rows<D>(sum_k, of_k, q);
    products_commit();
    products_wait<0>();
    settle(sum_v);
    settle(sum_k);
    R::release(ring, use);
  }
  u64 step = (u64)a.heads * D;
  float *to = parts + (u64)key0 * step + h * D;
  store_part<D>(to, step, sum_k, row, span.rows);
  store_part<D>(to + keys.tokens * step, step, sum_v, row, span.rows);
}

#define DEFINE(D) \
  KERNEL(HOPPER_THREADS, 1) attention_hopper_##D(bf16 *packed, Inputs in, Keys keys, Bound b, Heads a, double scale) { attention<D>(packed, PARAM_AT(attention_hopper_##D, 1, in), keys, b, a, scale); } \
  EXPORT(attention_hopper_##D) \
  KERNEL(HOPPER_THREADS, 1) attention_dq_hopper_##D(bf16 *dq, const float *delta, const bf16 *packed, Inputs in, Keys keys, Bound b, Heads a, double scale) { attention_dq<D>(dq, delta, packed, PARAM_AT(attention_dq_hopper_##D, 3, in), keys, b, a, scale); } \
  EXPORT(attention_dq_hopper_##D) \
  KERNEL(HOPPER_THREADS, 1) attention_dkv_hopper_##D(float *parts, const float *delta, const bf16 *packed, Inputs in, Keys keys, Bound b, Heads a, double scale) { attention_dkv<D>(parts, delta, packed, PARAM_AT(attention_dkv_hopper_##D, 3, in), keys, b, a, scale); } \
  EXPORT(attention_dkv_hopper_##D)
DEFINE(64)
DEFINE(128)
