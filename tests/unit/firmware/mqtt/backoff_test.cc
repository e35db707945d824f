// SPDX-License-Identifier: Apache-2.0
#include "firmware/mqtt/backoff.h"

#include <gtest/gtest.h>

namespace godwit::mqtt {
namespace {

constexpr std::uint32_t kLowest = 0;
constexpr std::uint32_t kHighest = 0xFFFF'FFFF;
constexpr Instant kStart{Millis{5'000}};

TEST(Backoff, DoublesItsCeilingUpToTheMaximum) {
  Backoff backoff({.first = Millis{100}, .max = Millis{500}});
  for (const int ceiling : {100, 200, 400, 500, 500})
    EXPECT_EQ(backoff.next_delay(kHighest), Millis{ceiling});
}

TEST(Backoff, SpreadsDelaysOverTheWholeRangeFromZero) {
  for (int attempt = 0; attempt < 4; ++attempt) {
    Backoff low;
    Backoff middle;
    for (int i = 0; i < attempt; ++i) {
      low.next_delay(kHighest);
      middle.next_delay(kHighest);
    }
    EXPECT_EQ(low.next_delay(kLowest), Millis{0});
    EXPECT_EQ(middle.next_delay(0x8000'0000), Millis{500 << attempt});
  }
}

TEST(Backoff, StartsAgainAfterALinkThatWasUsefulForAWhile) {
  Backoff backoff;
  backoff.next_delay(0);
  backoff.next_delay(0);
  backoff.link_useful(kStart);
  backoff.link_down(kStart + Millis{30'000});
  EXPECT_EQ(backoff.next_delay(kHighest), Millis{1'000});
}

TEST(Backoff, GoesOnGrowingWhenALinkIsCutSoonAfterItBecameUseful) {
  Backoff backoff;
  for (int ceiling = 1'000; ceiling < 120'000; ceiling *= 2) {
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
  EXPECT_EQ(backoff.next_delay(kHighest), Millis{1'000});
}

TEST(Backoff, DoesNotTakeALinkWithoutUseAsStable) {
  Backoff backoff;
  backoff.next_delay(0);
  backoff.link_down(kStart + Millis{3'600'000});
  EXPECT_EQ(backoff.next_delay(kHighest), Millis{2'000});
}

}  // namespace
}  // namespace godwit::mqtt
