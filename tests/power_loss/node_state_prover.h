// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "tests/power_loss/prover.h"

namespace godwit::test {

// What a board remembers besides its outbox (NodeState): the older or the newer stands after any fault, and
// no boot number is given out twice.
std::vector<Item> node_state_items();

}  // namespace godwit::test
