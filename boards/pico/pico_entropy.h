// SPDX-License-Identifier: Apache-2.0
// Randomness out of the chip's noise: every 32 bytes are the SHA-256 of 4,096 bits of it, which pass the
// health tests of NIST SP 800-90B, 4.4. Good if each bit of noise has 1/16 bit of entropy; README.md says how
// sure that is. 32 bytes take 45 ms on the RP2040 and less than 1 ms on the RP2350.
#pragma once

#include <array>
#include <cstdint>

#include "firmware/ports/entropy.h"

namespace godwit::boards {

// The tests of SP 800-90B, 4.4.1 and 4.4.2, on bits, for an entropy of 1/16 bit each and a false alarm in
// 2^20 samples or windows. A source that is stuck, or nearly so, fails; a predictable one need not.
class NoiseTest {
 public:
  // False: the noise is not to be trusted.
  [[nodiscard]] bool add(std::uint32_t bits);

 private:
  bool add_bit(bool bit);

  bool last_ = false;
  bool reference_ = false;
  std::uint32_t repeated_ = 0;
  std::uint32_t in_window_ = 0;
  std::uint32_t equal_ = 0;
};

class PicoEntropy final : public ports::Entropy {
 public:
  // kIo: the noise failed a test.
  Status fill(MutableBytes out) override;

 private:
  NoiseTest test_;
  std::uint32_t blocks_ = 0;
};

}  // namespace godwit::boards
