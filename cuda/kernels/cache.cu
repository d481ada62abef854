// cache.cu: the cache of keys and values.
#include "functions.h"

enum { ROW_THREADS = 128 };

// cache_write: a block a pair of a token and a row, which no other pair has.
template <class S> DEVFN void cache_write(S *out, const S *x, const int *kept, Bound b, int pairs, int width, int tokens, int rows) {
  int i = block_x(), live = live_of(b, TOKENS, tokens);
  if (i >= pairs) return;
  int token = kept[2 * i], row = kept[2 * i + 1];
  if (token == -1) return;
  if (token < 0 || token >= live || row < 0 || row >= rows) {
    if (thread() == 0) fail(b, i);
    return;
  }
  for (int j = thread(); j < width; j += ROW_THREADS) out[(u64)row * width + j] = x[(u64)token * width + j];
}
#define DEFINE(suffix, S) \
  KERNEL(ROW_THREADS, 1) cache_write_##suffix(S *out, const S *x, const int *kept, Bound b, int pairs, int width, int tokens, int rows) { cache_write(out, x, kept, b, pairs, width, tokens, rows); } \
  EXPORT(cache_write_##suffix)
DEFINE(f32, float)
DEFINE(f64, double)
DEFINE(bf16, bf16)
#undef DEFINE
