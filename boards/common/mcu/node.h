// SPDX-License-Identifier: Apache-2.0
// The whole life of a board: from provisioning over network, TLS and outbox to the loop in which everything
// runs. All of it lives in one static object; nothing is allocated later, but for TLS in its arena.
//
// The console explains itself (`help`). What keeps a board from working - no provisioning, no entropy - is
// said there every few seconds, and tried again.
#pragma once

#include "boards/common/mcu/board.h"

namespace godwit::boards {

// Call once, from main(), when the board's clock and console work.
[[noreturn]] void run_node(Board& board);

}  // namespace godwit::boards
