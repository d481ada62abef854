// rows.cu: ops over rows and elements. Sums are in the wide type of the storage type and in one fixed order.
#include "chunks.h"
#include "functions.h"

#define FOR_ALL(DEFINE) DEFINE(f32, float) DEFINE(f64, double) DEFINE(bf16, bf16)
// storage type, then what a frozen or trained table is stored as
#define FOR_TABLES(DEFINE) \
  DEFINE(f32_f32, float, float) DEFINE(f32_bf16, float, bf16) DEFINE(f64_f64, double, double) DEFINE(f64_bf16, double, bf16) \
  DEFINE(bf16_bf16, bf16, bf16) DEFINE(bf16_f32, bf16, float)

enum { ROW_THREADS = 128 };

// embedding: a block a token.
template <class S, class W> DEVFN void embedding(S *out, const W *table, const int *ids, Bound b, int capacity, int width, int vocabulary) {
  int t = block_x(), rows = rows_of(b, capacity);
  if (t >= rows) return;
  int id = ids[t];
  if (id < 0 || id >= vocabulary) {
    if (thread() == 0) fail(b, t);
    return;
  }
  for (int j = thread(); j < width; j += ROW_THREADS) out[(u64)t * width + j] = Rounded<S>::from(number(table[(u64)id * width + j]));
}
#define DEFINE(suffix, S, W) \
  KERNEL(ROW_THREADS, 1) embedding_##suffix(S *out, const W *table, const int *ids, Bound b, int capacity, int width, int vocabulary) { embedding(out, table, ids, b, capacity, width, vocabulary); } \
  EXPORT(embedding_##suffix)
FOR_TABLES(DEFINE)
#undef DEFINE

// gather: rows of x at reads that are live tokens.
template <class S, class P> DEVFN void gather(P *out, const S *x, const int *reads, Bound b, int capacity, int width, int tokens) {
  int r = block_x(), rows = rows_of(b, capacity), live = live_of(b, TOKENS, tokens);
  if (r >= rows) return;
  int at = reads[r];
  if (at < 0 || at >= live) {
    if (thread() == 0) fail(b, r);
    return;
  }
  for (int j = thread(); j < width; j += ROW_THREADS) out[(u64)r * width + j] = (P)number(x[(u64)at * width + j]);
}
#define DEFINE(suffix, S) \
  KERNEL(ROW_THREADS, 1) gather_##suffix(Of<S>::param *out, const S *x, const int *reads, Bound b, int capacity, int width, int tokens) { gather(out, x, reads, b, capacity, width, tokens); } \
  EXPORT(gather_##suffix)
FOR_ALL(DEFINE)
#undef DEFINE

// scatter adds the rows of dy that name a target, upwards, and writes the sum there; the other targets are zero already.
// The block of a target's first row does all of its rows, so no two blocks meet. targets is live tokens if `live`.
template <class D, class S> DEVFN void scatter(S *out, const D *dy, const int *ids, Bound b, int capacity, int width, int targets, int live) {
  DYNAMIC_SHARED(memory);
  int *earlier = (int *)memory;
  int r = block_x(), rows = rows_of(b, capacity);
  if (live) targets = live_of(b, TOKENS, targets);
  if (r >= rows) return;
  int id = ids[r];
  if (id < 0 || id >= targets) {
    if (thread() == 0) fail(b, r);
    return;
  }
  if (thread() == 0) *earlier = 0;
  sync_block();
  for (int u = thread(); u < r; u += ROW_THREADS)
    if (ids[u] == id) *earlier = 1;
  sync_block();
  if (*earlier) return;
  for (int j = thread(); j < width; j += ROW_THREADS) {
    typename Of<D>::param sum = 0;
    for (int u = r; u < rows; u++)
      if (ids[u] == id) sum += number(dy[(u64)u * width + j]);
    out[(u64)id * width + j] = Rounded<S>::from(sum);
  }
}
#define DEFINE(suffix, D, S) \
  KERNEL(ROW_THREADS, 1) scatter_##suffix(S *out, const D *dy, const int *ids, Bound b, int capacity, int width, int targets, int live) { scatter(out, dy, ids, b, capacity, width, targets, live); } \
  EXPORT(scatter_##suffix)
DEFINE(f32_f32, float, float)
DEFINE(f64_f64, double, double)
DEFINE(bf16_f32, bf16, float) // embedding_dtable
DEFINE(f32_bf16, float, bf16) // gather_dx
#undef DEFINE

template <class S> DEVFN typename Of<S>::wide inverse_rms(const S *x, int width, double eps, typename Of<S>::wide *part) {
  typedef typename Of<S>::wide W;
  W s = 0;
  for (int j = thread(); j < width; j += ROW_THREADS) {
    W v = number(x[j]);
    s += v * v;
  }
  return 1 / root(block_sum<ROW_THREADS / 32>(s, part) / width + (W)eps);
}

// rmsnorm: a block for each head of each token; width is a head's.
template <class S, class P> DEVFN void rmsnorm(S *out, const S *x, const P *w, Bound b, int capacity, int heads, int width, double eps) {
  typedef typename Of<S>::wide W;
  DYNAMIC_SHARED(memory);
  int t = block_x(), rows = rows_of(b, capacity) * heads;
  if (t >= rows) return;
  x += (u64)t * width, out += (u64)t * width;
  W inverse = inverse_rms(x, width, eps, (W *)memory);
  for (int j = thread(); j < width; j += ROW_THREADS) out[j] = Rounded<S>::from(number(x[j]) * inverse * w[j]);
}
#define DEFINE(suffix, S) \
  KERNEL(ROW_THREADS, 1) rmsnorm_##suffix(S *out, const S *x, const Of<S>::param *w, Bound b, int capacity, int heads, int width, double eps) { rmsnorm(out, x, w, b, capacity, heads, width, eps); } \
  EXPORT(rmsnorm_##suffix)
FOR_ALL(DEFINE)
#undef DEFINE

// rmsnorm_dx: with r = 1/√(mean(x²)+eps) and g = w·dy, dx = r·g − x·r³·mean(x·g).
template <class S, class P> DEVFN void rmsnorm_dx(S *out, const S *x, const P *w, const S *dy, Bound b, int capacity, int heads, int width, double eps) {
  typedef typename Of<S>::wide W;
  DYNAMIC_SHARED(memory);
  int t = block_x(), rows = rows_of(b, capacity) * heads;
  if (t >= rows) return;
  x += (u64)t * width, dy += (u64)t * width, out += (u64)t * width;
  W *part = (W *)memory, r = inverse_rms(x, width, eps, part), s = 0;
  for (int j = thread(); j < width; j += ROW_THREADS) s += (W)number(x[j]) * ((W)w[j] * number(dy[j]));
  s = block_sum<ROW_THREADS / 32>(s, part + ROW_THREADS / 32) * r * r * r / width;
  for (int j = thread(); j < width; j += ROW_THREADS) out[j] = Rounded<S>::from(r * ((W)w[j] * number(dy[j])) - number(x[j]) * s);
}
#define DEFINE(suffix, S) \
  KERNEL(ROW_THREADS, 1) rmsnorm_dx_##suffix(S *out, const S *x, const Of<S>::param *w, const S *dy, Bound b, int capacity, int heads, int width, double eps) { rmsnorm_dx(out, x, w, dy, b, capacity, heads, width, eps); } \
  EXPORT(rmsnorm_dx_##suffix)
FOR_ALL(DEFINE)
#undef DEFINE

// inverse_rms writes 1/√(mean(x²)+eps) of each head, for rmsnorm_dw.
#define DEFINE(suffix, S) \
  KERNEL(ROW_THREADS, 1) inverse_rms_##suffix(double *out, const S *x, Bound b, int capacity, int heads, int width, double eps) { \
    DYNAMIC_SHARED(memory); \
    int t = block_x(), rows = rows_of(b, capacity) * heads; \
    if (t >= rows) return; \
    double r = inverse_rms(x + (u64)t * width, width, eps, (Of<S>::wide *)memory); \
    if (thread() == 0) out[t] = r; \
  } \
  EXPORT(inverse_rms_##suffix)
FOR_ALL(DEFINE)
#undef DEFINE

// columns sums f(row, column) over the live rows for 32 columns a block: eight lanes take every eighth row, then add up.
// rmsnorm_dw sums over tokens, sum_heads over heads.
enum { COLUMNS = 32, LANES = 8 };
template <class F> DEVFN double column_sum(int rows, int column, int width, F f) {
  DYNAMIC_SHARED(memory);
  double *part = (double *)memory, s = 0;
  int lane = thread() / COLUMNS;
  if (column < width)
    for (int t = lane; t < rows; t += LANES) s += f(t);
  part[thread()] = s;
  sync_block();
  s = 0;
  for (int i = 0; i < LANES; i++) s += part[i * COLUMNS + thread() % COLUMNS];
  return s;
}
#define DEFINE(suffix, S) \
  KERNEL(COLUMNS *LANES, 1) column_sums_##suffix(Of<S>::param *out, const S *dy, Bound b, int capacity, int width) { \
    int column = block_x() * COLUMNS + thread() % COLUMNS; \
    double s = column_sum(rows_of(b, capacity), column, width, [&](int t) { return (double)number(dy[(u64)t * width + column]); }); \
    if (thread() < COLUMNS && column < width) out[column] = s; \
  } \
  EXPORT(column_sums_##suffix) \
  KERNEL(COLUMNS *LANES, 1) rmsnorm_dw_##suffix(double *part, const S *x, const S *dy, const double *inverse, Bound b, int capacity, int heads, int width) { \
    int all = heads * width, column = block_x() * COLUMNS + thread() % COLUMNS, head = column / width; \
    double s = column_sum(rows_of(b, capacity), column, all, [&](int t) { return (double)number(dy[(u64)t * all + column]) * number(x[(u64)t * all + column]) * inverse[(u64)t * heads + head]; }); \
    if (thread() < COLUMNS && column < all) part[column] = s; \
  } \
  EXPORT(rmsnorm_dw_##suffix) \
  KERNEL(EACH_THREADS, 1) sum_heads_##suffix(Of<S>::param *out, const double *part, int heads, int width) { \
    each(width, [&](u64 j) { \
      double s = 0; \
      for (int h = 0; h < heads; h++) s += part[(u64)h * width + j]; \
      out[j] = s; \
    }); \
  } \
  EXPORT(sum_heads_##suffix)
FOR_ALL(DEFINE)
#undef DEFINE

// rope rotates the pair (i, i+D/2) of each head by position·frequency[i] and stretches it by amplitude: a thread a token and
// i; the angle in float64.
template <class S> DEVFN void rope(S *out, const S *x, const int *positions, const double *frequency, Bound b, int capacity, int heads, int half, int inverse, double amplitude) {
  typedef typename Of<S>::wide W;
  each((u64)rows_of(b, capacity) * half, [&](u64 at) {
    int t = at / half, i = at % half;
    double s, c;
    sine_cosine(positions[t] * frequency[i], s, c);
    W sine = amplitude * (inverse ? -s : s), cosine = amplitude * c;
    for (int h = 0; h < heads; h++) {
      u64 first = ((u64)t * heads + h) * 2 * half + i;
      W u = number(x[first]), v = number(x[first + half]);
      out[first] = Rounded<S>::from(u * cosine - v * sine);
      out[first + half] = Rounded<S>::from(v * cosine + u * sine);
    }
  });
}
#define DEFINE(suffix, S) \
  KERNEL(EACH_THREADS, 1) rope_##suffix(S *out, const S *x, const int *positions, const double *frequency, Bound b, int capacity, int heads, int half, int inverse, double amplitude) { rope(out, x, positions, frequency, b, capacity, heads, half, inverse, amplitude); } \
  EXPORT(rope_##suffix)
FOR_ALL(DEFINE)
#undef DEFINE

// swiglu is g·σ(g)·up; backward, with s = σ(g): dgate = dy·up·s·(1 + g·(1−s)), dup = dy·g·s.
#define DEFINE(suffix, S) \
  KERNEL(EACH_THREADS, 1) swiglu_##suffix(S *out, const S *gate, const S *up, Bound b, int capacity, int width) { \
    mapped<S, 1, 2>((u64)rows_of(b, capacity) * width, {out}, {gate, up}, [&](S *o, const S *in) { \
      Of<S>::wide g = number(in[0]); \
      o[0] = Rounded<S>::from(g * logistic(g) * number(in[1])); \
    }); \
  } \
  EXPORT(swiglu_##suffix) \
  KERNEL(EACH_THREADS, 1) swiglu_backward_##suffix(S *out, const S *gate, const S *up, const S *dy, Bound b, int capacity, int width) { \
    S *dup = out + (u64)capacity * width; \
    mapped<S, 2, 3>((u64)rows_of(b, capacity) * width, {out, dup}, {gate, up, dy}, [&](S *o, const S *in) { \
      Of<S>::wide g = number(in[0]), d = number(in[2]), s = logistic(g); \
      o[0] = Rounded<S>::from(d * number(in[1]) * s * (1 + g * (1 - s))); \
      o[1] = Rounded<S>::from(d * g * s); \
    }); \
  } \
  EXPORT(swiglu_backward_##suffix)
FOR_ALL(DEFINE)
#undef DEFINE

// add is x + factor·y, scale is factor·x.
#define DEFINE(suffix, S) \
  KERNEL(EACH_THREADS, 1) add_##suffix(S *out, const S *x, const S *y, Bound b, int capacity, int width, double factor) { \
    Of<S>::wide f = factor; \
    mapped<S, 1, 2>((u64)rows_of(b, capacity) * width, {out}, {x, y}, [&](S *o, const S *in) { o[0] = Rounded<S>::from(number(in[0]) + f * number(in[1])); }); \
  } \
  EXPORT(add_##suffix) \
  KERNEL(EACH_THREADS, 1) scale_##suffix(S *out, const S *x, Bound b, int capacity, int width, double factor) { \
    Of<S>::wide f = factor; \
    mapped<S, 1, 1>((u64)rows_of(b, capacity) * width, {out}, {x}, [&](S *o, const S *in) { o[0] = Rounded<S>::from(f * number(in[0])); }); \
  } \
  EXPORT(scale_##suffix)
FOR_ALL(DEFINE)
#undef DEFINE

// round_bf16 makes the bf16 copy of an f32 matrix that the tensor-core products read.
KERNEL(EACH_THREADS, 1) round_bf16(bf16 *out, const float *x, u64 n) {
  each_chunk<4>(
      n, chunked<bf16, 4>(out) && chunked<float, 4>(x), [&](u64 i) { out[i] = to_bf16(x[i]); },
      [&](u64 at) {
        Chunk<float, 4> in = *(const Chunk<float, 4> *)(x + at);
        Chunk<bf16, 4> rounded;
#pragma unroll
        for (int j = 0; j < 4; j++) rounded.v[j] = to_bf16(in.v[j]);
        *(Chunk<bf16, 4> *)(out + at) = rounded;
      });
}
EXPORT(round_bf16)
