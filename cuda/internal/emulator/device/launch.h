// launch.h: what the stand-in driver uses of the emulator.
#pragma once
#include <map>
#include <string>

namespace emu {

struct Mode {
  bool late = false;           // asynchronous copies as late as the program allows
  unsigned long long seed = 0; // of the order in which threads run; 0: in turn
  int jobs = 2;                // threads of the CPU; results do not depend on it
  bool races = false;          // whether shared memory is watched, see races.h: three times slower
};
void configure(Mode m);

struct Entry;
std::map<std::string, const Entry *> &entries();

// launch runs a grid to its end and says what went wrong, or nothing.
std::string launch(const Entry *entry, unsigned gx, unsigned gy, unsigned threads, size_t bytes, void **params);

} // namespace emu
