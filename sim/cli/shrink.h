// SPDX-License-Identifier: Apache-2.0
// Cuts a plan that breaks the promise down to what it takes to break it in the same way.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "sim/world/plan.h"
#include "sim/world/world.h"

namespace godwit::sim {

// Runs a plan in a process of its own.
[[nodiscard]] Outcome run_apart(const Plan& plan);

struct Shrunk {
  Plan plan;
  Outcome outcome;
  std::uint64_t runs = 0;
};
// `outcome` is that of `plan`: a violation, whose kind the result has too.
[[nodiscard]] Shrunk shrink(Plan plan, Outcome outcome);

}  // namespace godwit::sim
