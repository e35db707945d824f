// SPDX-License-Identifier: Apache-2.0
// Services of the machine that a debugger or an emulator runs on (Arm, "Semihosting for AArch32 and
// AArch64"). Without one every call fails: Fault_Handler steps over the breakpoint that asks for it.
#pragma once

#include "firmware/ports/entropy.h"

namespace godwit::boards {

// The randomness of that machine: its /dev/urandom.
class SemihostingEntropy final : public ports::Entropy {
 public:
  // kIo: there is no such machine, or it has none.
  Status fill(MutableBytes out) override;

 private:
  std::int32_t file_ = -1;
};

}  // namespace godwit::boards
