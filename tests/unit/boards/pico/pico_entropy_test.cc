// SPDX-License-Identifier: Apache-2.0
#include "boards/pico/pico_entropy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <random>
#include <set>
#include <vector>

#include "boards/pico/chip.h"

namespace {

std::function<std::uint32_t()> noise;

}  // namespace

std::uint32_t godwit::boards::raw_noise() { return noise(); }

namespace godwit::boards {
namespace {

using Block = std::array<std::uint8_t, 32>;

// Bits that are 1 with the given probability.
std::function<std::uint32_t()> biased(double ones) {
  return [random = std::mt19937(7), bit = std::bernoulli_distribution(ones)]() mutable {
    std::uint32_t bits = 0;
    for (int i = 0; i < 32; ++i) bits = (bits << 1U) | (bit(random) ? 1U : 0U);
    return bits;
  };
}

Status fill(PicoEntropy& entropy) {
  Block block;
  return entropy.fill(block);
}

TEST(PicoEntropy, TakesNoiseThatIsBadlyBiased) {
  for (const double ones : {0.5, 0.9, 0.05}) {
    noise = biased(ones);
    PicoEntropy entropy;
    for (int i = 0; i < 200; ++i) ASSERT_EQ(fill(entropy), Status::kOk) << ones;
  }
}

TEST(PicoEntropy, RefusesASourceThatIsStuck) {
  for (const std::uint32_t bits : {0U, 0xFFFF'FFFFU}) {
    noise = [bits] { return bits; };
    PicoEntropy entropy;
    EXPECT_EQ(fill(entropy), Status::kIo);
    EXPECT_EQ(fill(entropy), Status::kIo);
  }
}

TEST(PicoEntropy, RefusesASourceThatIsNearlyStuck) {
  noise = biased(0.995);
  PicoEntropy entropy;
  std::array<Status, 8> results;
  std::ranges::generate(results, [&entropy] { return fill(entropy); });
  EXPECT_GT(std::ranges::count(results, Status::kIo), 0);
}

TEST(PicoEntropy, RecoversWhenTheSourceDoes) {
  PicoEntropy entropy;
  noise = [] { return 0U; };
  EXPECT_EQ(fill(entropy), Status::kIo);
  noise = biased(0.5);
  while (fill(entropy) != Status::kOk) {  // the end of the window in which it was stuck
  }
  EXPECT_EQ(fill(entropy), Status::kOk);
}

TEST(PicoEntropy, MakesNoTwoBlocksAlike) {
  noise = [] { return 0xAAAA'AAAAU; };  // passes the tests, though it is not random
  PicoEntropy entropy;
  std::set<Block> seen;
  for (int i = 0; i < 100; ++i) {
    Block block;
    ASSERT_EQ(entropy.fill(block), Status::kOk);
    EXPECT_TRUE(seen.insert(block).second);
  }
}

TEST(PicoEntropy, FillsAnySize) {
  noise = biased(0.5);
  PicoEntropy entropy;
  for (const std::size_t size : {0U, 1U, 31U, 32U, 33U, 100U}) {
    std::vector<std::uint8_t> bytes(size + 1, 0);
    ASSERT_EQ(entropy.fill(MutableBytes(bytes).first(size)), Status::kOk);
    EXPECT_EQ(bytes.back(), 0) << "wrote behind the end";
    EXPECT_GE(std::set(bytes.begin(), bytes.end()).size(), size / 4) << "left some as they were";
  }
}

}  // namespace
}  // namespace godwit::boards
