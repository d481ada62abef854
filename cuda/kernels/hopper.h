// hopper.h: what the kernels of sm_90a have in common: a block is three warpgroups. The first warp of the first brings tiles
// with the copy engine; the other two groups, the consumers, multiply them with wgmma.
#pragma once
#define SM90 1
#include "gpu.h"

enum { GROUP = 128, CONSUMERS = 2, HOPPER_THREADS = GROUP * (1 + CONSUMERS), LINE = 128 }; // LINE: bytes of 64 columns

// Registers of a thread: a block begins with 168 each, and what the producer's group gives back is what the consumers get.
template <int PRODUCER> DEVFN void producer_registers() { fewer_registers<PRODUCER>(); }
template <int PRODUCER> DEVFN void consumer_registers() { more_registers<168 + (168 - PRODUCER) / CONSUMERS>(); }

// A Ring is STAGES places in shared memory that the producer fills and the consumers empty in turn. Use number i is of place
// i % STAGES. Its barriers count the producer's arrival and the bytes, and an arrival of each of the consumers' warps: of a cluster's
// BLOCKS all of them, where a producer fills the places of both.
template <int STAGES, int BLOCKS = 1> struct Ring {
  enum { BYTES = STAGES * 16 };
  DEVFN saddr full(saddr at, int i) { return at + i % STAGES * 16; }
  DEVFN saddr empty(saddr at, int i) { return full(at, i) + 8; }
  DEVFN void init(saddr at) {
    for (int i = 0; i < STAGES; i++) {
      barrier_init(full(at, i), 1);
      barrier_init(empty(at, i), BLOCKS * CONSUMERS * GROUP / 32);
    }
  }
  DEVFN void wait_empty(saddr at, int i) {
    u32 parity = (i / STAGES & 1) ^ 1; // at first there is nothing to wait for
    if (BLOCKS > 1) barrier_wait_cluster(empty(at, i), parity);
    else barrier_wait(empty(at, i), parity);
  }
  DEVFN void wait_full(saddr at, int i) { barrier_wait(full(at, i), i / STAGES & 1); }
  DEVFN void release(saddr at, int i) {
    sync_warp();
    int lane = thread() % 32;
    if (BLOCKS > 1 && lane < BLOCKS) barrier_arrive_at(empty(at, i), lane);
    if (BLOCKS == 1 && lane == 0) barrier_arrive(empty(at, i));
  }
  // release_after releases once x is known, which the assembler cannot put off till after the next wait: x is never below zero.
  DEVFN void release_after(saddr at, int i, float x) {
    sync_warp();
    if (thread() % 32 == 0 && !(x < 0)) barrier_arrive(empty(at, i));
  }
};

// bring_lines begins to bring ROWS rows of PANELS · 64 columns from column x on, a line at a time, a warp together; row_at
// says which row goes where, and of which matrix. One that is negative gives zeros.
struct Line {
  const Brought *from;
  int row;
};
template <int ROWS, int PANELS, class F> DEVFN void bring_lines(saddr to, u32 panel, int x, saddr barrier, F row_at) {
  for (int i = thread() % 32; i < ROWS; i += 32) {
    Line l = row_at(i);
    for (int p = 0; p < PANELS; p++) load_box(to + p * panel + i * LINE, &l.from->line, x + p * 64, l.row, barrier);
  }
}
// bring_box begins to bring the same as boxes, of rows that follow each other from y on; one thread does it.
template <int PANELS> DEVFN void bring_box(saddr to, u32 panel, const Brought *from, int x, int y, saddr barrier) {
  for (int p = 0; p < PANELS; p++) load_box(to + p * panel, &from->box, x + p * 64, y, barrier);
}
