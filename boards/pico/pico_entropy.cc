// SPDX-License-Identifier: Apache-2.0
#include "boards/pico/pico_entropy.h"

#include <mbedtls/sha256.h>

#include <algorithm>

#include "boards/pico/chip.h"

namespace godwit::boards {
namespace {

constexpr std::size_t kHashSize = 32;
constexpr std::size_t kNoiseWords = 128;

// With p = 2^(-1/16) for the more likely value of a bit:
constexpr std::uint32_t kRepeatedMax = 320;  // 4.4.1: 1 + 20 / (1/16) in a row fail
constexpr std::uint32_t kWindow = 1024;      // 4.4.2, for bits
constexpr std::uint32_t kEqualMax = 1008;    // 4.4.2: P(more) = 2^-21

}  // namespace

bool NoiseTest::add(std::uint32_t bits) {
  bool good = true;
  for (int i = 0; i < 32; ++i) good = add_bit(((bits >> i) & 1U) != 0) && good;
  return good;
}

bool NoiseTest::add_bit(bool bit) {
  repeated_ = bit == last_ ? repeated_ + 1 : 1;
  last_ = bit;
  if (in_window_ == 0) {
    reference_ = bit;
    equal_ = 0;
  }
  if (bit == reference_) ++equal_;
  in_window_ = (in_window_ + 1) % kWindow;
  return repeated_ <= kRepeatedMax && equal_ <= kEqualMax;
}

Status PicoEntropy::fill(MutableBytes out) {
  while (!out.empty()) {
    // Noise, and a number of the block, so that two blocks differ even if the noise should not.
    std::array<std::uint32_t, kNoiseWords + 1> input{};
    input.back() = ++blocks_;
    bool good = true;
    for (std::uint32_t& word : std::span(input).first<kNoiseWords>()) {
      word = raw_noise();
      good = test_.add(word) && good;
    }
    if (!good) return Status::kIo;
    std::array<std::uint8_t, kHashSize> hash{};
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(input.data());
    if (mbedtls_sha256(bytes, sizeof input, hash.data(), 0) != 0) return Status::kIo;
    const std::size_t size = std::min(out.size(), hash.size());
    std::copy_n(hash.begin(), size, out.begin());
    out = out.subspan(size);
  }
  return Status::kOk;
}

}  // namespace godwit::boards
