// encoder.cu: ops of sentence encoders, which only infer: f32 and f64, every number computed in float64 and rounded once.
#include "functions.h"

enum { ROW_THREADS = 128 };

// layernorm: a block a token. Deviations are taken from the mean, so that a large one costs no digits of the variance.
template <class T> DEVFN void layernorm(T *out, const T *x, const T *w, const T *bias, Bound b, int capacity, int width, double eps) {
  DYNAMIC_SHARED(memory);
  double *part = (double *)memory, s = 0;
  int t = block_x(), rows = rows_of(b, capacity);
  if (t >= rows) return;
  x += (u64)t * width, out += (u64)t * width;
  for (int j = thread(); j < width; j += ROW_THREADS) s += x[j];
  double mean = block_sum<ROW_THREADS / 32>(s, part) / width;
  s = 0;
  for (int j = thread(); j < width; j += ROW_THREADS) s += (x[j] - mean) * (x[j] - mean);
  double inverse = 1 / root(block_sum<ROW_THREADS / 32>(s, part + ROW_THREADS / 32) / width + eps);
  for (int j = thread(); j < width; j += ROW_THREADS) out[j] = (x[j] - mean) * inverse * w[j] + bias[j];
}

// scaled_erfc is e^(z²)·erfc(z) for z ≥ 0: (1+2z) times it is a polynomial in (z−3.75)/(z+3.75), after Shepherd and
// Laframboise, Chebyshev approximation of (1+2x)exp(x²)erfc x (Math. Comp. 36, 1981); made anew to degree 24 in 60 digits.
DEVFN double scaled_erfc(double z) {
  double s = 1 - 7.5 / (z + 3.75); // also of infinity
  double p = 4.2514714447963895e-10;
  p = fused(p, s, 3.1114333809799254e-10);
  p = fused(p, s, -5.1739902140113095e-09);
  p = fused(p, s, -3.744210080962018e-09);
  p = fused(p, s, 3.8675334242222354e-08);
  p = fused(p, s, 2.3263508708859124e-08);
  p = fused(p, s, -2.5866850716155884e-07);
  p = fused(p, s, -5.7218230603224086e-08);
  p = fused(p, s, 1.751637648849062e-06);
  p = fused(p, s, -9.73559896736775e-07);
  p = fused(p, s, -1.1444146237700524e-05);
  p = fused(p, s, 2.238423915508223e-05);
  p = fused(p, s, 5.164909889268241e-05);
  p = fused(p, s, -0.0002901540805408417);
  p = fused(p, s, 0.0002937136655913448);
  p = fused(p, s, 0.0017556258528952954);
  p = fused(p, s, -0.009746579558029276);
  p = fused(p, s, 0.028362277418956406);
  p = fused(p, s, -0.05869339858963677);
  p = fused(p, s, 0.09230432116037748);
  p = fused(p, s, -0.10880393014174886);
  p = fused(p, s, 0.0822767384901452);
  p = fused(p, s, 0.0035854154854644293);
  p = fused(p, s, -0.14024059858554697);
  p = fused(p, s, 1.2375126308378275);
  return p / (1 + 2 * z);
}

// gelu is x·Φ(x) = x/2·erfc(−x/√2), which keeps the digits of small results; so does the square's second part.
DEVFN double gelu(double x) {
  double z = (x < 0 ? -x : x) * 0.7071067811865476, square = x * x / 2, rest = fused(x / 2, x, -square), tail = 0;
  if (square < 746) tail = (exponential(-square) - exponential(-square) * rest) * scaled_erfc(z);
  return x / 2 * (x > 0 ? 2 - tail : tail);
}

// gelu_tanh is the approximation with tanh: (1 + tanh z)/2 is 1/(1 + e^(−2z)).
DEVFN double gelu_tanh(double x) { return x * logistic(1.5957691216057308 * (x + 0.044715 * x * x * x)); }

// hyperbolic_tangent: (e^(2x) − 1)/(e^(2x) + 1), near 0 by the series of e^(2x) − 1, which subtracts nothing.
DEVFN double hyperbolic_tangent(double x) {
  double a = x < 0 ? -x : x;
  if (a < 0.17) {
    double y = 2 * x, q = 1;
#pragma unroll
    for (int n = 15; n > 1; n--) q = fused(q * y, 1.0 / n, 1.0);
    return y * q / (y * q + 2);
  }
  double e = exponential(-2 * a), t = (1 - e) / (1 + e);
  return x < 0 ? -t : t;
}

// pool: a thread a column of a segment. Means are summed token after token; a NaN is a column's maximum, as in PyTorch.
template <class T> DEVFN void pool(T *out, const T *x, const int *starts, Bound b, int capacity, int width, int tokens, int greatest) {
  int s = block_x(), rows = rows_of(b, capacity), live = live_of(b, TOKENS, tokens);
  if (s >= rows) return;
  int first = starts[s], end = starts[s + 1];
  if (first < 0 || first > end || end > live) {
    if (thread() == 0) fail(b, s);
    return;
  }
  for (int j = thread(); j < width; j += ROW_THREADS) {
    double v = first < end ? (double)x[(u64)first * width + j] : 0;
    for (int t = first + 1; t < end; t++) {
      double u = x[(u64)t * width + j];
      v = !greatest ? v + u : u > v || u != u ? u : v;
    }
    out[(u64)s * width + j] = greatest || first == end ? v : v / (end - first);
  }
}

#define ELEMENTWISE(name, suffix, T) \
  KERNEL(EACH_THREADS, 1) name##_##suffix(T *out, const T *x, Bound b, int capacity, int width) { \
    each((u64)rows_of(b, capacity) * width, [&](u64 i) { out[i] = name(x[i]); }); \
  } \
  EXPORT(name##_##suffix)
#define DEFINE(suffix, T) \
  KERNEL(ROW_THREADS, 1) layernorm_##suffix(T *out, const T *x, const T *w, const T *bias, Bound b, int capacity, int width, double eps) { layernorm(out, x, w, bias, b, capacity, width, eps); } \
  EXPORT(layernorm_##suffix) \
  KERNEL(ROW_THREADS, 1) pool_##suffix(T *out, const T *x, const int *starts, Bound b, int capacity, int width, int tokens, int greatest) { pool(out, x, starts, b, capacity, width, tokens, greatest); } \
  EXPORT(pool_##suffix) \
  ELEMENTWISE(gelu, suffix, T) \
  ELEMENTWISE(gelu_tanh, suffix, T) \
  ELEMENTWISE(hyperbolic_tangent, suffix, T)
DEFINE(f32, float)
DEFINE(f64, double)
