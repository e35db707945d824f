// SPDX-License-Identifier: Apache-2.0
// The judge must find every way in which the promise can be broken: a judge that cannot say no proves
// nothing.
#include "sim/fleet/ledger.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

namespace godwit::sim {
namespace {

constexpr std::uint64_t kEpoch = 0xAB;

class Judge : public ::testing::Test {
 protected:
  Judge() { ledger_.add_device("d1", &sensors_); }

  void record(std::uint64_t count) { ledger_.recorded("d1", {kEpoch}, kFirstSeq + count); }

  // A record of two rows whose values are right, unless `change` is added to one of them.
  std::string telemetry(std::uint64_t seq, std::int64_t change = 0) {
    std::array<std::vector<std::int64_t>, 5> columns;
    for (std::int64_t n = static_cast<std::int64_t>(seq) * 2; n < static_cast<std::int64_t>(seq) * 2 + 2;
         ++n) {
      std::array<std::int64_t, 5> row{};
      sensors_.expected(n, row);
      for (std::size_t c = 0; c < row.size(); ++c) columns[c].push_back(row[c]);
    }
    columns[1][1] += change;
    std::string channels;
    for (std::size_t c = 0; c < columns.size(); ++c) {
      const codec::Channel& channel = sensors_.channels()[c];
      const std::string exponent = "e" + std::to_string(channel.exponent);
      channels += (c == 0 ? "\"" : ",\"") + std::string(channel.name) + "\":[" +
                  std::to_string(columns[c][0]) + exponent + "," + std::to_string(columns[c][1]) + exponent +
                  "]";
    }
    return R"({"type":"telemetry","device":"d1","epoch":"00000000000000ab","seq":)" + std::to_string(seq) +
           R"(,"channels":{)" + channels + "}}";
  }
  static std::string loss(std::uint64_t seq, std::uint64_t count) {
    return R"({"type":"loss","device":"d1","epoch":"00000000000000ab","seq":)" + std::to_string(seq) +
           R"(,"count":)" + std::to_string(count) + "}";
  }

  void feed(const std::string& data) {
    ++offset_;
    ledger_.received({.id = std::to_string(offset_), .type = "telemetry", .data = data});
  }

  // Stores and feeds `items`; judges.
  Report judge(const std::vector<std::string>& items, bool fed = true) {
    std::string page = R"({"items":[)";
    for (const std::string& item : items) {
      if (fed) feed(item);
      page += (page.back() == '[' ? "" : ",") + item;
    }
    page += R"(],"next_cursor":null})";
    return ledger_.judge([&page](const std::string&) { return page; });
  }

  SyntheticSensors sensors_{7, Millis{1'000}, nullptr};
  Ledger ledger_;
  int offset_ = 0;
};

TEST_F(Judge, FindsThePromiseHeldWhenEverythingIsThereOnceAndInOrder) {
  record(3);
  const Report report = judge({telemetry(1), telemetry(2), telemetry(3)});
  EXPECT_TRUE(report.promise_held());
  EXPECT_EQ(report.recorded, 3U);
  EXPECT_EQ(report.stored, 3U);
  EXPECT_EQ(report.sse_events, 3U);
}

TEST_F(Judge, SaysNoWhenNothingWasRecorded) { EXPECT_FALSE(judge({}).promise_held()); }

TEST_F(Judge, FindsAMissingRecord) {
  record(3);
  const Report report = judge({telemetry(1), telemetry(3)});
  EXPECT_EQ(report.missing, 1U);
  EXPECT_EQ(report.sse_gaps, 1U);
  EXPECT_FALSE(report.promise_held());
}

TEST_F(Judge, FindsAMissingLastRecord) {
  record(3);
  const Report report = judge({telemetry(1), telemetry(2)});
  EXPECT_EQ(report.missing, 1U);
  EXPECT_EQ(report.sse_gaps, 1U);
}

TEST_F(Judge, FindsADuplicate) {
  record(2);
  const Report report = judge({telemetry(1), telemetry(1), telemetry(2)});
  EXPECT_EQ(report.duplicated, 1U);
  EXPECT_FALSE(report.promise_held());
}

TEST_F(Judge, FindsTheWrongOrder) {
  record(2);
  const Report report = judge({telemetry(2), telemetry(1)});
  EXPECT_EQ(report.out_of_order, 1U);
  EXPECT_FALSE(report.promise_held());
}

TEST_F(Judge, FindsASingleWrongValue) {
  record(2);
  const Report report = judge({telemetry(1), telemetry(2, 1)});
  EXPECT_EQ(report.corrupted, 1U);
  EXPECT_FALSE(report.promise_held());
}

TEST_F(Judge, FindsARecordWithoutValues) {
  record(1);
  EXPECT_EQ(
      judge({R"({"type":"telemetry","device":"d1","epoch":"00000000000000ab","seq":1,"channels":null})"})
          .corrupted,
      1U);
}

TEST_F(Judge, FindsWhatTheFeedDidNotTell) {
  record(2);
  feed(telemetry(2));
  const Report report = judge({telemetry(1), telemetry(2)}, false);
  EXPECT_EQ(report.missing, 0U);
  EXPECT_EQ(report.sse_gaps, 1U);
  EXPECT_FALSE(report.promise_held());
}

TEST_F(Judge, AllowsOnlyTheLossesThatAFullOutboxChose) {
  record(3);
  Report report = judge({loss(1, 2), telemetry(3)});
  EXPECT_EQ(report.lost, 2U);
  EXPECT_EQ(report.missing, 0U);
  EXPECT_FALSE(report.promise_held());
  report.dropped = 2;
  EXPECT_TRUE(report.promise_held());
}

TEST_F(Judge, LetsRecordsInDoubtBeStoredOrLost) {
  record(1);
  ledger_.recovered("d1", Seq{4});
  const Report report = judge({telemetry(1), telemetry(2), loss(3, 1)});
  EXPECT_EQ(report.recorded, 1U);
  EXPECT_EQ(report.in_doubt, 2U);
  EXPECT_EQ(report.lost, 0U);
  EXPECT_TRUE(report.promise_held());
}

TEST_F(Judge, MissesRecordsInDoubtThatAreNeitherStoredNorExplained) {
  record(1);
  ledger_.recovered("d1", Seq{3});
  EXPECT_EQ(judge({telemetry(1)}).missing, 1U);
}

TEST_F(Judge, FindsALogThatForgotConfirmedRecords) {
  record(3);
  ledger_.recovered("d1", Seq{3});
  EXPECT_FALSE(judge({telemetry(1), telemetry(2), telemetry(3)}).promise_held());
}

TEST_F(Judge, FindsARecordThatNobodyMade) {
  record(1);
  EXPECT_FALSE(judge({telemetry(1), telemetry(2)}).promise_held());
}

TEST_F(Judge, TakesMarksAndRefusalsAsEntriesOfTheLog) {
  record(3);
  const std::string mark = R"({"type":"epoch","device":"d1","epoch":"00000000000000ab","seq":1})";
  const std::string refused =
      R"({"type":"loss","device":"d1","epoch":"00000000000000ab","seq":2,"count":40,"reason":"refused_full"})";
  const Report report = judge({mark, refused, telemetry(3)});
  EXPECT_TRUE(report.promise_held());
  EXPECT_EQ(report.stored, 3U);
  EXPECT_EQ(report.lost, 0U);
}

TEST_F(Judge, FindsARecordUnderTheEpochOfAnotherStart) {
  record(1);
  ledger_.recorded("d1", {kEpoch + 1}, Seq{3});
  EXPECT_EQ(judge({telemetry(1), telemetry(2)}).corrupted, 1U);
}

TEST_F(Judge, ReadsAllPages) {
  record(2);
  feed(telemetry(1));
  feed(telemetry(2));
  int calls = 0;
  const Report report = ledger_.judge([&](const std::string& path) {
    ++calls;
    return path.find("cursor=c2") == std::string::npos
               ? R"({"items":[)" + telemetry(1) + R"(],"next_cursor":"c2"})"
               : R"({"items":[)" + telemetry(2) + R"(],"next_cursor":null})";
  });
  EXPECT_EQ(calls, 2);
  EXPECT_TRUE(report.promise_held());
}

}  // namespace
}  // namespace godwit::sim
