// races.h: what two threads of a cluster do to the same shared memory with nothing between them that orders it. Most have one block.
#pragma once
typedef unsigned int u32;
typedef unsigned short u16;
#include <cstddef>
#include <vector>

namespace emu {

extern bool tracing __attribute__((visibility("hidden"))); // whether anybody looks

// Whoever touches shared memory is an actor: a thread; the asynchronous copies of a thread, which are its own only after it
// has waited; the products of a warpgroup; the boxes that a warp's first lane stores; and what the copy engine brings for an mbarrier. An actor's accesses carry its
// clock, which goes on where it may tell others of them. A thread knows an access if it knows the actor up to that clock: from
// the last barrier of all, by its own waits, and by mbarriers. A read of what it does not know to be written, or a
// write over what it does not know to be written or read, is a race: what the memory holds by luck is of no interest.
struct Races {
  typedef std::vector<u32> Clocks; // by actor
  enum { BARRIERS = 64, NOBODY = 0xffff };
  int threads = 0;                                       // which are the first actors
  int COPIES = 0, PRODUCTS = 0, STORES = 0, ENGINE = 0, ACTORS = 0; // the first of each kind, and how many there are, of a block of so many threads

  void begin(int threads, size_t bytes);
  // What a thread does itself. An access of another actor is checked with what `view` knows; -1: what all of its
  // warpgroup know.
  void read(int thread, u32 a, u32 bytes) { access(thread, clock[thread], thread, a, bytes, false); }
  void write(int thread, u32 a, u32 bytes) { access(thread, clock[thread], thread, a, bytes, true); }
  void copy(int thread, u32 a) { copying = true, access(COPIES + thread, begun[thread] + 1, thread, a, 16, true); }
  void copies_committed(int thread) { begun[thread]++; }
  void copies_done(int thread) { copied[thread]++; } // the oldest group
  void all_met();
  void block_met(int first, int n) { met(first, n); } // one of several: its first thread, and how many there are
  void warp_met(int first) { met(first, 32); } // its first thread
  void products_issued(int group); // what all of its threads know is what the products may count on
  void products_read(int group, u32 a, u32 bytes) { access(PRODUCTS + group, issued[group] + 1, -1, a, bytes, false); }
  void products_committed(int group) { issued[group]++; }
  void products_done(int group); // the oldest group of products
  void store(int thread, u32 a, u32 bytes) { access(STORES + thread / 32, issued[stores(thread)] + 1, thread, a, bytes, false); }
  void stores_committed(int thread) { issued[stores(thread)]++; }
  void stores_done(int thread) { finished[stores(thread)]++; } // the oldest group has read
  void box(int thread, int barrier, u32 a, u32 bytes) { access(ENGINE + barrier, phases[barrier] + 1, thread, a, bytes, true); }
  void fence(int thread) { fenced[thread] = clock[thread]++, changed(thread); } // what it wrote may be read by the copy engine and products
  void arrived(int thread, int barrier);
  void phase_done(int barrier);
  void waited(int thread, int barrier);
  // Threads may write the same number to the same place: whether they do is seen after the write. -1: nothing to see.
  int disputed = -1;

private:
  struct Reader {
    u32 clock;
    u16 actor;
  };
  struct Cell { // of four bytes
    u32 block = 0, written = 0;
    u16 writer = NOBODY, readers = 0;
    Reader reader[4];
    int more = -1; // of `lists`, when there are more readers
    bool many = false;
  };
  u32 block = 0;
  std::vector<Cell> cells;
  // List holds the clocks of a cell's many readers. Nobody clears it at a write: who knows the write knows those before it.
  struct List {
    u32 block;
    Clocks at; // by slot
  };
  std::vector<List> lists;
  Clocks clock, fenced, begun, copied, issued, finished, phases; // of threads; groups of copies; groups of products and of stores; barriers
  Clocks base;                                           // what all know since their last barrier
  std::vector<Clocks> own;                               // what a thread knows beyond it; empty: nothing
  std::vector<Clocks> told, next;                        // what a barrier tells of its last whole phase, and of this one
  std::vector<Clocks> all;                               // what a whole warpgroup knows; empty: it has learned something since
  const Clocks *issuer = nullptr;                        // what the warpgroup knows whose products are issued

  void access(int actor, u32 now, int view, u32 a, u32 bytes, bool writes);
  bool knows(int view, int actor, u32 at) const;
  u32 known(int thread, int actor) const;
  int stores(int thread) const { return STORES - PRODUCTS + thread / 32; } // their place in issued and finished
  int slot(int actor) const { return actor < threads ? actor : threads + (actor - PRODUCTS); } // of readers
  Clocks &owned(int thread); // to be added to
  void met(int first, int n);
  bool copying = false; // threads have copied asynchronously: else nobody knows of their copies
  void raise(Clocks &to, const Clocks &from) const;
  void changed(int thread) { all[thread / 128].clear(); }
};

// race ends the kernel: `actor` reads or writes at `a` what another wrote or read.
void race(int actor, bool writes, u32 a, int other, const char *what);

} // namespace emu
