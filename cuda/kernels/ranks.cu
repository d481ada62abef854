// ranks.cu: what ranks that exchange gradients by themselves need of a kernel: a sum whose bits no library decides, and how far they are.
#include "gpu.h"

// sum_ranks adds every rank's numbers in the order of ranks, in f64, and rounds once, as internal/dist does on the host. sum holds this
// rank's; others are those of the others, one behind the other, pitch numbers apart.
template <class T> DEVFN void sum_ranks(T *sum, const T *others, u64 n, u64 pitch, int ranks, int rank) {
  each(n, [&](u64 i) {
    double total = 0;
    for (int r = 0; r < ranks; r++) total += r == rank ? sum[i] : others[(r - (r > rank)) * pitch + i];
    sum[i] = (T)total;
  });
}
#define DEFINE(suffix, T) \
  KERNEL(EACH_THREADS, 1) sum_ranks_##suffix(T *sum, const T *others, u64 n, u64 pitch, int ranks, int rank) { sum_ranks(sum, others, n, pitch, ranks, rank); } \
  EXPORT(sum_ranks_##suffix)
DEFINE(f32, float)
DEFINE(f64, double)

// reached tells the host, in whose memory it writes, where the stream has come to.
KERNEL(32, 1) reached(u64 *where, u64 number) {
  if (thread() == 0) *where = number;
}
EXPORT(reached)
