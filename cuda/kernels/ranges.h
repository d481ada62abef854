// ranges.h: what a segment's queries attend to, as cu_seqlens, range_offsets and key_ranges say it (see internal/ops).
#pragma once
#include "gpu.h"

struct Heads {
  int heads, kv_heads, dim, unused;
};

struct Segments {
  const int *starts;  // of the segments, and the end
  const int *offsets; // of each segment's ranges
  const int *ranges;  // RANGE numbers each
  int count, tokens;  // live
};
enum { RANGE = 5, MASK_FULL = 0, MASK_CAUSAL = 1, MASK_WINDOW = 2, BLOCK = 64, FOREVER = 0x7fffffff };

struct Range {
  int buffer, start, end, mask, window;
};
DEVFN Range range_of(const Segments &s, int j) {
  const int *r = s.ranges + (u64)j * RANGE;
  return {r[0], r[1], r[2], r[3], r[4]};
}

// Capacities are those that the tensors were compiled for.
struct Keys {
  const int *starts, *offsets, *ranges;
  int segments, tokens; // capacities
};
DEVFN Segments segments_of(const Keys &k, const Bound &b) {
  return {k.starts, k.offsets, k.ranges, live_of(b, SEGMENTS, k.segments), live_of(b, TOKENS, k.tokens)};
}

// segment_of is the segment that token t lies in.
DEVFN int segment_of(const Segments &s, int t) {
  int lo = 0, hi = s.count - 1;
  while (lo < hi) {
    int mid = (lo + hi + 1) / 2;
    if (s.starts[mid] <= t) lo = mid;
    else hi = mid - 1;
  }
  return lo;
}

// A Key is one logical position of a segment's keys: where it lies, and the first and last offset of a query that sees
// it. No query sees a position past the end.
struct Key {
  int buffer, row, first, last;
};
DEVFN Key key_of(const Range &r, int offset) {
  return {r.buffer, r.start + offset, r.mask == MASK_FULL ? 0 : offset, r.mask == MASK_WINDOW ? offset + r.window - 1 : FOREVER};
}
DEVFN Key key_at(const Segments &s, int segment, int position) {
  for (int j = s.offsets[segment]; j < s.offsets[segment + 1]; j++) {
    Range r = range_of(s, j);
    if (position < r.end - r.start) return key_of(r, position);
    position -= r.end - r.start;
  }
  return {0, 0, FOREVER, -1};
}
DEVFN bool sees(const Key &k, int i) { return i >= k.first && i <= k.last; }
DEVFN int key_count(const Segments &s, int segment) {
  int n = 0;
  for (int j = s.offsets[segment]; j < s.offsets[segment + 1]; j++) n += s.ranges[(u64)j * RANGE + 2] - s.ranges[(u64)j * RANGE + 1];
  return n;
}

// block_seen tells whether queries first to last of a segment see any key of a block of logical positions.
DEVFN bool block_seen(const Segments &s, int segment, int block, int first, int last) {
  int base = 0;
  for (int j = s.offsets[segment]; j < s.offsets[segment + 1]; j++) {
    Range r = range_of(s, j);
    int from = block * BLOCK - base, to = from + BLOCK - 1, end = r.end - r.start;
    base += end;
    if (from < 0) from = 0;
    if (to >= end) to = end - 1;
    if (from <= to && key_of(r, from).first <= last && key_of(r, to).last >= first) return true;
  }
  return false;
}

// Span is the tile that a block has: rows `first` to `first + rows` of a segment, as offsets.
struct Span {
  int segment, start, first, rows, length; // start: the segment's first token; length: its tokens
};
template <int QUERIES> DEVFN Span span_of(const Segments &s, int tile) {
  for (int i = 0; i < s.count; i++) {
    int length = s.starts[i + 1] - s.starts[i], tiles = (length + QUERIES - 1) / QUERIES;
    if (tile < tiles) {
      int first = tile * QUERIES;
      return {i, s.starts[i], first, length - first < QUERIES ? length - first : QUERIES, length};
    }
    tile -= tiles;
  }
  return {0, 0, 0, 0, 0};
}

#define LOG2E 1.44269504f
#define LN2 0.69314718f
