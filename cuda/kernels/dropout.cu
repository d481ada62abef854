// dropout.cu: what is dropped of a row is a function of its key alone, see internal/ops.
#include "gpu.h"

enum { ROW_THREADS = 128 };

// mix is the finaliser of splitmix64 (Steele, Lea, Flood 2014), as internal/rng has it.
DEVFN u64 mix(u64 z) {
  z += 0x9e3779b97f4a7c15ull;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ z >> 27) * 0x94d049bb133111ebull;
  return z ^ z >> 31;
}

// dropout: a block a token. An element goes where the upper half of its number is less than `below`; the others are scaled.
#define DEFINE(suffix, S) \
  KERNEL(ROW_THREADS, 1) dropout_##suffix(S *out, const S *x, const int *keys, Bound b, int capacity, int width, u64 salt, u64 below, double scale) { \
    int t = block_x(), rows = rows_of(b, capacity); \
    if (t >= rows) return; \
    u64 key = (u32)keys[2 * t] | (u64)(u32)keys[2 * t + 1] << 32, base = mix(key ^ salt); \
    Of<S>::wide factor = scale; \
    x += (u64)t * width, out += (u64)t * width; \
    for (int j = thread(); j < width; j += ROW_THREADS) { \
      if (key == 0) out[j] = x[j]; \
      else if (mix(base + j) >> 32 < below) out[j] = Rounded<S>::from(0.0f); \
      else out[j] = Rounded<S>::from(number(x[j]) * factor); \
    } \
  } \
  EXPORT(dropout_##suffix)
DEFINE(f32, float)
DEFINE(f64, double)
DEFINE(bf16, bf16)
