// SPDX-License-Identifier: Apache-2.0
// A world made of a Plan: boards, network, broker, gateway, followers and what befalls them, in virtual time.
// run() plays the plan, lets everybody deliver, and has the judge say whether the promise was kept.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "sim/judge/judge.h"
#include "sim/world/plan.h"
#include "sim/world/probes.h"

namespace godwit::sim {

struct Outcome {
  std::string violation;   // its kind; empty: the promise was kept
  std::string what;        // and what was seen
  std::uint64_t hash = 0;  // of every operation of the run
  std::uint64_t steps = 0;
  Judge::Counts counts;
  Probes probes;
  Time drained{0};  // how long it took after the last fault
};

struct RunOptions {
  std::function<void(std::string_view)> trace;
};

[[nodiscard]] Outcome run(const Plan& plan, const RunOptions& options);

}  // namespace godwit::sim
