// driver.cc: a stand-in for libcuda.so.1 whose devices are the emulator: GOPRM_EMU_DEVICES of them (1), each with its own memory and its own
// context to lose. Work is queued on its stream and done when somebody waits for that stream, so that a program that reads too early or frees
// too early is found out. It takes kernels by the names in
// the PTX it is given, and their code from the same sources built for the CPU.
#include "gpu.h"
#include "launch.h"
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

using emu::Result;
using emu::Work;
enum {
  INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_CONTEXT = 201, INVALID_PTX = 218,
  NOT_FOUND = 500, NOT_READY = emu::NOT_READY, LAUNCH_FAILED = 719, CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901,
  CAPTURE_UNJOINED = 904, CAPTURE_ISOLATION = 905, INVALID_CLUSTER_SIZE = 912
};

static std::recursive_mutex mutex;
#define LOCK std::lock_guard<std::recursive_mutex> hold(mutex)

static u64 setting(const char *name, u64 otherwise) {
  const char *v = getenv(name);
  return v && *v ? strtoull(v, nullptr, 10) : otherwise;
}
static int forced_capability; // by a test
static int capability() { return forced_capability ? forced_capability : (int)setting("GOPRM_EMU_CAPABILITY", 80); }
// What is planted by the environment, for tests of what looks for it: a kernel that never ends, one whose PTX is refused, and blocks
// of Hopper's products that take their first tile alone.
static bool planted(const char *name, const std::string &kernel) {
  const char *v = getenv(name);
  return v && kernel == v;
}
static u64 forced_memory; // by a test
static u64 memory() { return forced_memory ? forced_memory : setting("GOPRM_EMU_MEMORY", 4ull << 30); }
// Of a device that is to be as large as a real one, what it allocates is counted and has addresses, but no memory behind them from `small`
// bytes on: copies leave it out, and kernels do nothing.
static bool unbacked;

struct Device { // its primary context too
  Result sticky = 0; // after a failed kernel the context is lost
  u64 allocated = 0, peak = 0;
};
static Device devices[8];
static int forced_devices; // by a test
static int device_count() { return forced_devices ? forced_devices : (int)setting("GOPRM_EMU_DEVICES", 1); }
static thread_local Device *current;

struct Function {
  const emu::Entry *entry;
  u32 max_shared = 48 << 10, max_threads = 1024, cluster = 1; // cluster: blocks
  std::string name;
};
struct Module {
  std::string ptx;
  std::map<std::string, std::unique_ptr<Function>> functions;
};
struct Step { // of a captured stream: work, or a wait for so many steps of a lane
  Work work;
  int lane = -1;
  u64 at = 0;
};
struct Capture { // by the streams that take part, the first of which began it
  std::vector<std::vector<Step>> lanes;
  std::vector<struct Stream *> streams;
};
struct Stream {
  Device *device;
  std::deque<Work> queue;
  std::shared_ptr<Capture> capture; // null: it does what it is given
  int lane = 0;
  u64 taken = 0; // from the queue so far
};
struct Event {
  Stream *stream = nullptr;
  std::shared_ptr<Capture> capture; // in which it was recorded last, on a lane
  int lane = 0;
  u64 at = 0; // how much of the queue must have been taken, or of the lane
  std::shared_ptr<double> reached; // in milliseconds; of events that have the time
};
struct Graph {
  std::vector<std::vector<Step>> lanes;
  std::vector<std::shared_ptr<Stream>> streams; // of an executable one, for all lanes but the first
};

struct Allocation {
  size_t bytes, mapped;
  Device *device;
};
static std::map<u64, Allocation> allocations; // by address
static std::map<u64, size_t> pinned; // page-locked host memory
static u64 launched, fails_at;     // kernels so far, and which one fails; 0: none
static Device *fails_on;           // of this device alone; null: of any
static std::string message;
static const u64 page = 4096;

static Result enqueue(Stream *s, Work w) {
  if (s->device->sticky) return s->device->sticky;
  if (s->capture) s->capture->lanes[s->lane].push_back({std::move(w)});
  else s->queue.push_back(std::move(w));
  return 0;
}
static bool hung; // what is first on a stream does not end
static std::map<Stream *, std::shared_ptr<Stream>> streams;
static void run_others(Stream *s);
static double now() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
// finish does what is queued, for at most so many milliseconds where somebody only asks. What is not ready stays first; who waits for ever
// lets others call the driver meanwhile, as it may need work of theirs.
static Result finish(Stream *s, u64 until = ~0ull, double patience = INFINITY) {
  Result &sticky = s->device->sticky;
  double begin = now();
  while (!s->queue.empty() && s->taken < until && now() - begin < patience) {
    while (hung && patience == INFINITY) pause(); // as the driver's caller would, for ever
    if (hung) break;
    run_others(s);
    Result r = sticky ? sticky : s->queue.front()();
    if (hung) continue;
    if (r == NOT_READY) {
      if (patience != INFINITY) break;
      mutex.unlock();
      usleep(200);
      mutex.lock();
      continue;
    }
    if (!sticky) sticky = r;
    s->queue.pop_front(), s->taken++;
  }
  return sticky;
}
// after is a wait for what another stream does.
static Work after(Stream *other, u64 at) {
  return [=]() -> Result {
    Result r = finish(other, at, 5);
    return r ? r : other->taken >= at ? 0 : NOT_READY;
  };
}
// run_others does what other streams of the device have ready first: GOPRM_EMU_EAGER is 1 for programs that must not need a certain order.
static void run_others(Stream *s) {
  static bool running;
  if (running || !setting("GOPRM_EMU_EAGER", 0)) return;
  running = true;
  std::vector<Stream *> all;
  for (auto &other : streams)
    if (other.first != s && other.first->device == s->device) all.push_back(other.first);
  for (Stream *other : all) finish(other, ~0ull, 5);
  running = false;
}
static Result finish_all() { // of the current device
  std::vector<Stream *> all;
  for (auto &s : streams)
    if (s.first->device == current) all.push_back(s.first);
  for (Stream *s : all)
    if (streams.count(s)) finish(s);
  return current->sticky;
}
static bool page_locked(const void *p, size_t n) {
  auto i = pinned.upper_bound((u64)p);
  return i != pinned.begin() && (--i, (u64)p + n <= i->first + i->second);
}
static bool absent(u64 p) { // memory that is counted alone
  auto i = allocations.upper_bound(p);
  return unbacked && i != allocations.begin() && (--i)->second.mapped;
}
static bool inside(u64 p, size_t n) {
  auto i = allocations.upper_bound(p);
  if (i == allocations.begin()) return false;
  --i;
  return p + n <= i->first + i->second.bytes;
}

// What the stand-in NCCL asks of the driver.
Result emu::enqueue(void *stream, Work w) {
  LOCK;
  return enqueue((Stream *)stream, std::move(w));
}
int emu::current_device() { return current ? current - devices : -1; }
bool emu::in_memory(const void *p, size_t n) {
  LOCK;
  return inside((u64)p, n);
}
Result emu::failed(const std::string &why) {
  message = why;
  return LAUNCH_FAILED;
}

extern "C" {

// Beyond the driver: how the emulator runs, its last error, and an end to a lost context, which only a test may survive.
void emu_configure(int late, u64 seed, int jobs, int races) { emu::configure({late != 0, seed, jobs, races != 0}); }
// The kernel that is the n-th from now fails; 0: none. Returns how many there were since the last call.
u64 emu_fail_at(u64 n) {
  LOCK;
  u64 before = launched;
  launched = 0, fails_at = n, fails_on = nullptr;
  return before;
}
// The same of the kernels of one device.
void emu_fail_on(int device, u64 n) {
  LOCK;
  launched = 0, fails_at = n, fails_on = &devices[device];
}
void emu_set_memory(u64 bytes, int without) {
  LOCK;
  forced_memory = bytes ? bytes + devices[0].allocated : 0, unbacked = without;
}
// The most bytes of a device that were allocated at once since the last call.
u64 emu_peak(int device) {
  LOCK;
  u64 peak = devices[device].peak;
  devices[device].peak = devices[device].allocated;
  return peak;
}
void emu_set_devices(int n) { forced_devices = n; }
void emu_set_capability(int c) { forced_capability = c; }
const char *emu_message() { return message.c_str(); }
void emu_revive() {
  LOCK;
  if (hung)
    for (auto &s : streams) s.first->taken += s.first->queue.size(), s.first->queue.clear();
  hung = false;
  for (auto &s : streams) finish(s.first);
  for (Device &d : devices) d.sticky = 0;
  message.clear();
}

Result cuInit(u32) { return setting("GOPRM_EMU_NO_DEVICE", 0) ? NO_DEVICE : 0; }
Result cuDriverGetVersion(int *v) {
  *v = setting("GOPRM_EMU_DRIVER", 13000);
  return 0;
}
Result cuDeviceGetCount(int *n) {
  *n = device_count();
  return 0;
}
Result cuDeviceGet(int *d, int ordinal) {
  *d = ordinal;
  return ordinal < 0 || ordinal >= device_count() ? INVALID_DEVICE : 0;
}
Result cuDeviceGetName(char *name, int n, int) {
  snprintf(name, n, "emulated sm_%d", capability());
  return 0;
}
Result cuDeviceGetAttribute(int *v, int attribute, int) {
  switch (attribute) {
  case 13: *v = 1000000; break; // kHz of the multiprocessors
  case 16: *v = setting("GOPRM_EMU_SMS", 2); break; // multiprocessors
  case 36: *v = 1000000; break; // kHz of the memory
  case 37: *v = 512; break;     // bits of its bus
  case 38: *v = 1 << 20; break; // bytes of the L2 cache
  case 75: *v = capability() / 10; break;
  case 76: *v = capability() % 10; break;
  case 97: *v = capability() >= 90 ? 232448 : capability() == 80 ? 166912 : 101376; break; // shared memory a block may ask for
  default: return INVALID_VALUE;
  }
  return 0;
}
Result cuDeviceTotalMem_v2(size_t *n, int) {
  *n = memory();
  return 0;
}
Result cuDevicePrimaryCtxRetain(void **c, int device) {
  *c = &devices[device];
  return 0;
}
Result cuDevicePrimaryCtxRelease_v2(int) { return 0; }
Result cuCtxSetCurrent(void *c) {
  current = (Device *)c;
  return 0;
}
#define CONTEXT \
  LOCK; \
  if (!current) return INVALID_CONTEXT

Result cuMemGetInfo_v2(size_t *free, size_t *total) {
  CONTEXT;
  *total = memory(), *free = memory() - current->allocated;
  return 0;
}
static bool any_capture() {
  for (auto &s : streams)
    if (s.first->capture && s.first->device == current) return true;
  return false;
}
// Memory is poisoned, and ends at a page that nobody may touch; a small piece ends at a canary, looked at when it is freed.
static const size_t small = 64 << 10, canary = 256;
static const unsigned char poison = 0xff;
Result cuMemAlloc_v2(u64 *p, size_t n) {
  CONTEXT;
  if (any_capture()) return CAPTURE_UNSUPPORTED;
  if (!n) return INVALID_VALUE;
  size_t used = (n + 255) / 256 * 256, mapped = (used + page - 1) / page * page + page;
  if (current->allocated + used > memory()) return OUT_OF_MEMORY;
  if (n < small) {
    *p = (u64)aligned_alloc(256, used + canary);
    if (!*p) return OUT_OF_MEMORY;
    memset((void *)*p, poison, used + canary);
    mapped = 0;
  } else {
    char *at = (char *)mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return OUT_OF_MEMORY;
    mprotect(at + mapped - page, page, PROT_NONE);
    if (unbacked) mprotect(at, mapped, PROT_NONE);
    else memset(at, poison, mapped - page);
    *p = (u64)(at + mapped - page - used);
  }
  allocations[*p] = {n, mapped, current};
  current->allocated += used;
  if (current->peak < current->allocated) current->peak = current->allocated;
  return current->sticky;
}
Result cuMemFree_v2(u64 p) {
  CONTEXT;
  if (any_capture()) return CAPTURE_UNSUPPORTED;
  finish_all();
  auto i = allocations.find(p);
  if (i == allocations.end()) return INVALID_VALUE;
  size_t n = i->second.bytes, used = (n + 255) / 256 * 256, mapped = i->second.mapped;
  if (mapped) munmap((void *)(p + used + page - mapped), mapped);
  else {
    for (size_t k = n; k < used + canary; k++)
      if (((unsigned char *)p)[k] != poison && !current->sticky) current->sticky = LAUNCH_FAILED, message = "memory was written past its end";
    free((void *)p);
  }
  i->second.device->allocated -= used;
  allocations.erase(i);
  return current->sticky;
}
Result cuMemHostAlloc(void **p, size_t n, u32) {
  CONTEXT;
  *p = aligned_alloc(4096, (n + 4095) / 4096 * 4096);
  if (!*p) return OUT_OF_MEMORY;
  pinned[(u64)*p] = n;
  return current->sticky;
}
Result cuMemFreeHost(void *p) {
  CONTEXT;
  finish_all();
  if (!pinned.erase((u64)p)) return INVALID_VALUE;
  free(p);
  return current->sticky;
}
// Page-locked memory is read when the copy's turn comes; other memory before the call returns.
Result cuMemcpyHtoDAsync_v2(u64 to, const void *from, size_t n, Stream *s) {
  CONTEXT;
  if (!inside(to, n)) return INVALID_VALUE;
  if (s->capture) return CAPTURE_UNSUPPORTED;
  if (absent(to)) return 0;
  if (page_locked(from, n))
    return enqueue(s, [=] {
      memcpy((void *)to, from, n);
      return 0;
    });
  auto data = std::make_shared<std::string>((const char *)from, n);
  return enqueue(s, [=] {
    memcpy((void *)to, data->data(), n);
    return 0;
  });
}
Result cuMemcpyDtoHAsync_v2(void *to, u64 from, size_t n, Stream *s) {
  CONTEXT;
  if (!inside(from, n)) return INVALID_VALUE;
  if (s->capture) return CAPTURE_UNSUPPORTED;
  if (absent(from)) return enqueue(s, [=] {
    memset(to, 0, n);
    return 0;
  });
  return enqueue(s, [=] {
    memcpy(to, (void *)from, n);
    return 0;
  });
}
Result cuMemsetD8Async(u64 to, unsigned char v, size_t n, Stream *s) {
  CONTEXT;
  if (!inside(to, n)) return INVALID_VALUE;
  if (absent(to)) return 0;
  return enqueue(s, [=] {
    memset((void *)to, v, n);
    return 0;
  });
}

static Result refused(const char *why, u32 n, const int *options, void **values) {
  char *log = nullptr;
  size_t bytes = 0;
  for (u32 i = 0; i < n; i++) {
    if (options[i] == 5) log = (char *)values[i];
    if (options[i] == 6) bytes = (size_t)values[i];
  }
  if (log) snprintf(log, bytes, "ptxas application ptx input, %s\nptxas fatal   : Ptx assembly aborted due to errors\n", why);
  return INVALID_PTX;
}
Result cuModuleLoadDataEx(Module **m, const char *ptx, u32 n, int *options, void **values) {
  CONTEXT;
  const char *target = strstr(ptx, ".target sm_"), *refuse = getenv("GOPRM_EMU_REFUSE");
  if (!strstr(ptx, ".version") || !target) return refused("line 1; fatal   : Missing .version directive", n, options, values);
  if (atoi(target + 11) > capability()) return refused("line 9; error   : Target is higher than the device's", n, options, values);
  if (refuse && *refuse && strstr(ptx, (".entry " + std::string(refuse) + "(").c_str()))
    return refused("line 77; error   : Not a name of any known instruction: 'planted'", n, options, values);
  *m = new Module{ptx, {}};
  return current->sticky;
}
Result cuModuleUnload(Module *m) {
  CONTEXT;
  finish_all();
  delete m;
  return current->sticky;
}
Result cuModuleGetFunction(Function **f, Module *m, const char *name) {
  CONTEXT;
  size_t at = m->ptx.find(".entry " + std::string(name) + "(");
  auto entry = emu::entries().find(name);
  if (at == std::string::npos || entry == emu::entries().end()) return NOT_FOUND;
  auto &slot = m->functions[name];
  if (!slot) {
    slot.reset(new Function{entry->second});
    slot->name = name;
    size_t threads = m->ptx.find(".maxntid", at);
    if (threads != std::string::npos) slot->max_threads = atoi(m->ptx.c_str() + threads + 8);
    size_t cluster = m->ptx.find(".reqnctapercluster", at);
    if (cluster < m->ptx.find("{", at)) slot->cluster = atoi(m->ptx.c_str() + cluster + 18);
  }
  *f = slot.get();
  return 0;
}
Result cuFuncSetAttribute(Function *f, int attribute, int v) {
  CONTEXT;
  int most;
  cuDeviceGetAttribute(&most, 97, 0);
  if (attribute != 8 || v > most) return INVALID_VALUE;
  f->max_shared = v;
  return 0;
}
Result cuLaunchKernel(Function *f, u32 gx, u32 gy, u32 gz, u32 bx, u32 by, u32 bz, u32 bytes, Stream *s, void **params, void **) {
  CONTEXT;
  if (current->sticky) return current->sticky;
  if (!gx || !gy || gy > 65535 || gz != 1 || by != 1 || bz != 1 || !bx || bx > f->max_threads || bytes > f->max_shared) return INVALID_VALUE;
  if (gx % f->cluster) return INVALID_CLUSTER_SIZE;
  auto values = std::make_shared<std::vector<std::vector<char>>>();
  for (size_t i = 0; i < f->entry->sizes.size(); i++) values->emplace_back((char *)params[i], (char *)params[i] + f->entry->sizes[i]);
  if (f->name.rfind("gemm_", 0) == 0 && f->name.find("_hopper") != std::string::npos && planted("GOPRM_EMU_FIRST_TILE", "1"))
    *(int *)values->back().data() = 1 << 30; // the number of blocks, which is how far the next tile is
  Device *device = s->device;
  if (unbacked) return enqueue(s, [] { return 0; });
  return enqueue(s, [=] {
    if (planted("GOPRM_EMU_HANG", f->name)) {
      hung = true;
      return 0;
    }
    std::vector<void *> p;
    for (auto &v : *values) p.push_back(v.data());
    bool counts = !fails_on || fails_on == device;
    std::string error = counts && ++launched == fails_at ? "made to fail" : emu::launch(f->entry, gx, gy, bx, f->cluster, bytes, p.data());
    if (error.empty()) return 0;
    message = f->name + ": " + error;
    return (int)LAUNCH_FAILED;
  });
}

// Two dimensions of bf16 or f32, lines of 128 bytes, zeros outside: what the kernels use.
Result cuTensorMapEncodeTiled(void *map, int type, u32 rank, u64 base, const u64 *dims, const u64 *pitch, const u32 *box, const u32 *step, int interleave, int swizzle, int, int outside) {
  LOCK;
  u32 element = type == 9 ? 2 : 4;
  if ((type != 9 && type != 7) || rank != 2 || interleave || swizzle != 3 || outside || (u64)map % 64 || base % 16 || pitch[0] % 16 || box[0] * element != 128 || !box[1] || box[1] > 256 || step[0] != 1 || step[1] != 1) return INVALID_VALUE;
  emu::Map m{emu::map_magic, base, dims[0], dims[1], pitch[0], box[1], element};
  memset(map, 0, 128);
  memcpy(map, &m, sizeof m);
  return 0;
}

Result cuStreamCreate(Stream **s, u32) {
  CONTEXT;
  *s = new Stream{current};
  streams[*s].reset(*s);
  return 0;
}
Result cuStreamDestroy_v2(Stream *s) {
  CONTEXT;
  finish(s);
  streams.erase(s);
  return 0;
}
Result cuStreamSynchronize(Stream *s) {
  CONTEXT;
  if (s->capture) return CAPTURE_UNSUPPORTED;
  return finish(s);
}
Result cuEventCreate(Event **e, u32 flags) {
  CONTEXT;
  *e = new Event;
  if (!(flags & 2)) (*e)->reached = std::make_shared<double>(0);
  return current->sticky;
}
Result cuEventRecord(Event *e, Stream *s) {
  CONTEXT;
  if (s->capture) {
    if (e->reached) return CAPTURE_UNSUPPORTED;
    e->capture = s->capture, e->lane = s->lane, e->at = s->capture->lanes[s->lane].size();
    return current->sticky;
  }
  e->capture = nullptr;
  if (e->reached)
    enqueue(s, [reached = e->reached] {
      *reached = now();
      return 0;
    });
  e->stream = s, e->at = s->taken + s->queue.size();
  return current->sticky;
}
// A stream that waits for a captured event takes part in that capture from there on.
Result cuStreamWaitEvent(Stream *s, Event *e, u32) {
  CONTEXT;
  if (e->capture) {
    if (s->capture && s->capture != e->capture) return CAPTURE_ISOLATION;
    if (!s->capture) {
      s->capture = e->capture, s->lane = s->capture->lanes.size();
      s->capture->lanes.emplace_back();
      s->capture->streams.push_back(s);
    }
    s->capture->lanes[s->lane].push_back({nullptr, e->lane, e->at});
    return current->sticky;
  }
  if (s->capture) return CAPTURE_ISOLATION;
  return e->stream && e->stream != s ? enqueue(s, after(e->stream, e->at)) : current->sticky;
}
Result cuEventQuery(Event *e) { // some work is done with each question, as nothing else does any
  CONTEXT;
  if (e->capture) return CAPTURE_UNSUPPORTED;
  if (!e->stream || e->stream->taken >= e->at) return current->sticky;
  Result r = finish(e->stream, e->at, 5);
  return r ? r : e->stream->taken >= e->at ? 0 : NOT_READY;
}
Result cuEventElapsedTime(float *ms, Event *from, Event *to) {
  CONTEXT;
  for (Event *e : {from, to}) {
    if (!e->reached || !e->stream) return INVALID_VALUE;
    if (e->stream->taken < e->at) return NOT_READY;
  }
  *ms = (float)(*to->reached - *from->reached);
  return current->sticky;
}
Result cuEventSynchronize(Event *e) {
  CONTEXT;
  return e->stream ? finish(e->stream, e->at) : current->sticky;
}
Result cuEventDestroy_v2(Event *e) {
  CONTEXT;
  delete e;
  return 0;
}
Result cuStreamBeginCapture_v2(Stream *s, int) {
  CONTEXT;
  if (s->capture) return CAPTURE_UNSUPPORTED;
  s->capture = std::make_shared<Capture>();
  s->capture->lanes.resize(1), s->capture->streams = {s}, s->lane = 0;
  return 0;
}
// What other streams did must be waited for by the one that began.
Result cuStreamEndCapture(Stream *s, Graph **g) {
  CONTEXT;
  if (!s->capture || s->lane) return CAPTURE_INVALIDATED;
  auto c = s->capture;
  for (Stream *each : c->streams) each->capture = nullptr;
  for (size_t lane = 1; lane < c->lanes.size(); lane++) {
    u64 joined = 0;
    for (Step &step : c->lanes[0])
      if (step.lane == (int)lane) joined = step.at;
    if (joined < c->lanes[lane].size()) return CAPTURE_UNJOINED;
  }
  *g = new Graph{std::move(c->lanes), {}};
  return 0;
}
Result cuGraphInstantiateWithFlags(Graph **executable, Graph *g, u64) {
  CONTEXT;
  *executable = new Graph(*g);
  for (size_t lane = 1; lane < g->lanes.size(); lane++) {
    auto s = std::make_shared<Stream>();
    s->device = current;
    streams[s.get()] = s;
    (*executable)->streams.push_back(s);
  }
  return 0;
}
Result cuGraphLaunch(Graph *g, Stream *s) {
  CONTEXT;
  if (current->sticky) return current->sticky;
  std::vector<Stream *> on{s};
  std::vector<u64> first{s->taken + s->queue.size()};
  for (auto &lane : g->streams) { // begins where the stream is now
    enqueue(lane.get(), after(s, first[0]));
    on.push_back(lane.get());
    first.push_back(lane->taken + lane->queue.size());
  }
  for (size_t lane = 0; lane < on.size(); lane++)
    for (Step &step : g->lanes[lane]) enqueue(on[lane], step.lane < 0 ? step.work : after(on[step.lane], first[step.lane] + step.at));
  return 0;
}
Result cuGraphExecDestroy(Graph *g) {
  CONTEXT;
  finish_all();
  for (auto &s : g->streams) streams.erase(s.get());
  delete g;
  return 0;
}
Result cuGraphDestroy(Graph *g) {
  CONTEXT;
  delete g;
  return 0;
}

static const std::map<Result, const char *> names{
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"}, {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"}, {NO_DEVICE, "CUDA_ERROR_NO_DEVICE"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE"}, {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"}, {INVALID_PTX, "CUDA_ERROR_INVALID_PTX"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND"}, {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"},
    {CAPTURE_UNJOINED, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED"}, {CAPTURE_ISOLATION, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION"}, {INVALID_CLUSTER_SIZE, "CUDA_ERROR_INVALID_CLUSTER_SIZE"},
    {CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"}, {CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"}};
Result cuGetErrorName(Result r, const char **s) {
  auto i = names.find(r);
  *s = i == names.end() ? "CUDA_ERROR_UNKNOWN" : i->second;
  return 0;
}
Result cuGetErrorString(Result r, const char **s) {
  if (r == LAUNCH_FAILED && !message.empty()) *s = message.c_str();
  else *s = "as named";
  return 0;
}
}
