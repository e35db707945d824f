// SPDX-License-Identifier: Apache-2.0
#include "proto/codec/batch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

#include "proto/codec/samples.h"

namespace godwit::codec {
namespace {

using Buffer = std::vector<std::uint8_t>;
constexpr std::array<std::uint8_t, 2> kSamples{0x12, 0x34};

Buffer encoded(const Batch& batch) {
  Buffer out(64);
  const auto size = encode(batch, out);
  EXPECT_TRUE(size.has_value());
  out.resize(size.value_or(0));
  return out;
}

void expect_same(const Batch& a, const Batch& b) {
  EXPECT_EQ(a.table, b.table);
  EXPECT_EQ(a.quality, b.quality);
  EXPECT_EQ(a.time, b.time);
  EXPECT_EQ(a.boot, b.boot);
  EXPECT_EQ(a.rows, b.rows);
  EXPECT_TRUE(std::ranges::equal(a.samples, b.samples));
}

TEST(Batch, OfAFullTableAndASetClockHasTenBytesBeforeItsSamples) {
  const Batch batch{.table = 0x0403'0201,
                    .quality = TimeQuality::kHoldover,
                    .time = Millis{0xA98'7654'3210},
                    .samples = kSamples};
  EXPECT_EQ(encoded(batch), (Buffer{0xA2, 0x10, 0x32, 0x54, 0x76, 0x98, 1, 2, 3, 4, 0x12, 0x34}));
}

TEST(Batch, SaysRowsAndBootWhereTheyAreNotKnownOtherwise) {
  EXPECT_EQ(encoded({.table = 1, .time = Millis{5}, .boot = 300, .rows = 130, .samples = kSamples}),
            (Buffer{0x04, 5, 0, 0, 0, 0, 1, 0, 0, 0, 0x82, 0x01, 0xAC, 0x02, 0x12, 0x34}));
}

TEST(Batch, ComesBackAsItWas) {
  for (const TimeQuality quality : {TimeQuality::kNone, TimeQuality::kSynced, TimeQuality::kHoldover}) {
    for (const Millis time :
         {Millis{0}, Millis{1}, Millis{1'700'000'000'000}, Millis{1LL << 40}, kBatchTimeMax}) {
      for (const std::uint32_t rows : {0U, 1U, 127U, 128U, 1024U}) {
        for (const std::uint32_t boot : {0U, 1U, 128U, UINT32_MAX}) {
          if (quality != TimeQuality::kNone && boot != 0) continue;
          const Batch batch{.table = 0xC0DE'C0DE,
                            .quality = quality,
                            .time = time,
                            .boot = boot,
                            .rows = rows,
                            .samples = kSamples};
          const Buffer bytes = encoded(batch);
          EXPECT_LE(bytes.size(), kBatchHeaderMax + kSamples.size());
          const auto decoded = decode_batch(bytes);
          ASSERT_TRUE(decoded.has_value());
          expect_same(*decoded, batch);
        }
      }
    }
  }
}

TEST(Batch, HasTheRowsOfItsTableUnlessItSaysOtherwise) {
  EXPECT_EQ((Batch{.rows = 3}.rows_of(16)), 3U);
  EXPECT_EQ((Batch{.rows = 0}.rows_of(16)), 16U);
}

TEST(Batch, IsRefusedByABufferThatIsTooSmall) {
  const Batch batch{.time = Millis{1}, .boot = 7, .rows = 2, .samples = kSamples};
  const std::size_t whole = encoded(batch).size();
  for (std::size_t size = 0; size < whole; ++size) {
    Buffer out(size);
    EXPECT_EQ(encode(batch, out).error(), Status::kFull);
  }
  Buffer out(whole);
  EXPECT_EQ(encode(batch, out), whole);
}

}  // namespace
}  // namespace godwit::codec
