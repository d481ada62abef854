// chunks.h: ops over elements, 16 bytes of each operand at a time where they lie at multiples of that. What becomes of an
// element is the same either way.
#pragma once
#include "gpu.h"

// A Chunk is N numbers that a thread reads or writes at once.
template <class T, int N> struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) Chunk {
  T v[N];
};
template <class T, int N> DEVFN bool chunked(const T *p) { return ((u64)p & (sizeof(Chunk<T, N>) < 16 ? sizeof(Chunk<T, N>) - 1 : 15)) == 0; }

// each_chunk calls chunk(at) for this thread's N elements from `at` on where all are below n and `whole` says that they may be taken
// at once, else one(i) for each. A block has EACH elements, with chunks of 8 twice as many.
template <int N, class F, class G> DEVFN void each_chunk(u64 n, bool whole, F one, G chunk) {
  enum { CHUNKS = N < 4 ? 4 / N : 1 };
  static_assert(EACH == 4 * EACH_THREADS, "");
#pragma unroll
  for (int i = 0; i < CHUNKS; i++) {
    u64 at = (((u64)block_x() * CHUNKS + i) * EACH_THREADS + thread()) * N;
    if (whole && at + N <= n) chunk(at);
    else
      for (u64 j = at; j < n && j < at + N; j++) one(j);
  }
}

// mapped makes `outs` of `ins`, of the same type, by f of an element of each.
template <class S, int OUTS, int INS, class F> DEVFN void mapped(u64 n, S *const (&outs)[OUTS], const S *const (&ins)[INS], F f) {
  enum { N = 16 / sizeof(S) };
  bool whole = true;
#pragma unroll
  for (int k = 0; k < OUTS; k++) whole = whole && chunked<S, N>(outs[k]);
#pragma unroll
  for (int k = 0; k < INS; k++) whole = whole && chunked<S, N>(ins[k]);
  each_chunk<N>(
      n, whole,
      [&](u64 at) {
        S in[INS], out[OUTS];
        for (int k = 0; k < INS; k++) in[k] = ins[k][at];
        f(out, in);
        for (int k = 0; k < OUTS; k++) outs[k][at] = out[k];
      },
      [&](u64 at) {
        Chunk<S, N> in[INS], out[OUTS];
#pragma unroll
        for (int k = 0; k < INS; k++) in[k] = *(const Chunk<S, N> *)(ins[k] + at);
#pragma unroll
        for (int j = 0; j < N; j++) {
          S x[INS], y[OUTS];
#pragma unroll
          for (int k = 0; k < INS; k++) x[k] = in[k].v[j];
          f(y, x);
#pragma unroll
          for (int k = 0; k < OUTS; k++) out[k].v[j] = y[k];
        }
#pragma unroll
        for (int k = 0; k < OUTS; k++) *(Chunk<S, N> *)(outs[k] + at) = out[k];
      });
}
