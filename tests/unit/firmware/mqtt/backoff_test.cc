// SPDX-License-Identifier: Apache-2.0
#include "firmware/mqtt/backoff.h"

#include <gtest/gtest.h>

#include <array>

namespace godwit::mqtt {
namespace {

constexpr std::uint32_t kLowest = 0;
constexpr std::uint32_t kHighest = 0xFFFF'FFFF;
constexpr Instant kStart{Millis{5'000}};

TEST(Backoff, DoublesItsCeilingUpToTheMaximum) {
  Backoff backoff({.least = Millis{0}, .first = Millis{100}, .max = Millis{500}});
  for (const int ceiling : {100, 200, 400, 500, 500})
    EXPECT_EQ(backoff.next_delay(kHighest), Millis{ceiling});
}

TEST(Backoff, SpreadsDelaysFromTheLeastToTheCeiling) {
  for (int attempt = 0; attempt < 4; ++attempt) {
    Backoff low({.least = Millis{100}, .first = Millis{1'100}});
    Backoff middle = low;
    for (int i = 0; i < attempt; ++i) {
      low.next_delay(kHighest);
      middle.next_delay(kHighest);
    }
    EXPECT_EQ(low.next_delay(kLowest), Millis{100});
    EXPECT_EQ(middle.next_delay(0x8000'0000), Millis{100 + (1'000 + 1'100 * ((1 << attempt) - 1)) / 2});
  }
}

TEST(Backoff, SpreadsTenThousandWhoLoseTheirLinkAtOnceOver20SecondsAndLetsNobodyComeAtOnce) {
  std::array<int, 22> per_second{};
  for (std::uint32_t device = 0; device < 10'000; ++device) {
    Backoff backoff;
    const Millis delay = backoff.next_delay(device * (kHighest / 9'999));
    ASSERT_GE(delay, Millis{1'000});
    ++per_second.at(static_cast<std::size_t>(delay.count() / 1'000));
  }
  for (std::size_t second = 1; second <= 20; ++second) {
    EXPECT_GE(per_second[second], 450) << "in second " << second;
    EXPECT_LE(per_second[second], 550) << "in second " << second;
  }
}

TEST(Backoff, GivesTheWholeCeilingToOneWhoseRandomnessFails) {
  Backoff backoff({.first = Millis{1'000}, .max = Millis{8'000}});
  for (const int ceiling : {1'000, 2'000, 4'000, 8'000, 8'000})
    EXPECT_EQ(backoff.next_delay(UINT32_MAX), Millis{ceiling});
}

TEST(Backoff, StartsAgainAfterALinkThatWasUsefulForAWhile) {
  Backoff backoff;
  backoff.next_delay(0);
  backoff.next_delay(0);
  backoff.link_useful(kStart);
  backoff.link_down(kStart + Millis{30'000});
  EXPECT_EQ(backoff.next_delay(kHighest), Millis{21'000});
}

TEST(Backoff, GoesOnGrowingWhenALinkIsCutSoonAfterItBecameUseful) {
  Backoff backoff;
  for (int ceiling = 21'000; ceiling < 120'000; ceiling *= 2) {
    EXPECT_EQ(backoff.next_delay(kHighest), Millis{ceiling});
    backoff.link_useful(kStart);
    backoff.link_down(kStart + Millis{29'999});
  }
}

TEST(Backoff, CountsFromTheFirstSignOfUseOfALink) {
  Backoff backoff;
  backoff.next_delay(0);
  backoff.link_useful(kStart);
  backoff.link_useful(kStart + Millis{29'000});
  backoff.link_down(kStart + Millis{30'000});
  EXPECT_EQ(backoff.next_delay(kHighest), Millis{21'000});
}

TEST(Backoff, DoesNotCountTheUseOfALinkForTheNextOne) {
  Backoff backoff;
  backoff.next_delay(0);
  backoff.link_useful(kStart);
  backoff.link_down(kStart + Millis{1'000});
  backoff.link_down(kStart + Millis{3'600'000});
  EXPECT_EQ(backoff.next_delay(kHighest), Millis{42'000});
}

TEST(Backoff, DoesNotTakeALinkWithoutUseAsStable) {
  Backoff backoff;
  backoff.next_delay(0);
  backoff.link_down(kStart + Millis{3'600'000});
  EXPECT_EQ(backoff.next_delay(kHighest), Millis{42'000});
}

}  // namespace
}  // namespace godwit::mqtt
