// SPDX-License-Identifier: Apache-2.0
// Runs many seeds in processes of their own, so that one that crashes or hangs is a result like any other.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "sim/world/world.h"

namespace godwit::sim {

struct SeedResult {
  std::uint64_t seed = 0;
  Outcome outcome;  // violation "crash" or "hang" if the process ended so
};

struct SeedRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;  // not included
  unsigned jobs = 1;
};

// Calls `take` with each result, in the order in which they come; false ends it. What a seed's run is made of
// is `run_seed`, called in a child process.
void run_seeds(const SeedRange& range, const std::function<Outcome(std::uint64_t seed)>& run_seed,
               const std::function<bool(const SeedResult&)>& take);

}  // namespace godwit::sim
