// nccl.cc: a stand-in for libnccl.so.2 over the stand-in driver. Ranks are threads or processes; what they send each other goes through rings
// of bytes in memory that they share, when the turn of its stream comes. It is stricter than NCCL: what the two sides of a transfer say
// must agree, buffers must be device memory, and a communicator is not used before it has settled.
#include "launch.h"
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <random>
#include <set>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

typedef uint64_t u64;
enum { SUCCESS = 0, SYSTEM_ERROR = 2, INVALID_ARGUMENT = 4, INVALID_USAGE = 5, REMOTE_ERROR = 6, IN_PROGRESS = 7 };
enum { TYPE_INT8 = 0, TYPE_F32 = 7, TYPE_F64 = 8 };
static const int most_ranks = 16, ring_bytes = 16 << 10;

struct Ring { // one writes, another reads
  std::atomic<u64> written, read;
  char data[ring_bytes];
};
struct Shared {
  std::atomic<int> joined, aborted, devices[most_ranks]; // number + 1
  Ring rings[1]; // by sender, then receiver
};
struct Head {
  u64 kind, bytes;
};
enum { POINT_TO_POINT = 1, BROADCAST = 2 };
struct Transfer {
  bool sends;
  int peer;
  Head head;
  char *buffer;
};
struct Comm {
  Shared *shared;
  int rank, world;
  bool settling = true; // has not been asked since the last call
  std::atomic<bool> aborted{false};
  Ring &ring(int from, int to) { return shared->rings[from * world + to]; }
};
struct Id {
  char internal[128];
};
struct Config {
  size_t size;
  unsigned magic, version;
  int blocking;
};

static thread_local int depth;
static thread_local std::vector<Transfer> grouped;
static thread_local Comm *grouped_comm;
static thread_local void *grouped_stream;
static thread_local const char *last_error = "";

static size_t width(int type) { return type == TYPE_F32 ? 4 : type == TYPE_F64 ? 8 : type == TYPE_INT8 ? 1 : 0; }

// move copies as much as there is room for, or there are bytes, and returns how much.
static size_t move(Ring &r, bool sends, char *bytes, size_t n) {
  u64 at = sends ? r.written.load() : r.read.load();
  size_t most = sends ? ring_bytes - (at - r.read.load()) : r.written.load() - at;
  n = std::min(n, most);
  for (size_t done = 0; done < n;) {
    size_t from = (at + done) % ring_bytes, part = std::min(n - done, ring_bytes - from);
    if (sends) memcpy(r.data + from, bytes + done, part);
    else memcpy(bytes + done, r.data + from, part);
    done += part;
  }
  (sends ? r.written : r.read).store(at + n);
  return n;
}

// A group is one work: transfers with the same rank in the same direction follow each other.
struct Group {
  Comm *comm;
  std::vector<Transfer> transfers;
  std::vector<size_t> moved; // of head and buffer
  std::vector<Head> heads;   // that came

  emu::Result step(size_t i) {
    Transfer &t = transfers[i];
    Ring &r = t.sends ? comm->ring(comm->rank, t.peer) : comm->ring(t.peer, comm->rank);
    if (moved[i] < sizeof(Head)) {
      char *head = t.sends ? (char *)&t.head : (char *)&heads[i];
      moved[i] += move(r, t.sends, head + moved[i], sizeof(Head) - moved[i]);
      if (moved[i] < sizeof(Head)) return emu::NOT_READY;
      if (!t.sends && memcmp(&heads[i], &t.head, sizeof(Head))) {
        char text[200];
        snprintf(text, sizeof text, "NCCL: rank %d sends rank %d %llu bytes (kind %d), which takes %llu (kind %d)", t.peer, comm->rank,
                 (unsigned long long)heads[i].bytes, (int)heads[i].kind, (unsigned long long)t.head.bytes, (int)t.head.kind);
        return emu::failed(text);
      }
    }
    size_t done = moved[i] - sizeof(Head);
    moved[i] += move(r, t.sends, t.buffer + done, t.head.bytes - done);
    return moved[i] == sizeof(Head) + t.head.bytes ? 0 : emu::NOT_READY;
  }
  emu::Result run() {
    if (comm->aborted) return 0; // kernels leave
    if (moved.empty()) moved.resize(transfers.size()), heads.resize(transfers.size());
    std::set<std::pair<bool, int>> busy;
    for (size_t i = 0; i < transfers.size(); i++) {
      std::pair<bool, int> way{transfers[i].sends, transfers[i].peer};
      if (busy.count(way)) continue;
      emu::Result r = step(i);
      if (r == emu::NOT_READY) busy.insert(way);
      else if (r) return r;
    }
    if (!busy.empty()) return emu::NOT_READY;
    moved.clear(); // for the next replay
    return 0;
  }
};

static int refuse(int code, const char *why) {
  last_error = why;
  return code;
}
static int flush() {
  if (grouped.empty()) return SUCCESS;
  auto g = std::make_shared<Group>();
  g->comm = grouped_comm, g->transfers.swap(grouped);
  if (emu::enqueue(grouped_stream, [g] { return g->run(); })) return refuse(INVALID_USAGE, "the stream takes no work");
  g->comm->settling = true;
  return IN_PROGRESS;
}
static int add(Comm *c, void *stream, bool sends, int peer, int kind, const void *buffer, size_t count, int type) {
  if (!c || peer < 0 || peer >= c->world || !width(type)) return refuse(INVALID_ARGUMENT, "no such rank or type");
  if (c->settling) return refuse(INVALID_USAGE, "the communicator has not settled");
  if (peer == c->rank) return refuse(INVALID_ARGUMENT, "a rank that sends to itself");
  if (!emu::in_memory(buffer, count * width(type))) return refuse(INVALID_ARGUMENT, "a buffer outside of the device's memory");
  if (!grouped.empty() && (grouped_comm != c || grouped_stream != stream)) return refuse(INVALID_USAGE, "a group of two communicators or streams");
  grouped_comm = c, grouped_stream = stream;
  grouped.push_back({sends, peer, {(u64)kind, count * width(type)}, (char *)buffer});
  return SUCCESS;
}

extern "C" {
int ncclGetVersion(int *v) {
  *v = 22703;
  return SUCCESS;
}
const char *ncclGetErrorString(int code) {
  switch (code) {
  case SUCCESS: return "no error";
  case SYSTEM_ERROR: return "unhandled system error";
  case INVALID_ARGUMENT: return "invalid argument";
  case INVALID_USAGE: return "invalid usage";
  case REMOTE_ERROR: return "remote process exited or there was a network error";
  case IN_PROGRESS: return "NCCL operation in progress";
  }
  return "unknown result code";
}
const char *ncclGetLastError(Comm *) { return last_error; }
int ncclGetUniqueId(Id *id) {
  std::random_device random;
  memset(id, 0, sizeof *id);
  snprintf(id->internal, 64, "/goprm-nccl-%d-%08x%08x", getpid(), random(), random());
  memset(id->internal + 120, 0x5a, 8); // all of it must arrive
  return SUCCESS;
}
int ncclCommInitRankConfig(Comm **comm, int world, Id id, int rank, Config *config) {
  if (!config || config->size < sizeof(Config) || config->magic != 0xcafebeef || config->blocking != 0 || world < 1 || world > most_ranks ||
      rank < 0 || rank >= world || id.internal[127] != 0x5a || id.internal[120] != 0x5a || emu::current_device() < 0)
    return refuse(INVALID_ARGUMENT, "initialised in a way that the stand-in does not know");
  size_t bytes = sizeof(Shared) + (size_t)world * world * sizeof(Ring);
  int file = shm_open(id.internal, O_CREAT | O_RDWR, 0600);
  if (file < 0 || ftruncate(file, bytes)) return refuse(SYSTEM_ERROR, "no shared memory");
  void *at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (at == MAP_FAILED) return refuse(SYSTEM_ERROR, "no shared memory");
  Comm *c = new Comm;
  c->shared = (Shared *)at, c->rank = rank, c->world = world;
  c->shared->devices[rank] = emu::current_device() + 1;
  if (++c->shared->joined == world) shm_unlink(id.internal);
  *comm = c;
  return IN_PROGRESS;
}
int ncclCommGetAsyncError(Comm *c, int *state) {
  *state = SUCCESS;
  if (c->shared->aborted) *state = refuse(REMOTE_ERROR, "a rank has aborted");
  else if (c->shared->joined < c->world) *state = IN_PROGRESS;
  else
    for (int r = 0; r < c->world; r++)
      for (int q = 0; q < r; q++)
        if (c->shared->devices[r] == c->shared->devices[q]) *state = refuse(INVALID_USAGE, "two ranks on one GPU");
  if (*state == SUCCESS && c->settling) c->settling = false, *state = c->shared->joined == c->world ? SUCCESS : IN_PROGRESS;
  return SUCCESS;
}
// What is queued still holds the communicator, so it is not freed.
int ncclCommAbort(Comm *c) {
  c->aborted = true;
  c->shared->aborted = 1;
  return SUCCESS;
}
int ncclCommFinalize(Comm *c) {
  c->settling = true;
  return IN_PROGRESS;
}
int ncclCommDestroy(Comm *c) { return c->settling ? refuse(INVALID_USAGE, "not finalized") : SUCCESS; }
int ncclGroupStart() {
  depth++;
  return SUCCESS;
}
int ncclGroupEnd() { return --depth ? SUCCESS : flush(); }
int ncclSend(const void *b, size_t count, int type, int peer, Comm *c, void *stream) {
  int r = add(c, stream, true, peer, POINT_TO_POINT, b, count, type);
  return r || depth ? r : flush();
}
int ncclRecv(void *b, size_t count, int type, int peer, Comm *c, void *stream) {
  int r = add(c, stream, false, peer, POINT_TO_POINT, b, count, type);
  return r || depth ? r : flush();
}
int ncclBroadcast(const void *from, void *to, size_t count, int type, int root, Comm *c, void *stream) {
  int r = from == to ? SUCCESS : refuse(INVALID_ARGUMENT, "the stand-in broadcasts in place");
  for (int peer = 0; peer < c->world && !r; peer++)
    if (peer != c->rank && (c->rank == root || peer == root)) r = add(c, stream, c->rank == root, peer, BROADCAST, to, count, type);
  return r || depth ? r : flush();
}
}
