// functions.h: the functions that kernels need and PTX lacks, in float64, good to about one unit in the last place.
#pragma once
#include "gpu.h"

DEVFN double power_of_2(int k) { return bits_as<double>((u64)(k + 1023) << 52); }

// exponential: x = k·ln 2 + r, |r| ≤ ln 2/2, and the Taylor series of e^r to r^13 (what follows is below 2^−57).
DEVFN double exponential(double x) {
  if (!(x < 709.8)) return x > 0 ? (double)INFINITE : x; // NaN stays
  if (x < -745.2) return 0;
  double k = __builtin_rint(x * 1.4426950408889634);
  double r = fused(-k, 1.9082149292705877e-10, fused(-k, 0.6931471803691238, x)); // ln 2 in two parts
  double p = 1.6059043836821613e-10;
  p = fused(p, r, 2.08767569878681e-9);
  p = fused(p, r, 2.505210838544172e-8);
  p = fused(p, r, 2.7557319223985893e-7);
  p = fused(p, r, 2.7557319223985893e-6);
  p = fused(p, r, 2.48015873015873e-5);
  p = fused(p, r, 1.984126984126984e-4);
  p = fused(p, r, 1.388888888888889e-3);
  p = fused(p, r, 8.333333333333333e-3);
  p = fused(p, r, 4.1666666666666664e-2);
  p = fused(p, r, 0.16666666666666666);
  p = fused(p, r, 0.5);
  p = fused(p, r, 1.0);
  p = fused(p, r, 1.0);
  int whole = (int)k, half = whole / 2; // two factors: the result may be subnormal
  return p * power_of_2(half) * power_of_2(whole - half);
}

// logarithm of a positive normal number: x = 2^k·m with m in [√½, √2), and log m = 2·artanh((m−1)/(m+1)).
DEVFN double logarithm(double x) {
  if (!(x > 0) || !(x < (double)INFINITE)) return x > 0 ? x : x == 0 ? -(double)INFINITE : (x - x) / (x - x);
  u64 u = bits_as<u64>(x) + (0x3ff0000000000000ull - 0x3fe6a09e667f3bcdull);
  int k = (int)(u >> 52) - 1023;
  double m = bits_as<double>((u & 0xfffffffffffffull) + 0x3fe6a09e667f3bcdull);
  double f = m - 1, s = f / (2 + f), z = s * s;
  double p = 1.0 / 23;
  p = fused(p, z, 1.0 / 21);
  p = fused(p, z, 1.0 / 19);
  p = fused(p, z, 1.0 / 17);
  p = fused(p, z, 1.0 / 15);
  p = fused(p, z, 1.0 / 13);
  p = fused(p, z, 1.0 / 11);
  p = fused(p, z, 1.0 / 9);
  p = fused(p, z, 1.0 / 7);
  p = fused(p, z, 1.0 / 5);
  p = fused(p, z, 1.0 / 3);
  double l = fused(2 * s * z, p, 2 * s);
  return fused((double)k, 0.6931471803691238, fused((double)k, 1.9082149292705877e-10, l));
}

// logarithm of 1 + x for x in [0, 1]; what 1 + x loses is put back.
DEVFN double logarithm1p(double x) {
  double u = 1 + x;
  return logarithm(u) + (x - (u - 1)) / u;
}

// logistic is 1/(1+e^−x), without overflow.
DEVFN double logistic(double x) {
  if (x < 0) {
    double e = exponential(x);
    return e / (1 + e);
  }
  return 1 / (1 + exponential(-x));
}
DEVFN float logistic_divisor(float x) { return 1 + exp2_fast(-1.44269504f * x); }
DEVFN float logistic(float x) { return 1 / logistic_divisor(x); }
// gated makes silu(g)·u of N numbers, whose reciprocals go side by side unless one is subnormal: division has a branch for each.
template <int N> DEVFN void gated(float *out, const float *g, const float *u) {
  float divisor[N], most = 0;
#pragma unroll
  for (int i = 0; i < N; i++) {
    divisor[i] = logistic_divisor(g[i]);
    most = larger(divisor[i], most);
  }
  if (most < 8.5070592e37f) { // 2^126
#pragma unroll
    for (int i = 0; i < N; i++) out[i] = g[i] * reciprocal(divisor[i]) * u[i];
    return;
  }
#pragma unroll
  for (int i = 0; i < N; i++) out[i] = g[i] * (1 / divisor[i]) * u[i];
}

// sine_cosine: the angle less a multiple of π/2 (in two parts), then Taylor series on |r| ≤ π/4.
DEVFN void sine_cosine(double a, double &sine, double &cosine) {
  double k = __builtin_rint(a * 0.6366197723675814);
  double r = fused(-k, 6.123233995736766e-17, fused(-k, 1.5707963267948966, a)), z = r * r;
  double s = 2.8114572543455206e-15; // 1/17!
  s = fused(s, z, -7.647163731819816e-13);
  s = fused(s, z, 1.6059043836821613e-10);
  s = fused(s, z, -2.505210838544172e-8);
  s = fused(s, z, 2.7557319223985893e-6);
  s = fused(s, z, -1.984126984126984e-4);
  s = fused(s, z, 8.333333333333333e-3);
  s = fused(s, z, -0.16666666666666666);
  s = fused(s * z, r, r);
  double c = 4.779477332387385e-14; // 1/16!
  c = fused(c, z, -1.1470745597729725e-11);
  c = fused(c, z, 2.08767569878681e-9);
  c = fused(c, z, -2.7557319223985893e-7);
  c = fused(c, z, 2.48015873015873e-5);
  c = fused(c, z, -1.388888888888889e-3);
  c = fused(c, z, 4.1666666666666664e-2);
  c = fused(c, z, -0.5);
  c = fused(c, z, 1.0);
  switch ((long long)k & 3) {
  case 0: sine = s, cosine = c; break;
  case 1: sine = c, cosine = -s; break;
  case 2: sine = -s, cosine = -c; break;
  default: sine = -c, cosine = s;
  }
}
