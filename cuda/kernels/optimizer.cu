// optimizer.cu: one update of AdamW or of SGD with momentum, in PyTorch's order of operations, sums of squares in a fixed order,
// and the factor that bounds the gradients' norm. Nothing of a step waits for the host.
#include "chunks.h"

// The hyper tensors of adamw and of sgd, as internal/ops lists them.
enum { LR, BETA1, BETA2, EPS, WEIGHT_DECAY, SALT, CORRECTION1, CORRECTION2 };
enum { SGD_LR, SGD_MOMENTUM, SGD_WEIGHT_DECAY };

// clip's result.
enum { NORM, FACTOR };

// mix is internal/rng's.
DEVFN u64 mix(u64 z) {
  z += 0x9e3779b97f4a7c15ull;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ z >> 27) * 0x94d049bb133111ebull;
  return z ^ z >> 31;
}

// dithered rounds a finite number to one of its two neighbours, each in proportion to the other's distance.
DEVFN bf16 dithered(float x, u64 noise) {
  u32 bits = bits_as<u32>(x);
  if ((bits & 0x7f800000) == 0x7f800000) return to_bf16(x);
  return {(u16)((bits + (u16)noise) >> 16)};
}
template <class T> DEVFN void keep_moments(T *m, T *v, T first, T second, u64) { *m = first, *v = second; }
DEVFN void keep_moments(bf16 *m, bf16 *v, float first, float second, u64 noise) { *m = dithered(first, noise), *v = dithered(second, noise >> 16); }

// Updates change nothing where the factor is NaN. copy is what products read of the parameter; null: they round it themselves.
template <class T, class M> DEVFN void adamw(T *out, const T *param, const T *grad, M *m, M *v, const double *hyper, const double *clipped, u64 n, bf16 *copy) {
  if (clipped[FACTOR] != clipped[FACTOR]) return;
  T keep = 1 - hyper[LR] * hyper[WEIGHT_DECAY], beta1 = hyper[BETA1], rest1 = 1 - hyper[BETA1], beta2 = hyper[BETA2], rest2 = 1 - hyper[BETA2];
  T step = hyper[LR] / hyper[CORRECTION1], correction = root(hyper[CORRECTION2]), eps = hyper[EPS], scale = clipped[FACTOR];
  u64 salt = (u64)hyper[SALT];
  auto update = [&](u64 i, T before, T slope, M &m, M &v) {
    T g = scale * slope, p = keep * before;
    T first = beta1 * (T)number(m) + rest1 * g, second = beta2 * (T)number(v) + rest2 * g * g;
    keep_moments(&m, &v, first, second, mix(salt + i));
    return p - step * (first / (root(second) / correction + eps));
  };
  bool whole = chunked<T, 4>(out) && chunked<T, 4>(param) && chunked<T, 4>(grad) && chunked<M, 4>(m) && chunked<M, 4>(v) && chunked<bf16, 4>(copy);
  each_chunk<4>(
      n, whole,
      [&](u64 i) {
        T now = update(i, param[i], grad[i], m[i], v[i]);
        out[i] = now;
        if (copy) copy[i] = to_bf16((float)now);
      },
      [&](u64 at) {
        Chunk<T, 4> p = *(const Chunk<T, 4> *)(param + at), g = *(const Chunk<T, 4> *)(grad + at);
        Chunk<M, 4> first = *(const Chunk<M, 4> *)(m + at), second = *(const Chunk<M, 4> *)(v + at);
        Chunk<bf16, 4> rounded;
#pragma unroll
        for (int j = 0; j < 4; j++) {
          p.v[j] = update(at + j, p.v[j], g.v[j], first.v[j], second.v[j]);
          rounded.v[j] = to_bf16((float)p.v[j]);
        }
        *(Chunk<M, 4> *)(m + at) = first, *(Chunk<M, 4> *)(v + at) = second;
        *(Chunk<T, 4> *)(out + at) = p;
        if (copy) *(Chunk<bf16, 4> *)(copy + at) = rounded;
      });
}
#define DEFINE(suffix, T, M) \
  KERNEL(EACH_THREADS, 1) adamw_##suffix(T *out, const T *param, const T *grad, M *m, M *v, const double *hyper, const double *clipped, u64 n, bf16 *copy) { adamw(out, param, grad, m, v, hyper, clipped, n, copy); } \
  EXPORT(adamw_##suffix)
DEFINE(f32, float, float)
DEFINE(f64, double, double)
DEFINE(f32_bf16, float, bf16)

template <class T> DEVFN void sgd(T *out, const T *param, const T *grad, T *velocity, const double *hyper, const double *clipped, u64 n, bf16 *copy) {
  if (clipped[FACTOR] != clipped[FACTOR]) return;
  T rate = hyper[SGD_LR], momentum = hyper[SGD_MOMENTUM], decay = hyper[SGD_WEIGHT_DECAY], scale = clipped[FACTOR];
  each(n, [&](u64 i) {
    T p = param[i], g = scale * grad[i] + decay * p, v = momentum * velocity[i] + g;
    velocity[i] = v;
    T now = p - rate * v;
    out[i] = now;
    if (copy) copy[i] = to_bf16((float)now);
  });
}
KERNEL(EACH_THREADS, 1) sgd_f32(float *out, const float *param, const float *grad, float *velocity, const double *hyper, const double *clipped, u64 n, bf16 *copy) { sgd(out, param, grad, velocity, hyper, clipped, n, copy); }
EXPORT(sgd_f32)
KERNEL(EACH_THREADS, 1) sgd_f64(double *out, const double *param, const double *grad, double *velocity, const double *hyper, const double *clipped, u64 n, bf16 *copy) { sgd(out, param, grad, velocity, hyper, clipped, n, copy); }
EXPORT(sgd_f64)

// clip adds a sum of squares for each tensor, from the first to the last: there are some hundreds.
KERNEL(32, 1) clip(double *out, const double *squares, const double *bound, int n) {
  if (thread()) return;
  double total = 0, bad = 0;
  for (int i = 0; i < n; i++) {
    bad += squares[i] - squares[i]; // NaN once one is NaN or infinite
    total += squares[i];
  }
  double norm = root(total) + bad, factor = *bound / (norm + 1e-6);
  out[NORM] = norm;
  out[FACTOR] = *bound > 0 && factor < 1 ? factor : 1 + bad;
}
EXPORT(clip)

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
