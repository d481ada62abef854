// optimiser.cu: one update of AdamW, in PyTorch's order of operations, and sums of squares in a fixed order.
#include "gpu.h"

// The hyper tensor, as internal/ops lists it.
enum { LR, BETA1, BETA2, EPS, WEIGHT_DECAY, GRAD_SCALE, CORRECTION1, CORRECTION2 };

template <class T> DEVFN void adamw(T *out, const T *param, const T *grad, T *m, T *v, const double *hyper, u64 n) {
  T keep = 1 - hyper[LR] * hyper[WEIGHT_DECAY], beta1 = hyper[BETA1], rest1 = 1 - hyper[BETA1], beta2 = hyper[BETA2], rest2 = 1 - hyper[BETA2];
  T step = hyper[LR] / hyper[CORRECTION1], correction = root(hyper[CORRECTION2]), eps = hyper[EPS], scale = hyper[GRAD_SCALE];
  each(n, [&](u64 i) {
    T g = scale * grad[i], p = keep * param[i];
    T first = beta1 * m[i] + rest1 * g, second = beta2 * v[i] + rest2 * g * g;
    m[i] = first, v[i] = second;
    out[i] = p - step * (first / (root(second) / correction + eps));
  });
}
KERNEL(EACH_THREADS, 1) adamw_f32(float *out, const float *param, const float *grad, float *m, float *v, const double *hyper, u64 n) { adamw(out, param, grad, m, v, hyper, n); }
EXPORT(adamw_f32)
KERNEL(EACH_THREADS, 1) adamw_f64(double *out, const double *param, const double *grad, double *m, double *v, const double *hyper, u64 n) { adamw(out, param, grad, m, v, hyper, n); }
EXPORT(adamw_f64)

// Each block sums SUM_BLOCK numbers; one block then sums the blocks' sums, thread i those of i, i+256, ...
enum { SUM_BLOCK = 4096 };
template <class T> DEVFN void square_sums(double *part, const T *x, u64 n) {
  DYNAMIC_SHARED(memory);
  double s = 0;
  for (int i = 0; i < SUM_BLOCK; i += EACH_THREADS) {
    u64 at = (u64)block_x() * SUM_BLOCK + i + thread();
    double v = at < n ? (double)x[at] : 0;
    s += v * v;
  }
  s = block_sum<EACH_THREADS / 32>(s, (double *)memory);
  if (thread() == 0) part[block_x()] = s;
}
KERNEL(EACH_THREADS, 1) square_sums_f32(double *part, const float *x, u64 n) { square_sums(part, x, n); }
EXPORT(square_sums_f32)
KERNEL(EACH_THREADS, 1) square_sums_f64(double *part, const double *x, u64 n) { square_sums(part, x, n); }
EXPORT(square_sums_f64)
KERNEL(EACH_THREADS, 1) sum_parts(double *out, const double *part, int n) {
  DYNAMIC_SHARED(memory);
  double s = 0;
  for (int i = thread(); i < n; i += EACH_THREADS) s += part[i];
  s = block_sum<EACH_THREADS / 32>(s, (double *)memory);
  if (thread() == 0) *out = s;
}
EXPORT(sum_parts)
