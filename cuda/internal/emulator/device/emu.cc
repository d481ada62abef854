// emu.cc: the scheduler of fibers behind emu.h, and what launches a grid.
#include "gpu.h"
#include "launch.h"
#include "races.h"
#include <algorithm>
#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace emu {

__thread Place *here;
static Mode mode;

std::map<std::string, const Entry *> &entries() {
  static std::map<std::string, const Entry *> all;
  return all;
}
void Entry::add(const char *name) { entries()[name] = this; }
bool tracing;
void configure(Mode m) { mode = m, tracing = m.races; }

// Fibers: a switch saves the callee's registers on the stack it leaves.
#if defined(__x86_64__)
typedef void *Context;
extern "C" void emu_switch(Context *save, Context *to);
asm(R"(
.text
.globl emu_switch
.type emu_switch,@function
emu_switch:
 pushq %rbp
 pushq %rbx
 pushq %r12
 pushq %r13
 pushq %r14
 pushq %r15
 movq %rsp, (%rdi)
 movq (%rsi), %rsp
 popq %r15
 popq %r14
 popq %r13
 popq %r12
 popq %rbx
 popq %rbp
 ret
)");
static void begin(Context *c, char *stack, size_t size, void (*f)()) {
  void **sp = (void **)(stack + size - 64);
  *--sp = nullptr;
  *--sp = (void *)f;
  for (int i = 0; i < 6; i++) *--sp = nullptr;
  *c = sp;
}
#else
typedef ucontext_t Context;
static void emu_switch(Context *save, Context *to) { swapcontext(save, to); }
static void begin(Context *c, char *stack, size_t size, void (*f)()) {
  getcontext(c);
  c->uc_stack.ss_sp = stack, c->uc_stack.ss_size = size, c->uc_link = nullptr;
  makecontext(c, f, 0);
}
#endif

struct Copy {
  saddr to;
  const void *from;
  int bytes;
};
struct Fiber : Place {
  Context context;
  char *stack = nullptr; // from its first step to its last
  const char *waits = "";
  bool done = false;
  std::vector<std::vector<Copy>> groups;
  std::vector<Copy> open;
  std::vector<std::vector<std::function<void()>>> stores; // of boxes, by groups
  std::vector<std::function<void()>> storing;
};
struct Warp {
  int n = 0;
  const char *what = nullptr;
  void *brought[32];
};

// Hopper's barriers, copies of boxes and products of a warpgroup.
struct Barrier {
  u32 count = 0, pending = 0, phase = 0;
  long bytes = 0; // expected and not there yet
  bool live = false;
  int number = 0; // among those of the block
  std::vector<Fiber *> waiting;
};
struct GroupProduct : Multiply {
  float *of[128]; // what the threads brought: d and held
  const u32 *part[128];
};
struct Group {
  int n = 0;
  const char *what = nullptr;
  void *brought[128];
  std::vector<std::vector<GroupProduct>> groups;
  std::vector<GroupProduct> open;
};

static const size_t stack_bytes = 64 << 10, room_bytes = 512 << 10;

// What a block of a cluster has by itself.
struct Block {
  int left = 0; // threads that have not ended
  std::vector<Fiber *> at_barrier;
  bool referred = false; // the other one has referred to its shared memory since the cluster last met
};

// A Scheduler runs the clusters that one thread of the CPU takes, one after another; most have one block. What belongs to threads is in
// the order of all of the cluster's, and shared memory of one block follows the other's.
struct Scheduler {
  std::vector<Fiber> fibers;
  std::deque<Fiber *> ready;
  std::vector<Warp> warps;
  std::vector<u64> haste; // of the warps of a block in which some run ahead of others; empty: nobody does
  std::vector<Group> groups;
  std::map<u32, Barrier> barriers; // by their place in the cluster's memory
  std::vector<std::function<void()>> boxes; // under way, in no order
  std::vector<Block> blocks;
  std::vector<Fiber *> at_cluster;
  bool met = false; // the cluster's blocks
  std::vector<char *> stacks; // free
  std::vector<void *> mapped;
  Context main;
  sigjmp_buf fault; // where a bad address ends
  unsigned char *room = nullptr; // for shared memory; a page that nobody may touch follows it
  unsigned char *memory = nullptr;
  size_t bytes = 0, capacity = 0; // of a block's memory: what was asked for, and with the slack behind it, which must stay as it is
  const Entry *entry = nullptr;
  void **params = nullptr;
  u64 random = 1;
  Races races;
  struct {
    u32 a, bytes;
    int thread, other = -1;
    unsigned char before[16];
  } write; // of a thread over another's, see Races::disputed
  std::string error;

  Scheduler() {
    room = (unsigned char *)mmap(nullptr, room_bytes + sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    mprotect(room + room_bytes, sysconf(_SC_PAGESIZE), PROT_NONE);
  }
  ~Scheduler() {
    for (void *p : mapped) munmap(p, stack_bytes);
    munmap(room, room_bytes + sysconf(_SC_PAGESIZE));
  }
  char *take_stack() {
    if (stacks.empty()) {
      mapped.push_back(mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
      return (char *)mapped.back();
    }
    char *s = stacks.back();
    stacks.pop_back();
    return s;
  }
};
static __thread Scheduler *scheduler __attribute__((tls_model("initial-exec")));

static Fiber *me() { return (Fiber *)here; }
static void leave() {
  Fiber *f = me();
  emu_switch(&f->context, &scheduler->main);
}
static void settle_write();
static void wait_at(const char *what) {
  settle_write();
  me()->waits = what;
  leave();
}

static void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void die(const char *format, ...) {
  char text[400], full[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  snprintf(full, sizeof full, "block (%d,%d) thread %d: %s", here->x, here->y, here->thread, text);
  scheduler->error = full;
  for (;;) leave();
}

static u32 spot(saddr a, int rank = here->rank) { return rank * scheduler->capacity + a; } // in the cluster's memory
unsigned char *shared() { return scheduler->memory + spot(0); }
saddr address(const void *p) { return (saddr)((const unsigned char *)p - shared()); }
unsigned char *at(saddr a, size_t n, size_t alignment) {
  if (a + n > scheduler->bytes) die("shared address %u of %zu bytes; the block has %zu", a, n, scheduler->bytes);
  if (a % alignment) die("shared address %u is not a multiple of %zu", a, alignment);
  return shared() + a;
}

void reads(int thread, saddr a, size_t n) {
  if (!tracing) return;
  at(a, n, 1);
  scheduler->races.read(thread, spot(a), n);
}
void wrote(int thread, saddr a, size_t n) {
  if (!tracing) return;
  scheduler->races.disputed = -1;
  scheduler->races.write(thread, spot(a), n);
  if (scheduler->races.disputed >= 0) race(thread, true, spot(a), scheduler->races.disputed, "writes");
}
void store16(saddr to, const u32 *v) {
  memcpy(at(to, 16, 16), v, 16);
  wrote(here->index, to, 16);
}
static std::string name(int actor) {
  const Races &of = scheduler->races;
  if (actor < of.COPIES) return "thread " + std::to_string(actor);
  if (actor < of.PRODUCTS) return "a copy of thread " + std::to_string(actor - of.COPIES);
  if (actor < of.STORES) return "a product of warpgroup " + std::to_string(actor - of.PRODUCTS);
  if (actor < of.ENGINE) return "a store of warp " + std::to_string(actor - of.STORES);
  return "the copy engine";
}
void race(int actor, bool writes, u32 a, int other, const char *what) {
  die("race: %s %s shared address %u, which %s %s", name(actor).c_str(), writes ? "writes" : "reads", u32(a % scheduler->capacity), name(other).c_str(), what);
}

// settle_write looks at a write that was disputed when it was about to happen.
static void settle_write() {
  auto &w = scheduler->write;
  if (!tracing || w.other < 0) return;
  int other = w.other;
  w.other = -1;
  if (memcmp(w.before, scheduler->memory + w.a, w.bytes)) race(w.thread, true, w.a, other, "writes");
}

void warp_meet(const char *what, void *mine, void (*last)(void **)) {
  Fiber *f = me();
  Warp &w = scheduler->warps[f->index / 32];
  if (w.n == 0) w.what = what;
  else if (w.what != what) die("%s while others of its warp are at %s", what, w.what);
  w.brought[f->index % 32] = mine;
  if (++w.n < 32) return wait_at(what);
  w.n = 0;
  last(w.brought);
  int first = f->index / 32 * 32;
  for (int i = first; i < first + 32; i++)
    if (i != f->index) scheduler->ready.push_back(&scheduler->fibers[i]);
}

void warp_sync() {
  warp_meet("bar.warp.sync", nullptr, [](void **) {
    if (tracing) scheduler->races.warp_met(here->index / 32 * 32);
  });
}

void block_meet() {
  Scheduler &s = *scheduler;
  size_t threads = s.fibers.size() / s.blocks.size();
  auto &waiting = s.blocks[here->rank].at_barrier;
  if (waiting.size() + 1 < threads) {
    waiting.push_back(me());
    return wait_at("the barrier");
  }
  if (tracing && s.blocks.size() == 1) s.races.all_met();
  else if (tracing) s.races.block_met(here->rank * threads, threads);
  for (Fiber *f : waiting) s.ready.push_back(f);
  waiting.clear();
}
void cluster_meet() {
  Scheduler &s = *scheduler;
  if (s.at_cluster.size() + 1 < s.fibers.size()) {
    s.at_cluster.push_back(me());
    return wait_at("the cluster's barrier");
  }
  if (tracing) s.races.all_met();
  for (Block &b : s.blocks) b.referred = false;
  s.met = true;
  for (Fiber *f : s.at_cluster) s.ready.push_back(f);
  s.at_cluster.clear();
}

static void perform(const Copy &c) {
  unsigned char *to = at(c.to, 16, 16);
  if (c.bytes) memcpy(to, c.from, c.bytes);
  memset(to + c.bytes, 0, 16 - c.bytes);
}
void copy(saddr to, const void *from, int bytes) {
  at(to, 16, 16);
  if (bytes < 0 || bytes > 16 || (bytes && (size_t)from % 16)) die("cp.async of %d bytes from %p", bytes, from);
  if (tracing) scheduler->races.copy(here->index, spot(to));
  Copy c{to, from, bytes};
  if (mode.late) me()->open.push_back(c);
  else perform(c);
}
void copy_commit() {
  me()->groups.push_back(std::move(me()->open));
  me()->open.clear();
  if (tracing) scheduler->races.copies_committed(here->index);
}
void copy_wait(int n) {
  auto &groups = me()->groups;
  while ((int)groups.size() > n) {
    for (const Copy &c : groups.front()) perform(c);
    groups.erase(groups.begin());
    if (tracing) scheduler->races.copies_done(here->index);
  }
}
void conflict_free(const saddr *rows) {
  for (int i = 0; i < 8; i++)
    for (int j = 0; j < i; j++)
      if (rows[i] != rows[j] && rows[i] / 16 % 8 == rows[j] / 16 % 8) die("bank conflict: ldmatrix rows at %u and %u", rows[j], rows[i]);
}

void conflict(saddr one, saddr other) { die("bank conflict: 8 bytes at %u and %u", one, other); }

static Barrier &barrier_at(saddr b, int rank = here->rank) {
  at(b, 8, 8);
  Barrier &m = scheduler->barriers[spot(b, rank)];
  if (!m.live) die("mbarrier %u is used before it is initialised", b);
  return m;
}
// refers: the thread does something to the shared memory of a block of its cluster, which must be there still.
static void refers(u32 rank) {
  if (rank >= scheduler->blocks.size()) die("block %u of a cluster of %zu", rank, scheduler->blocks.size());
  Block &b = scheduler->blocks[rank];
  if (!b.left) die("shared memory of a block that has ended");
  if ((int)rank == here->rank) return;
  if (!scheduler->met) die("shared memory of a block that may not have begun: the cluster has not met");
  b.referred = true;
}
static void check(Barrier &m) {
  if (m.pending || m.bytes) return;
  m.phase ^= 1, m.pending = m.count;
  if (tracing) scheduler->races.phase_done(m.number);
  for (Fiber *f : m.waiting) scheduler->ready.push_back(f);
  m.waiting.clear();
}
void barrier_init(saddr b, u32 count) {
  at(b, 8, 8);
  int number = scheduler->barriers.count(spot(b)) ? scheduler->barriers[spot(b)].number : scheduler->barriers.size();
  if (number >= Races::BARRIERS) die("more than %d mbarriers", Races::BARRIERS);
  Barrier &m = scheduler->barriers[spot(b)] = Barrier();
  m.number = number;
  m.count = m.pending = count, m.live = true;
}
static void arrive(Barrier &m, saddr b, u32 bytes) {
  if (!m.pending) die("mbarrier %u: more arrivals than its count of %u", b, m.count);
  if (tracing) scheduler->races.arrived(here->index, m.number);
  m.bytes += bytes, m.pending--;
  check(m);
}
void barrier_arrive(saddr b, u32 bytes) { arrive(barrier_at(b), b, bytes); }
void barrier_arrive_at(saddr b, u32 rank) {
  refers(rank);
  arrive(barrier_at(b, rank), b, 0);
}
void barrier_wait(saddr b, u32 parity) {
  Barrier &m = barrier_at(b);
  while (m.phase == (parity & 1)) {
    m.waiting.push_back(me());
    wait_at("an mbarrier");
  }
  if (tracing) scheduler->races.waited(here->index, m.number);
}
static u64 draw(u64 &x);
static u32 swizzled(u32 a) { return a ^ (a >> 7 & 7) << 4; }
static Map described(const void *map, saddr box, int x) { // box: at the same place of any block
  Map m;
  memcpy(&m, map, sizeof m);
  if (m.magic != map_magic) die("a box of what is no tensor map");
  // The swizzle follows the address, so that a line may lie anywhere in a tile.
  u32 alignment = m.box_rows == 1 ? 128 : 1024;
  if (box % alignment) die("a box at shared address %u, which is not a multiple of %u", box, alignment);
  if (x * (int)m.element % 16) die("a box from column %d, which is not at a multiple of 16 bytes", x);
  at(box, m.box_rows * 128, alignment);
  return m;
}
// each_chunk calls f with the place in the cluster's memory and in the matrix of every 16 bytes of a box, and how many of them are inside.
template <class F> static void each_chunk(const Map &m, u32 box, int x, int y, F f) {
  long per = 16 / m.element;
  for (u32 r = 0; r < m.box_rows; r++)
    for (u32 c = 0; c < 8; c++) {
      long row = y + (long)r, column = x + c * per, inside = std::max(0L, std::min(per, (long)m.columns - column));
      if (row < 0 || row >= (long)m.rows || column < 0) inside = 0;
      f(scheduler->memory + swizzled(box + r * 128 + c * 16), (char *)m.base + row * m.pitch + column * m.element, inside * m.element);
    }
}
static void bring(saddr to, const void *map, int x, int y, saddr barrier, int rank) {
  Map m = described(map, to, x);
  Barrier *b = &barrier_at(barrier, rank);
  u32 place = spot(to, rank);
  if (tracing) scheduler->races.box(here->index, b->number, place, m.box_rows * 128);
  auto arrive = [=] {
    if (!scheduler->blocks[rank].left) {
      scheduler->error = "a box arrives in shared memory of a block that has ended";
      return;
    }
    each_chunk(m, place, x, y, [](unsigned char *chunk, const char *from, long inside) {
      memset(chunk, 0, 16);
      if (inside) memcpy(chunk, from, inside);
    });
    b->bytes -= (long)m.box_rows * 128;
    check(*b);
  };
  // In no order, some are there before what is late otherwise.
  if (mode.late && (!mode.seed || draw(scheduler->random) % 2)) scheduler->boxes.push_back(arrive);
  else arrive();
}
void load_box(saddr to, const void *map, int x, int y, saddr barrier) { bring(to, map, x, y, barrier, here->rank); }
void share_box(saddr to, const void *map, int x, int y, saddr barrier, u32 mask) {
  for (u32 rank = 0; mask >> rank; rank++)
    if (mask >> rank & 1) refers(rank), bring(to, map, x, y, barrier, rank);
}
void publish_shared() {
  if (tracing) scheduler->races.fence(here->index);
}
void store_box(const void *map, int x, int y, saddr from) {
  Map m = described(map, from, x);
  if (here->thread % 32) die("a box is stored by a lane that is not its warp's first");
  u32 place = spot(from);
  if (tracing) scheduler->races.store(here->index, place, m.box_rows * 128);
  auto leave = [=] {
    each_chunk(m, place, x, y, [](const unsigned char *chunk, char *to, long inside) {
      if (inside) memcpy(to, chunk, inside);
    });
  };
  if (mode.late && (!mode.seed || draw(scheduler->random) % 2)) me()->storing.push_back(leave);
  else leave(), me()->storing.push_back([] {});
}
void stores_commit() {
  me()->stores.push_back(std::move(me()->storing));
  me()->storing.clear();
  if (tracing) scheduler->races.stores_committed(here->index);
}
void stores_read(int n) {
  auto &stores = me()->stores;
  while ((int)stores.size() > n) {
    for (auto &leave : stores.front()) leave();
    stores.erase(stores.begin());
    if (tracing) scheduler->races.stores_done(here->index);
  }
}
static void group_meet(const char *what, void *mine, void (*last)(Group &g)) {
  Fiber *f = me();
  Group &g = scheduler->groups[f->index / 128];
  if (g.n == 0) g.what = what;
  else if (g.what != what) die("%s while others of its warpgroup are at %s", what, g.what);
  g.brought[f->index % 128] = mine;
  if (++g.n < 128) return wait_at(what);
  g.n = 0;
  last(g);
  int first = f->index / 128 * 128;
  for (int i = first; i < first + 128; i++)
    if (i != f->index) scheduler->ready.push_back(&scheduler->fibers[i]);
}
// place is where (row, term) of a described matrix is.
static u32 place(u64 d, int row, int term, int across) {
  if (d >> 62 != 1) die("a matrix that is not swizzled by 128 bytes");
  u32 start = (d & 0x3fff) << 4, panel = (d >> 16 & 0x3fff) << 4, group = (d >> 32 & 0x3fff) << 4;
  return swizzled(across ? start + row / 64 * panel + term / 8 * group + term % 8 * 128 + row % 64 * 2 : start + row / 8 * group + row % 8 * 128 + term * 2);
}
static float element(u64 d, int row, int term, int across) {
  u16 v;
  memcpy(&v, at(place(d, row, term, across), 2, 2), 2);
  return wide(v);
}
// A matrix is read eight elements at a time.
static void matrix_read(int group, u64 d, int rows, int across) {
  for (int r = 0; r < rows; r += across ? 8 : 1)
    for (int t = 0; t < 16; t += across ? 1 : 8) {
      at(place(d, r, t, across), 16, 16);
      scheduler->races.products_read(group, spot(place(d, r, t, across)), 16);
    }
}
// The places of a thread's numbers, of the accumulators and of a first operand that threads hold, are as the PTX manual's
// figures have them: rows warp·16 + lane/4 and 8 further, pairs of columns at lane%4·2.
static void perform(const GroupProduct &p) {
  typedef float Eight __attribute__((vector_size(32)));
  float a[64][16];
  Eight b[16][32], s[32];
  for (int r = 0; r < 64 && !p.held; r++)
    for (int t = 0; t < 16; t++) a[r][t] = element(p.a, r, t, p.a_across);
  for (int i = 0; i < 128 && p.held; i++)
    for (int x = 0; x < 8; x++) a[i / 32 * 16 + i % 32 / 4 + x / 2 % 2 * 8][i % 4 * 2 + x % 2 + x / 4 * 8] = wide(p.part[i][x / 2] >> 16 * (x % 2));
  for (int r = 0; r < p.n; r++)
    for (int t = 0; t < 16; t++) b[t][r / 8][r % 8] = element(p.b, r, t, p.b_across);
  for (int r = 0; r < 64; r++) {
    for (int j = 0; j < p.n / 8; j++) {
      s[j] = Eight{};
      for (int k = 0; k < 16; k++) s[j] += a[r][k] * b[k][j];
    }
    for (int i = r / 16 * 32 + r % 8 * 4, x = r / 8 % 2 * 2, t = 0; t < 4; t++)
      for (int j = 0; j < p.n / 8; j++)
        for (int y = 0; y < 2; y++) p.of[i + t][j * 4 + x + y] = s[j][t * 2 + y] + (p.add ? p.of[i + t][j * 4 + x + y] : 0);
  }
}
void group_product(Multiply m) {
  group_meet("wgmma", &m, [](Group &g) {
    GroupProduct p;
    (Multiply &)p = *(Multiply *)g.brought[0];
    for (int i = 0; i < 128; i++) {
      Multiply *x = (Multiply *)g.brought[i];
      if (x->a != p.a || x->b != p.b) die("the threads of a warpgroup describe different matrices");
      p.of[i] = x->d, p.part[i] = x->held;
    }
    if (tracing) {
      int group = here->index / 128;
      scheduler->races.products_issued(group);
      if (!p.held) matrix_read(group, p.a, 64, p.a_across);
      matrix_read(group, p.b, p.n, p.b_across);
    }
    if (mode.late) g.open.push_back(p);
    else perform(p);
  });
}
void group_begin() {
  group_meet("wgmma.fence", nullptr, [](Group &) {});
}
void group_commit() {
  group_meet("wgmma.commit_group", nullptr, [](Group &g) {
    g.groups.push_back(std::move(g.open));
    g.open.clear();
    if (tracing) scheduler->races.products_committed(here->index / 128);
  });
}
void group_wait(int n) {
  group_meet("wgmma.wait_group", &n, [](Group &g) {
    while ((int)g.groups.size() > *(int *)g.brought[0]) {
      for (const GroupProduct &p : g.groups.front()) perform(p);
      g.groups.erase(g.groups.begin());
      if (tracing) scheduler->races.products_done(here->index / 128);
    }
  });
}

static void body() {
  scheduler->entry->call(scheduler->entry->kernel, scheduler->params);
  settle_write();
  me()->done = true;
  for (;;) leave();
}

static u64 draw(u64 &x) {
  x ^= x << 13, x ^= x >> 7, x ^= x << 17;
  return x;
}

static const unsigned char poison = 0xff; // NaN as f32, f64 and bf16

// run_cluster runs blocks that follow each other, the first of them (x, y).
static void run_cluster(Scheduler &s, int x, int y, int threads, int blocks) {
  int all = threads * blocks;
  memset(s.memory, poison, blocks * s.capacity);
  if (tracing) s.races.begin(all, blocks * s.capacity), s.write.other = -1;
  s.fibers.assign(all, Fiber());
  s.warps.assign((all + 31) / 32, Warp());
  s.groups.assign((all + 127) / 128, Group());
  s.blocks.assign(blocks, Block{threads});
  s.haste.clear();
  if (mode.seed && draw(s.random) % 2) {
    s.haste.resize(s.warps.size());
    for (u64 &h : s.haste) h = draw(s.random);
  }
  s.barriers.clear();
  s.boxes.clear();
  s.at_cluster.clear();
  s.met = false;
  s.ready.clear();
  for (int i = 0; i < all; i++) {
    Fiber &f = s.fibers[i];
    f.index = i, f.rank = i / threads, f.thread = i % threads, f.x = x + f.rank, f.y = y;
    s.ready.push_back(&f);
  }
  int left = all;
  if (sigsetjmp(s.fault, 1)) {
    here = nullptr;
    for (auto &f : s.fibers)
      if (f.stack) s.stacks.push_back(f.stack);
    return;
  }
  while (left) {
    if (s.ready.empty() && !s.boxes.empty()) { // nobody can go on: a box arrives
      std::swap(s.boxes[mode.seed ? draw(s.random) % s.boxes.size() : s.boxes.size() - 1], s.boxes.back());
      auto arrive = std::move(s.boxes.back());
      s.boxes.pop_back();
      arrive();
      if (!s.error.empty()) break;
      continue;
    }
    if (s.ready.empty()) {
      std::string where;
      for (auto &f : s.fibers)
        if (!f.done && where.size() < 200) where += " " + std::to_string(f.thread) + " at " + f.waits + ";";
      char full[400];
      snprintf(full, sizeof full, "block (%d,%d): %d threads wait for ever:%s", x, y, left, where.c_str());
      s.error = full;
      break;
    }
    if (mode.seed) {
      size_t next = draw(s.random) % s.ready.size();
      for (int i = 0; i < 8 && !s.haste.empty(); i++) {
        size_t other = draw(s.random) % s.ready.size();
        if (s.haste[s.ready[other]->index / 32] > s.haste[s.ready[next]->index / 32]) next = other;
      }
      std::swap(s.ready[next], s.ready.front());
    }
    Fiber *f = s.ready.front();
    s.ready.pop_front();
    if (!f->stack) begin(&f->context, f->stack = s.take_stack(), stack_bytes, body);
    here = f;
    emu_switch(&s.main, &f->context);
    here = nullptr;
    if (!s.error.empty()) break;
    if (f->done) {
      if (!f->open.empty() || !f->groups.empty() || !f->storing.empty() || !f->stores.empty()) {
        bool waiting = !f->open.empty() || !f->storing.empty();
        for (auto &g : f->groups) waiting = waiting || !g.empty();
        for (auto &g : f->stores) waiting = waiting || !g.empty();
        if (waiting) {
          s.error = "thread " + std::to_string(f->thread) + " ended before its copies";
          break;
        }
      }
      s.stacks.push_back(f->stack);
      f->stack = nullptr;
      left--;
      Block &b = s.blocks[f->rank];
      if (!--b.left && b.referred) {
        s.error = "block (" + std::to_string(f->x) + "," + std::to_string(y) + ") ends, and no barrier says that the other is done with its memory";
        break;
      }
    }
  }
  for (auto &f : s.fibers) // of a block that failed
    if (f.stack) s.stacks.push_back(f.stack);
  for (size_t i = 0; i < blocks * s.capacity && s.error.empty(); i++)
    if (i % s.capacity >= s.bytes && s.memory[i] != poison) {
      s.error = "shared memory was written past its end";
      return;
    }
}

// A bad address of a kernel ends its launch, as on the device; everyone else's goes to the handler that was there.
static struct sigaction previous;
static void on_fault(int sig, siginfo_t *info, void *context) {
  if (here && scheduler) {
    char text[160];
    snprintf(text, sizeof text, "block (%d,%d) thread %d: bad global address %p", here->x, here->y, here->thread, info->si_addr);
    scheduler->error = text;
    siglongjmp(scheduler->fault, 1);
  }
  if (previous.sa_flags & SA_SIGINFO) previous.sa_sigaction(sig, info, context);
  else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) previous.sa_handler(sig);
  else _exit(139);
}
static void catch_faults() {
  struct sigaction a = {};
  a.sa_sigaction = on_fault;
  a.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigaction(SIGSEGV, &a, &previous);
}

std::string launch(const Entry *entry, unsigned gx, unsigned gy, unsigned threads, unsigned cluster, size_t bytes, void **params) {
  if (cluster > 1 && threads % 128) return "a cluster whose blocks are no whole warpgroups";
  static std::once_flag once;
  std::call_once(once, catch_faults);
  static std::atomic<u64> launches{0};
  u64 number = ++launches;
  std::atomic<long> next{0};
  long total = (long)gx * gy / cluster;
  std::mutex lock;
  std::string error;
  auto work = [&](int id) {
    static thread_local std::unique_ptr<Scheduler> own; // a pointer: its place is looked up once
    if (!own) own.reset(new Scheduler);
    Scheduler &s = *own;
    s.bytes = bytes, s.capacity = (bytes + 1024) / 1024 * 1024, s.memory = s.room + room_bytes - cluster * s.capacity;
    s.error.clear();
    s.entry = entry, s.params = params, s.random = mode.seed * 7919 + number * 31 + id + 1;
    scheduler = &s;
    bool backwards = mode.seed && number % 2; // blocks come in no order that a kernel may count on
    for (long b; s.error.empty() && (b = next++) < total;) {
      long at = backwards ? total - 1 - b : b;
      run_cluster(s, (int)(at * cluster % gx), (int)(at * cluster / gx), threads, cluster);
    }
    scheduler = nullptr;
    if (!s.error.empty()) {
      std::lock_guard<std::mutex> hold(lock);
      error = s.error;
      next = total;
    }
  };
  auto worker = [&](int id) {
    static const size_t signal_stack = 64 << 10;
    std::vector<char> space(signal_stack);
    stack_t mine = {}, none = {};
    mine.ss_sp = space.data(), mine.ss_size = signal_stack, none.ss_flags = SS_DISABLE;
    sigaltstack(&mine, nullptr);
    work(id);
    sigaltstack(&none, nullptr);
  };
  if (total * cluster * threads < 4096 || mode.jobs < 2) {
    work(0);
    return error;
  }
  std::vector<std::thread> workers;
  for (int i = 0; i < mode.jobs; i++) workers.emplace_back(worker, i);
  for (auto &w : workers) w.join();
  return error;
}

} // namespace emu

// What g++ calls at each access of a kernel when it builds with -fsanitize=thread, of which nothing else is used.
static void touched(const void *p, size_t n, bool writes) {
  using namespace emu;
  if (!here || !scheduler) return;
  size_t offset = (size_t)((const unsigned char *)p - scheduler->memory);
  if (offset >= scheduler->blocks.size() * scheduler->capacity || offset % scheduler->capacity >= scheduler->bytes) return;
  settle_write();
  if (!writes) return scheduler->races.read(here->index, offset, n);
  scheduler->races.disputed = -1;
  scheduler->races.write(here->index, offset, n);
  if (scheduler->races.disputed < 0) return;
  auto &w = scheduler->write;
  if (n > sizeof w.before) race(here->index, true, offset, scheduler->races.disputed, "writes");
  w.a = offset, w.bytes = n, w.thread = here->index, w.other = scheduler->races.disputed;
  memcpy(w.before, scheduler->memory + offset, n);
}
// A GPU does not forgive what the processor here does.
static void touched_at_once(const void *p, size_t n, bool writes) {
  if (emu::here && emu::scheduler && (size_t)p % n) emu::die("address %p of %zu bytes is not a multiple of that", p, n);
  touched(p, n, writes);
}
#define TOUCH(n) \
  void __tsan_read##n(void *p) { if (emu::tracing) touched_at_once(p, n, false); } \
  void __tsan_write##n(void *p) { if (emu::tracing) touched_at_once(p, n, true); }
extern "C" {
TOUCH(1)
TOUCH(2)
TOUCH(4)
TOUCH(8)
TOUCH(16)
void __tsan_read_range(void *p, size_t n) { if (emu::tracing) touched(p, n, false); }
void __tsan_write_range(void *p, size_t n) { if (emu::tracing) touched(p, n, true); }
void __tsan_vptr_update(void **, void *) {}
void __tsan_init() {}
}
