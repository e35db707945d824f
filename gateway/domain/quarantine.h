// SPDX-License-Identifier: Apache-2.0
// What becomes of a record that the database refuses, though the disk is well: a value too large, a
// constraint, a defect of ours. Its bytes are kept beside the log, its place in the log becomes a loss, and
// everything else goes on.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "gateway/domain/ingest.h"

namespace godwit::gateway {

// Moves the content of `changes.events[event]` to `changes.quarantined`. A record leaves a loss of its seq,
// live samples an event without samples. False, and nothing changes: it is neither, or has no content.
bool quarantine(Changes& changes, std::size_t event, std::string_view why);

}  // namespace godwit::gateway
