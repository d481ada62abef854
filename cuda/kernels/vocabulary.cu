// vocabulary.cu: log-probabilities of labels, folded from one block of the vocabulary's logits into the next.
#include "functions.h"

enum { LOGIT_THREADS = 256, STATE = 3 }; // STATE numbers a row: the largest logit, Σ e^(logit−largest), the label's logit

// greater keeps a NaN, as Go's max does.
template <class T> DEVFN T greater(T m, T v) { return v > m || v != v ? v : m; }

// log_prob_block: a block of threads a read-out. Maxima need no order; the sum has one. state is null for the first block.
template <class T> DEVFN void log_prob_block(T *out, const T *x, const int *labels, const T *state, Bound b, int capacity, int width, int from) {
  DYNAMIC_SHARED(memory);
  double *part = (double *)memory;
  int r = block_x(), rows = rows_of(b, capacity);
  if (r >= rows) return;
  x += (u64)r * width, out += (u64)r * STATE;
  double top = state ? (double)state[(u64)r * STATE] : -(double)INFINITE;
  for (int j = thread(); j < width; j += LOGIT_THREADS) top = greater(top, (double)x[j]);
  for (int m = 16; m; m >>= 1) top = greater(top, shuffle_xor(top, m));
  if (thread() % 32 == 0) part[thread() / 32] = top;
  sync_block();
  for (int i = 0; i < LOGIT_THREADS / 32; i++) top = greater(top, part[i]);
  double s = 0;
  for (int j = thread(); j < width; j += LOGIT_THREADS) s += exponential((double)x[j] - top);
  s = block_sum<LOGIT_THREADS / 32>(s, part + LOGIT_THREADS / 32);
  if (thread() != 0) return;
  if (state) {
    state += (u64)r * STATE;
    if (state[1] != 0) s += (double)state[1] * exponential((double)state[0] - top);
  }
  u32 at = (u32)labels[r] - (u32)from; // labels before the block wrap to beyond it
  out[0] = top, out[1] = s;
  out[2] = at < (u32)width ? x[at] : state ? state[2] : -(T)INFINITE;
}
#define DEFINE(suffix, T) \
  KERNEL(LOGIT_THREADS, 1) log_prob_block_##suffix(T *out, const T *x, const int *labels, const T *state, Bound b, int capacity, int width, int from) { log_prob_block(out, x, labels, state, b, capacity, width, from); } \
  EXPORT(log_prob_block_##suffix) \
  KERNEL(EACH_THREADS, 1) log_prob_##suffix(T *out, const T *state, Bound b, int capacity) { \
    each(rows_of(b, capacity), [&](u64 r) { \
      const T *s = state + r * STATE; \
      out[r] = (double)s[2] - (double)s[0] - logarithm(s[1]); \
    }); \
  } \
  EXPORT(log_prob_##suffix)
DEFINE(f32, float)
DEFINE(f64, double)
