// SPDX-License-Identifier: Apache-2.0
// Entropy for tests: the same bytes for the same seed, on every machine.
#pragma once

#include <algorithm>
#include <random>

#include "firmware/ports/entropy.h"

namespace godwit::test {

class SeededEntropy final : public ports::Entropy {
 public:
  explicit SeededEntropy(std::uint32_t seed = 1) : random_(seed) {}

  bool failing = false;  // answers kIo, and leaves zeros behind

  Status fill(MutableBytes out) override {
    if (failing) {
      std::ranges::fill(out, std::uint8_t{0});
      return Status::kIo;
    }
    for (std::uint8_t& byte : out) byte = static_cast<std::uint8_t>(random_() >> 8);
    return Status::kOk;
  }

 private:
  std::minstd_rand random_;
};

}  // namespace godwit::test
