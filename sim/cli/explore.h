// SPDX-License-Identifier: Apache-2.0
// The commands around the deterministic worlds of sim/world: explore seeds, replay one, shrink its plan.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace godwit::sim {

// Adds the commands; the one that is given sets `run`, which yields the exit code.
void add_explore_commands(CLI::App& app, std::function<int()>& run);

}  // namespace godwit::sim
