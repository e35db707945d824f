// SPDX-License-Identifier: Apache-2.0
// Every sequence of up to six of ten moves on a whole device (device_world.h), in all branches from one
// beginning.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tests/power_loss/prover.h"

namespace godwit::test {

std::vector<Item> device_items();
// The sequence of these letters (DeviceWorld::kLetters) alone, on units of so many bytes: "16:acxd".
void prove_sequence(Prover& prover, std::string_view text);

}  // namespace godwit::test
