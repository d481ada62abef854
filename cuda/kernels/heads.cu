// heads.cu: ops over read-outs, a few numbers each, so they compute in float64 and round once.
#include "functions.h"

#define FOR_PARAMS(DEFINE) DEFINE(f32, float) DEFINE(f64, double)

#define ELEMENTWISE(name, result) \
  KERNEL(EACH_THREADS, 1) name##_f32(float *out, const float *xs, const float *ys, Bound b, int capacity, int width) { \
    each((u64)rows_of(b, capacity) * width, [&](u64 i) { double x = xs[i], y = ys[i]; (void)x, (void)y; out[i] = result; }); \
  } \
  EXPORT(name##_f32) \
  KERNEL(EACH_THREADS, 1) name##_f64(double *out, const double *xs, const double *ys, Bound b, int capacity, int width) { \
    each((u64)rows_of(b, capacity) * width, [&](u64 i) { double x = xs[i], y = ys[i]; (void)x, (void)y; out[i] = result; }); \
  } \
  EXPORT(name##_f64)
ELEMENTWISE(sigmoid, logistic(x))
ELEMENTWISE(sigmoid_dx, y *x *(1 - x))
ELEMENTWISE(relu, x < 0 ? 0 : x) // NaN stays NaN
ELEMENTWISE(relu_dx, x <= 0 ? 0 : y)

#define DEFINE(suffix, T) \
  KERNEL(EACH_THREADS, 1) positive_prob_##suffix(T *out, const T *z, Bound b, int capacity) { \
    each(rows_of(b, capacity), [&](u64 r) { out[r] = logistic((double)z[2 * r + 1] - (double)z[2 * r]); }); \
  } \
  EXPORT(positive_prob_##suffix) \
  KERNEL(EACH_THREADS, 1) positive_prob_dx_##suffix(T *out, const T *y, const T *dy, Bound b, int capacity) { \
    each(rows_of(b, capacity), [&](u64 r) { \
      T d = (double)dy[r] * (double)y[r] * (1 - (double)y[r]); \
      out[2 * r] = -d, out[2 * r + 1] = d; \
    }); \
  } \
  EXPORT(positive_prob_dx_##suffix) \
  KERNEL(EACH_THREADS, 1) pick_##suffix(T *out, const T *x, const int *column, Bound b, int capacity, int columns) { \
    each(rows_of(b, capacity), [&](u64 r) { \
      int c = column[r]; \
      if (c < 0 || c >= columns) return fail(b, r); \
      out[r] = x[r * columns + c]; \
    }); \
  } \
  EXPORT(pick_##suffix) \
  KERNEL(EACH_THREADS, 1) pick_dx_##suffix(T *out, const T *dy, const int *column, Bound b, int capacity, int columns) { \
    each(rows_of(b, capacity), [&](u64 r) { \
      int c = column[r]; \
      if (c < 0 || c >= columns) return fail(b, r); \
      for (int j = 0; j < columns; j++) out[r * columns + j] = j == c ? dy[r] : 0; \
    }); \
  } \
  EXPORT(pick_dx_##suffix)
FOR_PARAMS(DEFINE)
#undef DEFINE

// The objectives: a term of the loss and its slope, by what a row holds (one column, or the difference of two).
struct SquaredError {
  DEVFN double term(double y, double target) { return (y - target) * (y - target); }
  DEVFN double slope(double y, double target) { return 2 * (y - target); }
};
struct CrossEntropy { // softplus(z) − target·z
  DEVFN double term(double z, double target) {
    double top = z < 0 ? 0 : z; // NaN stays NaN
    return top + logarithm1p(exponential(z < 0 ? z : -z)) - target * z;
  }
  DEVFN double slope(double z, double target) { return logistic(z) - target; }
};
template <int COLUMNS, class T> DEVFN double row_value(const T *x, int r) {
  return COLUMNS == 1 ? (double)x[r] : (double)x[2 * r + 1] - (double)x[2 * r];
}

// objective: one block. Thread i sums rows i, i+256, ...; then the threads' sums, in order.
template <class K, int COLUMNS, class T> DEVFN void objective(T *out, const T *x, const T *target, const T *weight, Bound b, int capacity) {
  DYNAMIC_SHARED(memory);
  double *part = (double *)memory, s = 0;
  int rows = rows_of(b, capacity);
  for (int r = thread(); r < rows; r += EACH_THREADS) s += (double)weight[r] * K::term(row_value<COLUMNS>(x, r), target[r]);
  part[thread()] = s;
  sync_block();
  if (thread() != 0) return;
  s = 0;
  for (int i = 0; i < EACH_THREADS; i++) s += part[i];
  *out = s;
}
template <class K, int COLUMNS, class T> DEVFN void objective_slope(T *out, const T *x, const T *target, const T *weight, const T *dl, Bound b, int capacity) {
  each(rows_of(b, capacity), [&](u64 r) {
    T d = (double)*dl * (double)weight[r] * K::slope(row_value<COLUMNS>(x, r), target[r]);
    out[r * COLUMNS] = -d;
    out[r * COLUMNS + COLUMNS - 1] = d;
  });
}
#define OBJECTIVE(name, gradient, K, COLUMNS, suffix, T) \
  KERNEL(EACH_THREADS, 1) name##_##suffix(T *out, const T *x, const T *target, const T *weight, Bound b, int capacity) { objective<K, COLUMNS>(out, x, target, weight, b, capacity); } \
  EXPORT(name##_##suffix) \
  KERNEL(EACH_THREADS, 1) gradient##_##suffix(T *out, const T *x, const T *target, const T *weight, const T *dl, Bound b, int capacity) { objective_slope<K, COLUMNS>(out, x, target, weight, dl, b, capacity); } \
  EXPORT(gradient##_##suffix)
#define DEFINE(suffix, T) \
  OBJECTIVE(squared_error, squared_error_dy, SquaredError, 1, suffix, T) \
  OBJECTIVE(bce, bce_dz, CrossEntropy, 1, suffix, T) \
  OBJECTIVE(ce, ce_dz, CrossEntropy, 2, suffix, T)
FOR_PARAMS(DEFINE)
#undef DEFINE
