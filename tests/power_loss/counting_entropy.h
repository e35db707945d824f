// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "firmware/ports/entropy.h"

namespace godwit::test {

// No nonce comes twice, as long as it is not put back.
class CountingEntropy final : public ports::Entropy {
 public:
  Status fill(MutableBytes out) override {
    if (fails > 0) {
      --fails;
      return Status::kIo;
    }
    ++drawn_;
    std::uint64_t mixed = drawn_ * 0x9E3779B97F4A7C15;
    for (std::uint8_t& byte : out) {
      byte = static_cast<std::uint8_t>(mixed);
      mixed = (mixed >> 8) | (mixed << 56);
    }
    return Status::kOk;
  }
  int fails = 0;

 private:
  std::uint64_t drawn_ = 0;
};

}  // namespace godwit::test
