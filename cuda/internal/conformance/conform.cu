// conform.cu: a small kernel for each thing that gpu.h has, so that hardware can be held to what the emulator makes of it.
#include "functions.h"
#include "tiles.h"

DEVFN float number_of(u32 v) { return bits_as<float>(v); }
DEVFN u32 bits(float v) { return bits_as<u32>(v); }

KERNEL(64, 1) conform_index(u32 *out, const u32 *in) { out[(block_y() * 2 + block_x()) * 64 + thread()] = block_y() << 16 | block_x() << 8 | thread(); }
EXPORT(conform_index)

KERNEL(32, 1) conform_shuffle(u32 *out, const u32 *in) {
  int masks[6] = {1, 2, 4, 8, 16, 31};
  for (int i = 0; i < 6; i++) out[i * 32 + thread()] = shuffle_xor_bits(in[thread()], masks[i]);
}
EXPORT(conform_shuffle)

KERNEL(256, 1) conform_barrier(u32 *out, const u32 *in) {
  DYNAMIC_SHARED(memory);
  u32 *x = (u32 *)memory, v = in[thread()];
  for (int i = 1; i < 8; i++) {
    x[thread()] = v;
    sync_block();
    v = x[(thread() * 5 + i) % 256] + i;
    sync_block();
  }
  out[thread()] = v;
}
EXPORT(conform_barrier)

KERNEL(256, 1) conform_sum(u32 *out, const u32 *in) {
  DYNAMIC_SHARED(memory);
  out[thread()] = bits(block_sum<8>(number(bf16{(u16)(in[thread()] & 0xbfff)}), (float *)memory));
}
EXPORT(conform_sum)

KERNEL(64, 1) conform_atomic(u32 *out, const u32 *in) {
  u64 *least = (u64 *)out;
  if (thread() == 0) *least = ~0ull;
  sync_block();
  atomic_min(least, (u64)in[2 * thread()] << 32 | in[2 * thread() + 1]);
}
EXPORT(conform_atomic)

KERNEL(64, 1) conform_convert(u32 *out, const u32 *in) {
  u32 a = in[2 * thread()], b = in[2 * thread() + 1];
  out[3 * thread()] = pack2(number_of(a), number_of(b));
  out[3 * thread() + 1] = to_bf16(number_of(a)).bits;
  out[3 * thread() + 2] = bits(number(bf16{(u16)b}));
}
EXPORT(conform_convert)

// The sign of a zero is open where both are zeros.
KERNEL(64, 1) conform_larger(u32 *out, const u32 *in) {
  out[thread()] = bits(larger(number_of(in[2 * thread()]), number_of(in[2 * thread() + 1])) + 0.0f);
}
EXPORT(conform_larger)

// Sums, products and roots of either width, and what is made of them: exact, as IEEE 754 has them.
KERNEL(64, 1) conform_exact(u32 *out, const u32 *in) {
  float x = number_of(in[3 * thread()]), y = number_of(in[3 * thread() + 1]), z = number_of(in[3 * thread() + 2]), f[5] = {x + y, x * y, x / y, fused(x, y, z), root(x < 0 ? -x : x)};
  for (int i = 0; i < 5; i++) out[15 * thread() + i] = bits(f[i]);
  double d[5] = {(double)x + y, (double)x * y, (double)x / y, fused((double)x, (double)y, (double)z), root(x < 0 ? -(double)x : (double)x)};
  for (int i = 0; i < 5; i++) {
    u64 v = bits_as<u64>(d[i]);
    out[15 * thread() + 5 + 2 * i] = (u32)v, out[15 * thread() + 6 + 2 * i] = (u32)(v >> 32);
  }
}
EXPORT(conform_exact)

KERNEL(64, 1) conform_functions(u32 *out, const u32 *in) {
  double x = number_of(in[thread()]), v[6] = {exponential(x), logistic(x), logarithm1p(x < 0 ? -x : x)};
  sine_cosine(x, v[3], v[4]);
  v[5] = logarithm(x < 0 ? -x : x + 0.5);
  for (int i = 0; i < 6; i++) {
    u64 u = bits_as<u64>(v[i]);
    out[12 * thread() + 2 * i] = (u32)u, out[12 * thread() + 2 * i + 1] = (u32)(u >> 32);
  }
}
EXPORT(conform_functions)

// What hardware approximates, and where it flushes to zero.
KERNEL(64, 1) conform_exp2(u32 *out, const u32 *in) { out[thread()] = bits(exp2_fast(number_of(in[thread()]))); }
EXPORT(conform_exp2)
KERNEL(64, 1) conform_log2(u32 *out, const u32 *in) { out[thread()] = bits(log2_fast(number_of(in[thread()]))); }
EXPORT(conform_log2)
KERNEL(64, 1) conform_logistic(u32 *out, const u32 *in) { out[thread()] = bits(logistic(number_of(in[thread()]))); }
EXPORT(conform_logistic)

// Reciprocals from 1 to 2^126, whose bits are those of 1 / x, and which of eight gated numbers have other bits than by division: none, of
// whatever size.
KERNEL(64, 1) conform_gated(u32 *out, const u32 *in) {
  float g[8], u[8], by_group[8];
  u32 different = 0;
  for (int i = 0; i < 8; i++) g[i] = number_of(in[(thread() + i) % 64]), u[i] = number_of(in[(thread() + 9 * i) % 64]);
  gated<8>(by_group, g, u);
  for (int i = 0; i < 8; i++) {
    float one = g[i] * logistic(g[i]) * u[i];
    if (bits(one) != bits(by_group[i]) && (one == one || by_group[i] == by_group[i])) different |= 1u << i;
  }
  u32 x = in[thread()];
  out[thread()] = different;
  out[64 + thread()] = bits(reciprocal(number_of((x & 0x7fffff) | (127 + (x >> 23) % 126) << 23)));
}
EXPORT(conform_gated)

// Copies of 0 to 16 bytes in two groups, and a store of 16.
KERNEL(32, 1) conform_copy(u32 *out, const u32 *in) {
  DYNAMIC_SHARED(memory);
  saddr at = shared_address(memory);
  const u32 *x = (const u32 *)memory;
  copy16(at + 16 * thread(), in + 4 * thread(), thread() % 9 * 2);
  copy_commit();
  copy16(at + 512 + 16 * thread(), in + 4 * (31 - thread()), 16);
  copy_commit();
  store_shared16(at + 1024 + 16 * thread(), in + 4 * thread());
  copy_wait<1>();
  for (int i = 0; i < 4; i++) out[4 * thread() + i] = x[4 * thread() + i];
  copy_wait<0>();
  sync_block();
  for (int i = 0; i < 4; i++) out[128 + 4 * thread() + i] = x[128 + 4 * (thread() ^ 1) + i], out[256 + 4 * thread() + i] = x[256 + 4 * (thread() ^ 1) + i];
}
EXPORT(conform_copy)

template <bool TRANSPOSED> DEVFN void matrices_of(u32 *out, const u32 *in, unsigned char *memory) {
  store_shared16(shared_address(memory) + 16 * thread(), in + 4 * thread());
  sync_block();
  u32 r[4];
  saddr row = shared_address(memory) + 16 * (thread() / 8 * 8 + (thread() + 3) % 8);
  if (TRANSPOSED) load_matrices_transposed(r, row);
  else load_matrices(r, row);
  for (int i = 0; i < 4; i++) out[4 * thread() + i] = r[i];
}
KERNEL(32, 1) conform_matrices(u32 *out, const u32 *in) {
  DYNAMIC_SHARED(memory);
  matrices_of<false>(out, in, memory);
}
EXPORT(conform_matrices)
KERNEL(32, 1) conform_matrices_transposed(u32 *out, const u32 *in) {
  DYNAMIC_SHARED(memory);
  matrices_of<true>(out, in, memory);
}
EXPORT(conform_matrices_transposed)

// small is a whole number of bf16 from -8 to 7, so that a sum is exact in any order.
DEVFN u32 small(u32 v) { return pack2((float)(int)(v & 15) - 8, (float)(int)(v >> 4 & 15) - 8); }
KERNEL(32, 1) conform_mma(u32 *out, const u32 *in) {
  u32 a[4], b[2];
  float d[4];
  for (int i = 0; i < 4; i++) a[i] = small(in[10 * thread() + i]), d[i] = (float)(int)(in[10 * thread() + 6 + i] & 255);
  for (int i = 0; i < 2; i++) b[i] = small(in[10 * thread() + 4 + i]);
  mma(d, a, b);
  for (int i = 0; i < 4; i++) out[4 * thread() + i] = bits(d[i]);
}
EXPORT(conform_mma)

// The same of any numbers between 1/2 and 2: how sums are rounded is the hardware's affair.
DEVFN u32 middling(u32 v) { return (v & 0x807f807f) | 0x3f003f00; }
KERNEL(32, 1) conform_mma_rounded(u32 *out, const u32 *in) {
  u32 a[4], b[2];
  float d[4] = {0, 0, 0, 0};
  for (int i = 0; i < 4; i++) a[i] = middling(in[6 * thread() + i]) & 0x7fff7fff; // no cancellation
  for (int i = 0; i < 2; i++) b[i] = middling(in[6 * thread() + 4 + i]) & 0x7fff7fff;
  mma(d, a, b);
  for (int i = 0; i < 4; i++) out[4 * thread() + i] = bits(d[i]);
}
EXPORT(conform_mma_rounded)
