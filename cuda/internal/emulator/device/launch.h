// launch.h: what the stand-in driver uses of the emulator, and the stand-in NCCL of the driver.
#pragma once
#include <functional>
#include <map>
#include <string>

namespace emu {

struct Mode {
  bool late = false;           // asynchronous copies as late as the program allows
  unsigned long long seed = 0; // of the order in which threads run; 0: in turn
  int jobs = 2;                // threads of the CPU; results do not depend on it
  bool races = false;          // whether shared memory is watched, see races.h: it takes half as long again
};
void configure(Mode m);

struct Entry;
std::map<std::string, const Entry *> &entries();

// launch runs a grid to its end, in clusters of so many blocks that divide gx, and says what went wrong, or nothing.
std::string launch(const Entry *entry, unsigned gx, unsigned gy, unsigned threads, unsigned cluster, size_t bytes, void **params);

typedef int Result;
enum { NOT_READY = 600 };
// Work is what a stream does when its turn comes; what is not ready is asked again.
typedef std::function<Result()> Work;
Result enqueue(void *stream, Work w);
int current_device(); // -1: the thread has none
bool in_memory(const void *p, size_t n); // of a device
Result failed(const std::string &why); // what a work returns that loses the context

} // namespace emu
