// SPDX-License-Identifier: Apache-2.0
// What the judge gets to see of the gateway's log over REST must tell it every way in which the promise can
// be broken: a judge that cannot say no proves nothing.
#include "sim/fleet/event_log.h"

#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "proto/codec/batch.h"
#include "sim/fleet/synthetic_sensors.h"

namespace godwit::sim {
namespace {

constexpr Epoch kEpoch{0xAB};
constexpr std::int64_t kTime = 1'767'225'600'000;  // 2026-01-01T00:00:00Z

class EventLog : public ::testing::Test, private Judge::Witness {
 protected:
  EventLog() { judge_.add_device("d1", &sensors_, 2); }

  // Record `seq` has the rows 2 * seq - 2 and 2 * seq - 1.
  void append(std::uint64_t seq) {
    const std::size_t width = sensors_.channels().size();
    std::vector<codec::ChannelModel> models;
    for (const codec::Channel& channel : sensors_.channels()) models.emplace_back(channel.prior);
    std::array<std::uint8_t, 512> samples{};
    codec::SampleEncoder encoder(models, samples);
    std::vector<std::int64_t> row(width);
    for (std::uint64_t n = 2 * seq - 2; n < 2 * seq; ++n) {
      judge_.sampled(0, UnixMillis{kTime + static_cast<std::int64_t>(n) * 1'000}, Judge::Clock::kTrue);
      sensors_.row(n, row);
      ASSERT_EQ(encoder.add(row), Status::kOk);
    }
    const std::size_t size = encoder.finish();
    std::array<std::uint8_t, 600> out{};
    const auto batch = codec::encode({.table = 1,
                                      .quality = codec::TimeQuality::kSynced,
                                      .time = Millis{kTime},
                                      .rows = 2,
                                      .samples = Bytes(samples).first(size)},
                                     out);
    ASSERT_TRUE(batch);
    judge_.appended(0, kEpoch, Seq{seq}, Bytes(out).first(*batch));
  }

  // An event of the log: of the rows of record `rows_of`, one value changed by `change`.
  std::string telemetry(std::uint64_t seq, std::uint64_t rows_of, std::int64_t change = 0,
                        const std::string& seconds = "") {
    std::string channels;
    std::array<std::vector<std::int64_t>, 2> rows;
    for (std::size_t i = 0; i < 2; ++i) {
      rows[i].resize(sensors_.channels().size());
      sensors_.row(2 * rows_of - 2 + i, rows[i]);
    }
    rows[1][1] += change;
    for (std::size_t c = 0; c < rows[0].size(); ++c) {
      const codec::Channel& channel = sensors_.channels()[c];
      const std::string exponent = "e" + std::to_string(channel.exponent);
      channels += (c == 0 ? "\"" : ",\"") + std::string(channel.name) + "\":[" + std::to_string(rows[0][c]) +
                  exponent + "," + std::to_string(rows[1][c]) + exponent + "]";
    }
    const std::string second = seconds.empty() ? "0" + std::to_string(2 * rows_of - 2) : seconds;
    return entry("telemetry", seq,
                 R"("table":"sim","time":"2026-01-01T00:00:)" + second +
                     R"(.000Z","time_quality":"synced","period_ms":1000,"rows":2,"channels":{)" + channels +
                     "}");
  }
  std::string entry(const std::string& type, std::uint64_t seq, const std::string& more,
                    const std::string& epoch = "00000000000000ab") {
    return R"({"id":")" + std::to_string(++offset_) + R"(-0000000a","type":")" + type +
           R"(","device":"d1","received_at":"2026-01-01T00:00:01.310Z","epoch":")" + epoch + R"(","seq":)" +
           std::to_string(seq) + (more.empty() ? "" : "," + more) + "}";
  }

  // The kind of violation; "none".
  std::string shown(const std::string& json) {
    try {
      show(LogEvent::parse(json), judge_);
    } catch (const Violation& violation) {
      return violation.kind();
    }
    return "none";
  }

  bool holds(std::size_t /*device*/, RecordId /*record*/) const override { return holds_; }
  bool holds_unharmed(std::size_t device, RecordId record) const override { return holds(device, record); }

  SyntheticSensors sensors_{7, nullptr};
  bool holds_ = false;
  Judge judge_{*this};
  int offset_ = 0;
};

TEST_F(EventLog, WhatIsShownAsItWasRecordedIsGood) {
  for (std::uint64_t seq : {1U, 2U, 3U}) append(seq);
  EXPECT_EQ(shown(telemetry(1, 1)), "none");
  EXPECT_EQ(shown(telemetry(2, 2)), "none");
  EXPECT_EQ(judge_.counts().missing, 1U);
  EXPECT_EQ(shown(telemetry(3, 3)), "none");
  EXPECT_EQ(judge_.counts().stored, 3U);
  EXPECT_EQ(judge_.counts().missing, 0U);
}

// A judge that takes rows for right as long as those of one record follow each other lets these pass.
TEST_F(EventLog, SwappedPayloadsAreSeen) {
  for (std::uint64_t seq : {1U, 2U}) append(seq);
  EXPECT_EQ(shown(telemetry(1, 2)), "wrong_place");
  EXPECT_EQ(shown(telemetry(2, 1)), "wrong_place");
  EXPECT_EQ(judge_.counts().missing, 2U);
}

TEST_F(EventLog, RepeatedPayloadsAreSeen) {
  for (std::uint64_t seq : {1U, 2U}) append(seq);
  EXPECT_EQ(shown(telemetry(1, 1)), "none");
  EXPECT_EQ(shown(telemetry(2, 1)), "stored_twice");
  EXPECT_EQ(judge_.counts().missing, 1U);
}

TEST_F(EventLog, OneWrongValueIsSeen) {
  append(1);
  EXPECT_EQ(shown(telemetry(1, 1, 1)), "wrong_content");
}

TEST_F(EventLog, AWrongTimeIsSeen) {
  append(1);
  EXPECT_EQ(shown(telemetry(1, 1, 0, "03")), "wrong_time");
}

TEST_F(EventLog, ARecordWithoutValuesIsWrong) {
  append(1);
  EXPECT_EQ(shown(entry("telemetry", 1, R"("channels":null,"samples":"AA==")")), "wrong_content");
}

TEST_F(EventLog, ARecordUnderAForeignEpochIsInTheWrongPlace) {
  append(1);
  std::string json = telemetry(1, 1);
  json.replace(json.find("00ab"), 4, "00ac");
  EXPECT_EQ(shown(json), "wrong_place");
}

TEST_F(EventLog, NoEntryOfALogIsPassedOver) {
  for (std::uint64_t seq : {1U, 2U, 3U, 4U}) append(seq);
  EXPECT_EQ(shown(telemetry(1, 1)), "none");
  EXPECT_EQ(shown(telemetry(3, 3)), "order") << "nothing tells of entry 2";
  EXPECT_EQ(shown(entry("epoch", 4, "")), "none");
  EXPECT_EQ(shown(entry("loss", 5, R"("count":40,"reason":"refused_full")")), "none") << "of one place";
  EXPECT_EQ(shown(entry("loss", 6, R"("count":2,"reason":"corrupt")")), "none");
  EXPECT_EQ(shown(entry("epoch", 8, "")), "none");
  EXPECT_EQ(shown(entry("history.replaced", 3, R"("expected_seq":9)")), "none");
  EXPECT_EQ(shown(entry("epoch", 3, "")), "none");
}

TEST_F(EventLog, ALossIsJudgedByWhatTheFlashHolds) {
  append(1);
  append(2);
  EXPECT_EQ(shown(entry("loss", 1, R"("count":1,"reason":"dropped_full")")), "none");
  holds_ = true;
  EXPECT_EQ(shown(entry("loss", 2, R"("count":1,"reason":"dropped_full")")), "loss_of_held");
  EXPECT_EQ(judge_.counts().lost, 1U);
}

// What tells of no record is judged as well.
TEST_F(EventLog, PresenceIsJudged) {
  EXPECT_EQ(shown(entry("device.offline", 0, R"("reason":"connection_lost")")), "presence")
      << "it never came";
  EXPECT_EQ(shown(entry("device.online", 0, "")), "none");
  EXPECT_EQ(shown(entry("device.online", 0, "")), "presence");
  EXPECT_EQ(shown(entry("device.offline", 0, R"("reason":"connection_lost")")), "none");
  EXPECT_THROW(judge_.finish(), Violation) << "it is back";
  judge_.left(0);
  EXPECT_NO_THROW(judge_.finish());
}

TEST_F(EventLog, WhoWasThereBeforeItIsReadFromMayLeave) {
  offset_ = 6;
  EXPECT_EQ(shown(entry("device.offline", 0, R"("reason":"connection_lost")")), "none");
  EXPECT_EQ(shown(entry("device.offline", 0, R"("reason":"connection_lost")")), "presence");
}

TEST_F(EventLog, WhatIsMissingIsSeenWhetherItIsSaidOrNot) {
  struct Case {
    const char* name;
    std::string after;
    std::string page;  // without its braces
    std::string missing;
  };
  const auto event = [](int offset, const char* term = "0000000a") {
    return R"({"id":")" + std::to_string(offset) + "-" + term + R"(","type":"device.online","device":"d9"})";
  };
  const std::array cases{
      Case{"whole", "begin", R"("items":[)" + event(1) + "," + event(2) + "]", ""},
      Case{"whole from the middle on", "7-0000000a", R"("items":[)" + event(8) + "]", ""},
      Case{"whole over a restart", "7-0000000a", R"("items":[)" + event(8, "0000000b") + "]", ""},
      Case{"the first is left out", "begin", R"("items":[)" + event(2) + "]", " 1-1"},
      Case{"some are left out", "begin", R"("items":[)" + event(1) + "," + event(4) + "]", " 2-3"},
      Case{"some in front of a page", "7-0000000a", R"("items":[)" + event(10) + "]", " 8-9"},
      Case{"some at a restart", "7-0000000a", R"("items":[)" + event(9, "0000000b") + "]", " 8-8"},
      Case{"said", "begin",
           R"("gap":{"type":"gap","reason":"damaged","from":1,"to":3},"items":[)" + event(4) + "]",
           "damaged 1-3"},
      Case{"said, at the end", "begin",
           R"("gap":{"type":"gap","reason":"trimmed","from":1,"to":3},"items":[])", "trimmed 1-3"},
      Case{"less is said", "begin",
           R"("gap":{"type":"gap","reason":"damaged","from":1,"to":2},"items":[)" + event(4) + "]",
           "damaged 1-2 3-3"},
  };
  for (const Case& each : cases) {
    const Get get = [&each](const std::string&) { return "{" + each.page + R"(,"next_cursor":null})"; };
    std::string missing;
    read_log(
        get, each.after, [](const auto&) {},
        [&](const Missing& what) {
          missing += what.reason + " " + std::to_string(what.from) + "-" + std::to_string(what.to);
        });
    EXPECT_EQ(missing, each.missing) << each.name;
    const auto read = [&] { read_log(get, each.after, [](const auto&) {}); };
    if (each.missing.empty()) {
      EXPECT_NO_THROW(read()) << each.name;
    } else {
      EXPECT_THROW(read(), Violation) << each.name;
    }
  }
}

TEST_F(EventLog, PagesAreReadToTheirEnd) {
  const std::string first = entry("epoch", 1, "");
  const std::string second = entry("epoch", 2, "");
  std::vector<std::string> asked;
  std::vector<std::string> ids;
  read_log(
      [&](const std::string& path) {
        asked.push_back(path);
        return asked.size() == 1 ? R"({"items":[)" + first + R"(],"next_cursor":"e1"})"
                                 : R"({"items":[)" + second + R"(],"next_cursor":null})";
      },
      "begin", [&](const LogEvent& event) { ids.push_back(event.id); });
  EXPECT_EQ(asked, (std::vector<std::string>{"/api/v1/events?limit=500&after=begin",
                                             "/api/v1/events?limit=500&cursor=e1"}));
  EXPECT_EQ(ids, (std::vector<std::string>{"1-0000000a", "2-0000000a"}));
  EXPECT_THROW(read_log([](const std::string&) { return std::string("{}"); }, "begin", [](const auto&) {}),
               std::runtime_error);
}

TEST_F(EventLog, AFollowerTakesDownIdsTypesAndContents) {
  const std::string json = entry("epoch", 1, "");
  const LogEvent event = LogEvent::parse(json);
  EXPECT_EQ(take_down({"1-0000000a", "epoch", json}).note.digest, event.digest);
  EXPECT_EQ(take_down({"1-0000000a", "epoch", json}).note.id.offset, 1);
  EXPECT_NE(take_down({"1-0000000b", "epoch", json}).note.digest, event.digest) << "another id";
  EXPECT_NE(take_down({"1-0000000a", "loss", json}).note.digest, event.digest) << "another type";
  EXPECT_NE(take_down({"1-0000000a", "epoch", "{"}).note.digest, event.digest);
  const Followed gap =
      take_down({"7-9f3c02ab", "gap", R"({"type":"gap","reason":"restored","from":8,"to":9})"});
  EXPECT_TRUE(gap.note.gap);
  EXPECT_EQ(gap.note.id.offset, 7);
  EXPECT_FALSE(gap.event);
}

// A time that is found out later is no other content; any other difference is.
TEST_F(EventLog, ADigestIsOfWhatAnEventIsAlwaysShownAs) {
  const auto with = [](const std::string& time, const std::string& rows) {
    return LogEvent::parse(R"({"id":"1-0000000a","type":"telemetry","device":"d1","seq":1,)" + time +
                           R"(,"rows":)" + rows + "}")
        .digest;
  };
  const std::string early = R"("boot":1,"boot_ms":50,"time_quality":"boot_relative")";
  const std::string late = R"("time":"2026-01-01T00:00:00.000Z","time_quality":"resolved")";
  const std::string synced = R"("time":"2026-01-01T00:00:00.000Z","time_quality":"synced")";
  EXPECT_EQ(with(early, "1"), with(late, "1"));
  EXPECT_NE(with(early, "1"), with(early, "2"));
  EXPECT_NE(with(synced, "1"), with(late, "1"));
}

}  // namespace
}  // namespace godwit::sim
