// SPDX-License-Identifier: Apache-2.0
// What a gateway would make of a copy of its disk: looked at beside the run, in which nothing changes.
#pragma once

#include <cstdint>
#include <string>

#include "gateway/store/store.h"
#include "sim/disk/disk.h"
#include "sim/world/scene.h"

namespace godwit::sim {

// So many pages of the database in `folder` rot in the copy. It is refused, or gives back what `truth` holds
// and a gap, `damaged`, for each event that it lacks. Throws Violation: it believes what has rotted, or
// something is missing and no gap says so.
void check_rotten(const Scene& scene, const Disk& disk, const std::string& folder, gateway::Store& truth,
                  std::uint64_t pages, std::uint64_t seed);

// Somebody reads the whole log, on a machine that has nothing of it in memory. Throws Violation if the disk
// has to read more than declared for it.
void check_catching_up(const Scene& scene, const Disk& disk, const std::string& folder);

}  // namespace godwit::sim
