// SPDX-License-Identifier: Apache-2.0
// Streams of random numbers that are the same on every machine: SplitMix64 (Steele, Lea, Flood 2014), a
// counter behind a mixing function. Each cause in a simulation draws from a stream of its own, so that
// leaving one fault out of a plan does not change what the others do. A value of 8 bytes; no allocation.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace godwit::sim {

constexpr std::uint64_t mix64(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31);
}

class Random {
 public:
  explicit Random(std::uint64_t seed, std::uint64_t salt = 0) : state_(mix64(seed) ^ mix64(~salt)) {}

  std::uint64_t next() { return mix64(state_++); }
  // 0 to limit - 1. Precondition: limit > 0. The bias of the remainder is below 2^-32 for what is drawn here.
  std::uint64_t below(std::uint64_t limit) { return next() % limit; }
  // From `low` to `high`, both included.
  std::uint64_t between(std::uint64_t low, std::uint64_t high) { return low + below(high - low + 1); }
  // True in `parts` of 1,000 cases.
  bool chance(std::uint64_t parts) { return below(1'000) < parts; }
  template <typename T, std::size_t n>
  T pick(const std::array<T, n>& of) {
    return of[below(n)];
  }

 private:
  std::uint64_t state_;
};

}  // namespace godwit::sim
