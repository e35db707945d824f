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

class FakeContext : public BatchContext {
 public:
  std::shared_ptr<const TableInfo> table(std::string_view, std::uint32_t hash) const override {
    if (hash != codec::hash(test::kSystemTable)) return nullptr;
    auto table = std::make_shared<TableInfo>();
    table->hash = hash;
    table->name = "system";
    table->period_ms = 1000;
    for (const codec::Channel& channel : test::kSystemChannels) {
      ChannelInfo& info = table->channels.emplace_back();
      info.name = channel.name;
      info.exponent = channel.exponent;
    }
    return table;
  }
  std::optional<UnixMillis> boot_time(std::string_view, Epoch, std::uint32_t boot) const override {
    return boot == 7 ? std::optional(kNow) : std::nullopt;
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

TEST(EventJson, ShowsTheTimeSinceBootOfADeviceThatNeverKnewBetter) {
  EXPECT_EQ(json(telemetry(test::batch(1, {.unix_time = {}, .boot = 3, .boot_time = Millis{1234}}))),
            std::string(kHead) +
                R"("seq":5,"table":"system","boot":3,"boot_ms":1234,"time_quality":"boot_relative",)"
                R"("period_ms":1000,"rows":1,"channels":{"cpu":[0.01],"mem":[1000]}})");
}

TEST(EventJson, ResolvesTheTimeSinceABootThatIsKnown) {
  EXPECT_EQ(json(telemetry(test::batch(0, {.unix_time = {}, .boot = 7, .boot_time = Millis{1234}}))),
            std::string(kHead) + R"("seq":5,"table":"system","time":"2026-01-01T00:00:01.234Z",)"
                                 R"("time_quality":"resolved","period_ms":1000,"rows":1,)"
                                 R"("channels":{"cpu":[0],"mem":[0]}})");
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
  for (const auto& [reason, name] : {std::pair{codec::LossReason::kDroppedFull, "dropped_full"},
                                     {codec::LossReason::kCorrupt, "corrupt"},
                                     {codec::LossReason::kNotHeld, "not_held"},
                                     {codec::LossReason::kUnspecified, "unspecified"}}) {
    event.loss_reason = reason;
    EXPECT_EQ(
        json(event),
        R"({"id":"123-89abcdef","offset":123,"type":"loss","device":"d1","received_at":"2026-01-01T00:00:00.001Z",)"
        R"("epoch":"0123456789abcdef","seq":5,"count":17,"reason":")" +
            std::string(name) + "\"}");
  }
}

TEST(EventJson, ShowsComingAndGoing) {
  Event event = telemetry("");
  for (const EventType type : {EventType::kEpoch, EventType::kDeviceOnline, EventType::kDeviceOffline}) {
    event.type = type;
    EXPECT_EQ(json(event), R"({"id":"123-89abcdef","offset":123,"type":")" + std::string(type_name(type)) +
                               R"(","device":"d1","received_at":"2026-01-01T00:00:00.001Z",)"
                               R"("epoch":"0123456789abcdef"})");
    EXPECT_EQ(event_type(type_name(type)), type);
  }
  EXPECT_EQ(event_type("telemetri"), std::nullopt);
}

TEST(EventJson, ShowsWhatADeviceSaidWhenItCame) {
  codec::Hello hello{.epoch = kEpoch, .oldest_seq = kFirstSeq, .next_seq = kFirstSeq};
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
