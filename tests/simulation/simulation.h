// One farm from its first boot to its last frame: everything that a seed says.
#pragma once

#include <cstdint>
#include <string>

#include "mutants.h"

namespace kiln::sim {

struct Outcome {
  bool failed = false;
  std::string sentence;  // of the checker
  std::string timeline;
  std::uint64_t hash = 0;  // of all that happened
  std::uint64_t nodes = 0;
  std::uint64_t tasks = 0;
  std::uint64_t faults = 0;
  std::int64_t virtual_ms = 0;
};

Outcome simulate(std::uint64_t seed, Mutant mutant, bool verbose);

}  // namespace kiln::sim
