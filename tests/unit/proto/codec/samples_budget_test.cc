// SPDX-License-Identifier: Apache-2.0
// What a record of 16 rows may cost: 24 bytes and 1.25 times the order-0 entropy of its deltas, by the
// frequencies of the whole recording. docs/adr/0006-sample-codec.md has the figures.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <string>

#include "proto/codec/batch.h"
#include "tests/support/recording.h"

namespace godwit::codec {
namespace {

using test::Recording;
using test::Rows;

constexpr std::size_t kRows = 16;

Recording recording(const std::string& name) {
  return Recording::load(std::string(GODWIT_RECORDINGS_DIR) + "/" + name + ".csv");
}

// A full batch of a device whose clock is set.
std::size_t header_size() {
  std::array<std::uint8_t, kBatchHeaderMax> header{};
  return encode_batch_header({.quality = TimeQuality::kSynced, .time = Millis{1'700'000'000'000}}, header);
}

struct Share {
  double within = 0;      // of the records, one by one
  double mean_bytes = 0;  // of a record
};

Share measure(const Recording& rows, const std::vector<std::uint64_t>& priors) {
  const auto frequencies = test::histograms(rows.rows);
  Share share;
  double records = 0;
  for (std::size_t at = 0; at + kRows <= rows.rows.size(); at += kRows, ++records) {
    const Rows record = Rows(rows.rows).subspan(at, kRows);
    const auto size = static_cast<double>(header_size() + test::coded_size(record, priors));
    if (size <= 24 + 1.25 * test::entropy_bits(record, frequencies) / 8) ++share.within;
    share.mean_bytes += size;
  }
  share.within /= records;
  share.mean_bytes /= records;
  std::printf("%s, 8 channels, %zu rows, %s: %.1f %% within, %.1f bytes on average\n", rows.name.c_str(),
              kRows, priors.empty() ? "no priors" : "priors", 100 * share.within, share.mean_bytes);
  return share;
}

// What the author of an application would announce who knew "host" and nothing else, as `codec_bench --priors
// 16 sim/data/host.csv` prints it.
const std::vector<std::uint64_t> kPriors{0x8300'0000'129D'DDC8, 0x0400'0000'0159'CDF1, 0x8700'0001'8BCD'EFFF,
                                         0x8400'0000'0000'1358, 0x8700'0001'5980'89BC, 0x8100'0120'ECEF'FFFC,
                                         0x7100'0001'06BD'CEFC, 0x8400'0011'9BCE'FFFE};

TEST(SampleBudget, OfSixteenRowsIsKept) {
  const Recording host = recording("host");
  const Recording later = recording("host_later");
  const Share known = measure(host, kPriors);
  const Share unseen = measure(later, kPriors);
  EXPECT_GE(known.within, 0.95);
  EXPECT_GE(unseen.within, 0.85);
  EXPECT_GT(measure(host, {}).mean_bytes, known.mean_bytes + 3);
  EXPECT_GT(measure(later, {}).mean_bytes, unseen.mean_bytes + 3);
}

TEST(SampleBudget, IsKeptWithPriorsThatCanBeMadeAgain) {
  constexpr std::size_t kChannel = 3;  // the one that is coded fastest
  std::vector<test::Row> alone;
  for (const test::Row& row : recording("host").rows) alone.push_back({row[kChannel]});
  EXPECT_EQ(test::priors_for(alone, kRows), std::vector<std::uint64_t>{kPriors[kChannel]});
}

TEST(SampleBudget, HasAHeaderOfTenBytes) { EXPECT_EQ(header_size(), 10U); }

}  // namespace
}  // namespace godwit::codec
