// SPDX-License-Identifier: Apache-2.0
#include "gateway/domain/event_json.h"

#include <gtest/gtest.h>

#include <limits>

#include "gateway/domain/batch.h"
#include "gateway/domain/hello.h"
#include "tests/unit/gateway/messages.h"

namespace godwit::gateway {
namespace {

using test::kEpoch;
using test::kNow;

// Epochs of which the time is known.
constexpr Epoch kKnown{7};
constexpr Epoch kHeldOver{8};

class FakeContext : public BatchContext {
 public:
  std::shared_ptr<const TableInfo> table(std::string_view, std::uint32_t hash) const override {
    if (hash != codec::hash(test::kSystemTable)) return nullptr;
    auto table = std::make_shared<TableInfo>();
    table->hash = hash;
    table->name = "system";
    table->period_ms = 1000;
    table->rows_max = 3;
    for (const codec::Channel& channel : test::kSystemChannels) {
      ChannelInfo& info = table->channels.emplace_back();
      info.name = channel.name;
      info.exponent = channel.exponent;
    }
    return table;
  }
  std::optional<BootTime> boot_time(std::string_view, Epoch epoch) const override {
    if (epoch == kKnown) return BootTime{.unix_time = kNow};
    if (epoch == kHeldOver) return BootTime{.unix_time = kNow, .quality = codec::TimeQuality::kHoldover};
    return std::nullopt;
  }
};

Event telemetry(std::string batch) {
  Event event;
  event.offset = {123};
  event.term = {0x89abcdef};
  event.device = "d1";
  event.received_at = {kNow.value + 1};
  event.epoch = kEpoch;
  event.seq = {5};
  event.batch = std::move(batch);
  return event;
}

std::string json(const Event& event) {
  std::string out;
  append_json(out, event, FakeContext());
  return out;
}

constexpr std::string_view kHead =
    R"({"id":"123-89abcdef","offset":123,"type":"telemetry","device":"d1","received_at":"2026-01-01T00:00:00.001Z",)"
    R"("epoch":"0123456789abcdef",)";

TEST(EventJson, ShowsABatchAsColumnsOfDecimals) {
  const std::array<std::array<std::int64_t, 2>, 3> rows{{{125, 4}, {-5, 0}, {100, -3}}};
  EXPECT_EQ(json(telemetry(test::batch(rows))),
            std::string(kHead) +
                R"("seq":5,"table":"system","time":"2026-01-01T00:00:00.000Z","time_quality":"synced",)"
                R"("period_ms":1000,"rows":3,"channels":{"cpu":[1.25,-0.05,1],"mem":[4000,0,-3000]}})");
}

TEST(EventJson, ShowsACellWithoutAValueAsNull) {
  const std::array<std::array<std::int64_t, 2>, 3> rows{
      {{codec::kMissing, codec::kMissing}, {-5, codec::kMissing}, {codec::kMissing, -3}}};
  EXPECT_NE(json(telemetry(test::batch(rows)))
                .find(R"("channels":{"cpu":[null,-0.05,null],"mem":[null,null,-3000]})"),
            std::string::npos);
}

TEST(EventJson, ShowsTheQualityThatTheSamplingHad) {
  EXPECT_NE(json(telemetry(test::batch(1, {.holdover = true})))
                .find(R"("time":"2026-01-01T00:00:00.000Z","time_quality":"holdover")"),
            std::string::npos);
}

TEST(EventJson, TakesTheRowsOfAFullBatchFromItsTable) {
  const std::array<std::array<std::int64_t, 2>, 3> rows{{{1, 1}, {2, 2}, {3, 3}}};
  EXPECT_NE(json(telemetry(test::batch(rows, {.full = true}))).find(R"("rows":3,"channels":{"cpu":[0.01,)"),
            std::string::npos);
  const std::string unknown = json(telemetry(test::batch(rows, {.table = 1, .full = true})));
  EXPECT_NE(unknown.find(R"("time_quality":"synced","channels":null,"samples":")"), std::string::npos)
      << "nobody knows how many they are: " << unknown;
}

// The worst that a batch can be shown as: the bound holds, and is not far above.
TEST(BatchJsonSize, IsBoundedWithoutLookingAtTheSamples) {
  for (const int exponent : {-18, -17, -5, 0, 5, 18}) {
    TableInfo table{.hash = 1, .name = std::string(24, 'n'), .period_ms = 86'400'000};
    for (std::size_t c = 0; c < 16; ++c)
      table.channels.push_back({.name = std::string(22, 'c') + std::to_string(10 + c), .exponent = exponent});
    std::string out = "{";
    for (const ChannelInfo& channel : table.channels) {
      append_json_string(out, channel.name);
      out += ":[";
      for (int row = 0; row < 100; ++row) {
        append_value(out, std::numeric_limits<std::int64_t>::min() + 1, channel.exponent);
        out += ',';
      }
      out += "],";
    }
    EXPECT_LE(out.size(), channels_json_size_max(table, 100)) << exponent;
    EXPECT_GE(out.size() * 5, channels_json_size_max(table, 100) * 4) << exponent;
  }
}

TEST(EventJson, ShowsTheTimeSinceBootOfADeviceThatNeverKnewBetter) {
  EXPECT_EQ(json(telemetry(test::batch(1, {.unix_time = {}, .boot = 3, .boot_time = Millis{1234}}))),
            std::string(kHead) +
                R"("seq":5,"table":"system","boot":3,"boot_ms":1234,"time_quality":"boot_relative",)"
                R"("period_ms":1000,"rows":1,"channels":{"cpu":[0.01],"mem":[1000]}})");
}

TEST(EventJson, ResolvesTheTimeSinceABootByTheEpochThatItRecorded) {
  Event event = telemetry(test::batch(0, {.unix_time = {}, .boot = 7, .boot_time = Millis{1234}}));
  for (const auto& [epoch, quality] : {std::pair{kKnown, "resolved"}, {kHeldOver, "holdover"}}) {
    event.epoch = epoch;
    EXPECT_NE(json(event).find(R"("seq":5,"table":"system","time":"2026-01-01T00:00:01.234Z",)"
                               R"("time_quality":")" +
                               std::string(quality) + R"(","period_ms":1000,"rows":1,)" +
                               R"("channels":{"cpu":[0],"mem":[0]}})"),
              std::string::npos)
        << json(event);
  }
}

// A conflict was found by event 123: what came before is of the first table, what comes later of either.
TEST(EventJson, ShowsWhatIsInAConflictOfTablesRaw) {
  struct Conflicting : FakeContext {
    std::shared_ptr<const TableInfo> table(std::string_view device, std::uint32_t hash) const override {
      auto table = std::make_shared<TableInfo>(*FakeContext::table(device, hash));
      table->conflict = LogOffset{123};
      return table;
    }
  };
  Event event = telemetry(test::batch(1));
  for (const auto& [offset, raw] : {std::pair{122, false}, {123, true}, {124, true}}) {
    event.offset = {offset};
    std::string out;
    append_json(out, event, Conflicting());
    EXPECT_EQ(out.find(R"("channels":null)") != std::string::npos, raw) << out;
  }
}

TEST(EventJson, ShowsSamplesOfAnUnknownTableRaw) {
  Event event = telemetry(test::batch(1, {.table = 0x89abcdef}));
  const std::string text = json(event);
  EXPECT_TRUE(text.starts_with(std::string(kHead) +
                               R"("seq":5,"table_hash":"89abcdef","time":"2026-01-01T00:00:00.000Z",)"
                               R"("time_quality":"synced","rows":1,"channels":null,"samples":")"))
      << text;
}

TEST(EventJson, ShowsABatchThatDoesNotDecodeRaw) {
  EXPECT_EQ(json(telemetry("\xff\xfe\xfd\xfc")),
            std::string(kHead) + R"("seq":5,"channels":null,"batch":"//79/A=="})");
}

TEST(EventJson, ShowsDamagedSamplesRaw) {
  const std::string sound = test::batch(1);
  auto damaged = *codec::decode_batch(as_bytes(sound));
  damaged.rows = 500;  // of which there is one
  std::array<std::uint8_t, 256> buffer{};
  const std::string text = json(telemetry(test::payload(buffer, codec::encode(damaged, buffer))));
  EXPECT_NE(text.find(R"("rows":500,"channels":null,"samples":")"), std::string::npos) << text;
}

TEST(EventJson, MarksLiveSamples) {
  Event event = telemetry(test::batch());
  event.seq = kLiveSeq;
  EXPECT_TRUE(json(event).starts_with(std::string(kHead) + R"("live":true,"table":"system")"));
}

TEST(EventJson, ShowsLossWithItsReason) {
  Event event = telemetry("");
  event.type = EventType::kLoss;
  event.count = 17;
  for (const auto& [reason, name] : {std::pair{LossReason::kDroppedFull, "dropped_full"},
                                     {LossReason::kCorrupt, "corrupt"},
                                     {LossReason::kNotHeld, "not_held"},
                                     {LossReason::kRefusedFull, "refused_full"},
                                     {LossReason::kRefusedFlash, "refused_flash"},
                                     {LossReason::kQuarantined, "quarantined"},
                                     {LossReason::kUnspecified, "unspecified"}}) {
    event.loss_reason = reason;
    EXPECT_EQ(
        json(event),
        R"({"id":"123-89abcdef","offset":123,"type":"loss","device":"d1","received_at":"2026-01-01T00:00:00.001Z",)"
        R"("epoch":"0123456789abcdef","seq":5,"count":17,"reason":")" +
            std::string(name) + "\"}");
  }
}

TEST(EventJson, ShowsHowMuchOfADeviceWasNotTakenInAndWhy) {
  Event event = telemetry("");
  event.type = EventType::kDeviceThrottled;
  event.count = 17;
  for (const auto& [reason, name] : {std::pair{ThrottleReason::kQueueFull, "queue_full"},
                                     {ThrottleReason::kDayBudget, "day_budget"},
                                     {ThrottleReason::kDiskLow, "disk_low"},
                                     {ThrottleReason::kUnspecified, "unspecified"}}) {
    event.throttle_reason = reason;
    EXPECT_EQ(json(event),
              R"({"id":"123-89abcdef","offset":123,"type":"device.throttled","device":"d1",)"
              R"("received_at":"2026-01-01T00:00:00.001Z","epoch":"0123456789abcdef","count":17,"reason":")" +
                  std::string(name) + "\"}");
  }
  EXPECT_EQ(event_type("device.throttled"), EventType::kDeviceThrottled);
}

struct TypeCase {
  EventType type;
  const char* name;
  const char* members;
};

TEST(EventJson, ShowsOfEachTypeWhatItHas) {
  Event event = telemetry("");
  event.count = 0x17;
  event.offline_reason = OfflineReason::kRestarted;
  for (const TypeCase& one : std::initializer_list<TypeCase>{
           {EventType::kEpoch, "epoch", R"(,"seq":5)"},
           {EventType::kDeviceOnline, "device.online", ""},
           {EventType::kDeviceOffline, "device.offline", R"(,"reason":"restarted")"},
           {EventType::kHistoryReplaced, "history.replaced", R"(,"seq":5,"expected_seq":23)"},
           {EventType::kHistoryUnknown, "history.unknown", R"(,"seq":5)"},
           {EventType::kHistoryForgotten, "history.forgotten", R"(,"count":23)"},
           {EventType::kTableConflict, "table.conflict", R"(,"table_hash":"00000017")"}}) {
    event.type = one.type;
    EXPECT_EQ(json(event), R"({"id":"123-89abcdef","offset":123,"type":")" + std::string(one.name) +
                               R"(","device":"d1","received_at":"2026-01-01T00:00:00.001Z",)"
                               R"("epoch":"0123456789abcdef")" +
                               one.members + "}");
    EXPECT_EQ(event_type(one.name), one.type);
  }
  EXPECT_EQ(event_type("telemetri"), std::nullopt);
}

TEST(EventJson, ShowsNoEpochOfADeviceThatHasNeverRecorded) {
  Event event = telemetry("");
  event.type = EventType::kDeviceOnline;
  event.epoch = {};
  EXPECT_EQ(json(event), R"({"id":"123-89abcdef","offset":123,"type":"device.online","device":"d1",)"
                         R"("received_at":"2026-01-01T00:00:00.001Z"})");
}

TEST(EventJson, SaysWhyADeviceIsGone) {
  Event event = telemetry("");
  event.type = EventType::kDeviceOffline;
  for (const auto& [reason, name] : {std::pair{OfflineReason::kWill, "will"},
                                     {OfflineReason::kStopped, "stopped"},
                                     {OfflineReason::kSilent, "silent"},
                                     {OfflineReason::kRestarted, "restarted"},
                                     {OfflineReason::kUnspecified, "unspecified"}}) {
    event.offline_reason = reason;
    EXPECT_NE(json(event).find(R"("reason":")" + std::string(name) + "\""), std::string::npos) << json(event);
  }
}

TEST(EventJson, ShowsWhatADeviceSaidWhenItCame) {
  codec::Hello hello = test::greeting();
  hello.firmware = "1.0";
  hello.board = "a \"board\"";
  hello.boot = 3;
  hello.reset_reason = codec::ResetReason::kFault;
  hello.health = codec::Health{.stack_used = 3120, .stack_size = 8192};
  Event event = telemetry("");
  event.type = EventType::kDeviceOnline;
  event.hello = pack(hello);
  const std::string head =
      R"({"id":"123-89abcdef","offset":123,"type":"device.online","device":"d1","received_at":"2026-01-01T00:00:00.001Z",)"
      R"("epoch":"0123456789abcdef","firmware":"1.0","board":"a \"board\"","boot":3,"reset_reason":"fault",)"
      R"("health":{"stack_used":3120,"stack_size":8192})";
  EXPECT_EQ(json(event), head + "}");
  hello.crash = codec::Crash{.kind = codec::CrashKind::kAssert, .where = "outbox.cc:42"};
  event.hello = pack(hello);
  EXPECT_EQ(json(event), head + R"(,"crash":{"kind":"assert","where":"outbox.cc:42"}})");
}

TEST(EventJson, WritesDecimalsExactly) {
  struct Case {
    std::int64_t raw;
    int exponent;
    const char* text;
  };
  for (const Case& one : std::initializer_list<Case>{
           {0, -5, "0"},
           {0, 5, "0"},
           {1, 0, "1"},
           {-1, 0, "-1"},
           {1, -1, "0.1"},
           {-12, -1, "-1.2"},
           {1200, -2, "12"},
           {1250, -3, "1.25"},
           {5, -18, "0.000000000000000005"},
           {7, 18, "7000000000000000000"},
           {std::numeric_limits<std::int64_t>::max(), -18, "9.223372036854775807"},
           {std::numeric_limits<std::int64_t>::min(), 0, "-9223372036854775808"},
           {std::numeric_limits<std::int64_t>::min(), -19, "-0.9223372036854775808"}}) {
    std::string out;
    append_decimal(out, one.raw, one.exponent);
    EXPECT_EQ(out, one.text);
  }
}

TEST(EventJson, WritesAnyTime) {
  struct Case {
    std::int64_t ms;
    const char* text;
  };
  for (const Case& one :
       std::initializer_list<Case>{{0, "1970-01-01T00:00:00.000Z"},
                                   {-1, "1969-12-31T23:59:59.999Z"},
                                   {951'782'399'999, "2000-02-28T23:59:59.999Z"},
                                   {951'782'400'000, "2000-02-29T00:00:00.000Z"},
                                   {std::numeric_limits<std::int64_t>::max(), "9999-12-31T23:59:59.999Z"},
                                   {std::numeric_limits<std::int64_t>::min(), "0000-01-01T00:00:00.000Z"}}) {
    std::string out;
    append_time(out, {one.ms});
    EXPECT_EQ(out, one.text);
  }
}

TEST(EventJson, EscapesStrings) {
  std::string out;
  append_json_string(out, "a\"b\\c\nd\x01");
  EXPECT_EQ(out, R"("a\"b\\c\u000ad\u0001")");
}

}  // namespace
}  // namespace godwit::gateway
