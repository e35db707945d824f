// SPDX-License-Identifier: Apache-2.0
// How long honest devices wait for their records to reach the live feed while somebody floods.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/live/stage.h"

namespace godwit::live {

struct FairnessOptions {
  unsigned devices = 20;
  double seconds = 10;  // beside each flood, when all are connected
  std::uint64_t seed = 1;
};

struct Fairness {
  std::string flood;  // "none", or of which kind
  std::uint64_t hostile_messages = 0;
  double p50_ms = 0;  // from append() to a follower of the feed, of all records
  double p99_ms = 0;
  double max_ms = 0;
};

// Beside no flood, malformed messages at QoS 0, records of 65 kB, decode bombs and hellos, one after the
// other, on a stage without faults. Throws Violation if the promise to the honest ones is broken, and
// std::runtime_error if nothing could be measured.
[[nodiscard]] std::vector<Fairness> measure_fairness(Stage& stage, const FairnessOptions& options);

}  // namespace godwit::live
