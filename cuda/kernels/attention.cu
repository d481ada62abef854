// attention.cu: attention over key ranges in f32 and f64, without tensor cores. A block treats one query (or key) of one
// head: its threads take a logical block of keys (or queries) each, then a column of the result each. The softmax is
// online over blocks of 64 logical positions, so a row does not depend on how its keys are cut into ranges.
#include "functions.h"
#include "ranges.h"
#include "tiles.h"

enum { THREADS = BLOCK, MAX_DIM = 256, PER_THREAD = MAX_DIM / THREADS };

// check_segments makes sure that what the three tensors say leads nowhere outside of the buffers; one block.
KERNEL(256, 1) check_segments(Keys keys, Bound b, int ranges, int cache) {
  int count = live_of(b, SEGMENTS, keys.segments), tokens = live_of(b, TOKENS, keys.tokens);
  if (b.live && (b.live[SEGMENTS] > keys.segments || b.live[TOKENS] > keys.tokens)) return;
  bool ok = keys.starts[0] == 0 && keys.starts[count] == tokens && keys.offsets[0] >= 0 && keys.offsets[count] <= ranges;
  if (!ok) {
    if (thread() == 0) fail(b, 0);
    return;
  }
  Segments s = {keys.starts, keys.offsets, keys.ranges, count, tokens};
  for (int i = thread(); i < count; i += 256) {
    bool fits = s.starts[i] >= 0 && s.starts[i] <= s.starts[i + 1] && s.starts[i + 1] <= tokens && s.offsets[i] >= 0 && s.offsets[i] <= s.offsets[i + 1] && s.offsets[i + 1] <= ranges;
    for (int j = s.offsets[i]; fits && j < s.offsets[i + 1]; j++) {
      Range r = range_of(s, j);
      fits = r.buffer >= 0 && r.buffer <= 1 && r.start >= 0 && r.start <= r.end && r.end <= (r.buffer ? cache : tokens) &&
             r.mask >= MASK_FULL && r.mask <= MASK_WINDOW && (r.mask != MASK_WINDOW || r.window >= 1);
    }
    if (!fits) fail(b, i + 1);
  }
}
EXPORT(check_segments)

template <class T> DEVFN T dot(const T *x, const T *y, int n) {
  T s = 0;
  for (int i = 0; i < n; i++) s = fused(x[i], y[i], s);
  return s;
}

// gather_key finds the key of this thread's logical position and notes in seen[] which row of which buffer it is: −1 if
// the query at offset i does not see it, else twice the row, plus one if it is of the cache.
DEVFN int gather_key(const Segments &s, int segment, int block, int i) {
  Key k = key_at(s, segment, block * BLOCK + thread());
  return i >= k.first && i <= k.last ? 2 * k.row + k.buffer : -1;
}
template <class T> DEVFN const T *row_of(const T *batch, const T *cache, int seen, int kv_heads, int head, int dim) {
  return (seen & 1 ? cache : batch) + ((u64)(seen / 2) * kv_heads + head) * dim;
}

template <class T> DEVFN void attention(T *packed, const T *q, const T *k, const T *v, const T *ck, const T *cv, Keys keys, Bound b, Heads a, double scale) {
  DYNAMIC_SHARED(memory);
  T *scores = (T *)memory;
  int *seen = (int *)(scores + BLOCK);
  int t = block_x(), h = block_y(), head = h * a.kv_heads / a.heads;
  if (faulty(b)) return;
  Segments s = segments_of(keys, b);
  if (t >= s.tokens) return;
  int segment = segment_of(s, t), i = t - s.starts[segment], blocks = (key_count(s, segment) + BLOCK - 1) / BLOCK;
  q += ((u64)t * a.heads + h) * a.dim;
  T top = -INFINITE, sum = 0, out[PER_THREAD];
#pragma unroll
  for (int c = 0; c < PER_THREAD; c++) out[c] = 0;
  for (int block = 0; block < blocks; block++) {
    if (!block_seen(s, segment, block, i, i)) continue;
    int mine = gather_key(s, segment, block, i);
    seen[thread()] = mine;
    T score = mine < 0 ? (T)-INFINITE : dot(q, row_of(k, ck, mine, a.kv_heads, head, a.dim), a.dim) * (T)scale;
    scores[thread()] = score;
    sync_block();
    T before = top;
    for (int j = 0; j < BLOCK; j++)
      if (!(scores[j] <= top)) top = scores[j];
    sync_block();
    scores[thread()] = mine < 0 ? (T)0 : (T)exponential(score - top);
    sync_block();
    T shrink = exponential(before - top);
    sum *= shrink;
    for (int j = 0; j < BLOCK; j++) sum += scores[j];
#pragma unroll
    for (int c = 0; c < PER_THREAD; c++) {
      int d = thread() + c * THREADS;
      if (d >= a.dim) break;
      T o = out[c] * shrink;
      for (int j = 0; j < BLOCK; j++)
        if (seen[j] >= 0) o = fused(scores[j], row_of(v, cv, seen[j], a.kv_heads, head, a.dim)[d], o);
      out[c] = o;
    }
    sync_block();
  }
#pragma unroll
  for (int c = 0; c < PER_THREAD; c++) {
    int d = thread() + c * THREADS;
    if (d < a.dim) packed[((u64)t * a.heads + h) * a.dim + d] = sum == 0 ? (T)0 : out[c] / sum; // 0: no key was seen
  }
  if (thread() == 0) packed[(u64)keys.tokens * a.heads * a.dim + (u64)t * a.heads + h] = sum == 0 ? (T)-INFINITE : (T)(top + (T)logarithm(sum));
}

// With dp = dout·value, δ = dout·out and ds = p·(dp − δ)·scale: dq = Σ_keys ds·key, dk = Σ_queries ds·query, dv = Σ_queries p·dout.
template <class T> DEVFN void attention_dq(T *dq, T *delta, const T *packed, const T *dout, const T *q, const T *k, const T *v, const T *ck, const T *cv, Keys keys, Bound b, Heads a, double scale) {
  DYNAMIC_SHARED(memory);
  T *slopes = (T *)memory;
  int *seen = (int *)(slopes + BLOCK);
  int t = block_x(), h = block_y(), head = h * a.kv_heads / a.heads;
  if (faulty(b)) return;
  Segments s = segments_of(keys, b);
  if (t >= s.tokens) return;
  int segment = segment_of(s, t), i = t - s.starts[segment], blocks = (key_count(s, segment) + BLOCK - 1) / BLOCK;
  u64 row = (u64)t * a.heads + h;
  q += row * a.dim, dout += row * a.dim;
  T lse = packed[(u64)keys.tokens * a.heads * a.dim + row], mean = dot(dout, packed + row * a.dim, a.dim), sum[PER_THREAD];
#pragma unroll
  for (int c = 0; c < PER_THREAD; c++) sum[c] = 0;
  if (thread() == 0) delta[row] = mean;
  for (int block = 0; block < blocks; block++) {
    if (!block_seen(s, segment, block, i, i)) continue;
    int mine = gather_key(s, segment, block, i);
    seen[thread()] = mine;
    if (mine >= 0) {
      T p = exponential(dot(q, row_of(k, ck, mine, a.kv_heads, head, a.dim), a.dim) * (T)scale - lse);
      slopes[thread()] = p * (dot(dout, row_of(v, cv, mine, a.kv_heads, head, a.dim), a.dim) - mean) * (T)scale;
    }
    sync_block();
#pragma unroll
    for (int c = 0; c < PER_THREAD; c++) {
      int d = thread() + c * THREADS;
      if (d >= a.dim) break;
      for (int j = 0; j < BLOCK; j++)
        if (seen[j] >= 0) sum[c] = fused(slopes[j], row_of(k, ck, seen[j], a.kv_heads, head, a.dim)[d], sum[c]);
    }
    sync_block();
  }
#pragma unroll
  for (int c = 0; c < PER_THREAD; c++) {
    int d = thread() + c * THREADS;
    if (d < a.dim) dq[row * a.dim + d] = sum[c];
  }
}

// attention_dkv: one key of the batch, for one key/value head. Its sums run over the segments, their ranges, their queries
// and the heads of its group in ascending order.
template <class T> DEVFN void attention_dkv(T *dk, T *dv, const T *delta, const T *packed, const T *dout, const T *q, const T *k, const T *v, Keys keys, Bound b, Heads a, double scale) {
  DYNAMIC_SHARED(memory);
  T *slopes = (T *)memory, *weights = slopes + BLOCK;
  int row = block_x(), head = block_y(), group = a.heads / a.kv_heads;
  if (faulty(b)) return;
  Segments s = segments_of(keys, b);
  if (row >= s.tokens) return;
  const T *key = k + ((u64)row * a.kv_heads + head) * a.dim, *value = v + ((u64)row * a.kv_heads + head) * a.dim;
  const T *lse = packed + (u64)keys.tokens * a.heads * a.dim;
  T sum_k[PER_THREAD], sum_v[PER_THREAD];
#pragma unroll
  for (int c = 0; c < PER_THREAD; c++) sum_k[c] = 0, sum_v[c] = 0;
  for (int segment = 0; segment < s.count; segment++)
    for (int j = s.offsets[segment]; j < s.offsets[segment + 1]; j++) {
      Range r = range_of(s, j);
      if (r.buffer != 0 || row < r.start || row >= r.end) continue;
      Key seen = key_of(r, row - r.start);
      int start = s.starts[segment], last = s.starts[segment + 1] - start - 1;
      if (seen.last < last) last = seen.last;
      int pairs = (last - seen.first + 1) * group; // of a query and a head
      for (int p0 = 0; p0 < pairs; p0 += BLOCK) {
        int pair = p0 + thread();
        if (pair < pairs) {
          u64 at = (u64)(start + seen.first + pair / group) * a.heads + head * group + pair % group;
          T p = exponential(dot(q + at * a.dim, key, a.dim) * (T)scale - lse[at]);
          weights[thread()] = p;
          slopes[thread()] = p * (dot(dout + at * a.dim, value, a.dim) - delta[at]) * (T)scale;
        }
        sync_block();
        int count = pairs - p0 < BLOCK ? pairs - p0 : BLOCK;
#pragma unroll
        for (int c = 0; c < PER_THREAD; c++) {
          int d = thread() + c * THREADS;
          if (d >= a.dim) break;
          for (int i = 0; i < count; i++) {
            u64 at = ((u64)(start + seen.first + (p0 + i) / group) * a.heads + head * group + (p0 + i) % group) * a.dim + d;
            sum_k[c] = fused(slopes[i], q[at], sum_k[c]);
            sum_v[c] = fused(weights[i], dout[at], sum_v[c]);
          }
        }
        sync_block();
      }
    }
#pragma unroll
  for (int c = 0; c < PER_THREAD; c++) {
    int d = thread() + c * THREADS;
    u64 at = ((u64)row * a.kv_heads + head) * a.dim + d;
    if (d < a.dim) dk[at] = sum_k[c], dv[at] = sum_v[c];
  }
}

#define DEFINE(suffix, T) \
  KERNEL(THREADS, 1) attention_##suffix(T *packed, const T *q, const T *k, const T *v, const T *ck, const T *cv, Keys keys, Bound b, Heads a, double scale) { attention(packed, q, k, v, ck, cv, keys, b, a, scale); } \
  EXPORT(attention_##suffix) \
  KERNEL(THREADS, 1) attention_dq_##suffix(T *dq, T *delta, const T *packed, const T *dout, const T *q, const T *k, const T *v, const T *ck, const T *cv, Keys keys, Bound b, Heads a, double scale) { attention_dq(dq, delta, packed, dout, q, k, v, ck, cv, keys, b, a, scale); } \
  EXPORT(attention_dq_##suffix) \
  KERNEL(THREADS, 1) attention_dkv_##suffix(T *dk, T *dv, const T *delta, const T *packed, const T *dout, const T *q, const T *k, const T *v, Keys keys, Bound b, Heads a, double scale) { attention_dkv(dk, dv, delta, packed, dout, q, k, v, keys, b, a, scale); } \
  EXPORT(attention_dkv_##suffix)
DEFINE(f32, float)
DEFINE(f64, double)

// attention_dkv_sum makes the gradients of keys and values of what the heads of a key/value head's queries gave for them, from the
// first head to the last. A thread has two numbers.
DEVFN void sum_parts(bf16 *to, const Pair *part, int heads, u64 step, float factor) {
  Pair s = *part;
  for (int h = 1; h < heads; h++) {
    Pair more = part[h * step];
    s = {s.x + more.x, s.y + more.y};
  }
  store2(to, s.x * factor, s.y * factor, true, ((u64)to & 3) == 0);
}
KERNEL(EACH_THREADS, 1) attention_dkv_sum(bf16 *dk, bf16 *dv, const float *parts, Keys keys, Bound b, Heads a, double scale) {
  if (faulty(b)) return;
  int heads = a.heads / a.kv_heads, pairs = a.dim / 2, i = block_x() * EACH_THREADS + thread(), group = i / pairs;
  if (group / a.kv_heads >= live_of(b, TOKENS, keys.tokens)) return;
  const Pair *k = (const Pair *)parts + (u64)group * heads * pairs + i % pairs, *v = k + (u64)keys.tokens * a.heads * pairs;
  sum_parts(dk + (u64)i * 2, k, heads, pairs, (float)scale);
  sum_parts(dv + (u64)i * 2, v, heads, pairs, 1);
}
EXPORT(attention_dkv_sum)
