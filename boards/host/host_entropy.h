// SPDX-License-Identifier: Apache-2.0
// The kernel's random number generator.
#pragma once

#include "firmware/ports/entropy.h"

namespace godwit::boards {

class HostEntropy final : public ports::Entropy {
 public:
  // Waits only while the machine has just started and has not gathered enough yet.
  Status fill(MutableBytes out) override;
};

}  // namespace godwit::boards
