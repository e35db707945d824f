// SPDX-License-Identifier: Apache-2.0
#include "gateway/domain/hello.h"

#include <gtest/gtest.h>

#include "tests/unit/gateway/messages.h"

namespace godwit::gateway {
namespace {

using codec::Crash;
using codec::CrashKind;
using codec::Health;
using codec::TimeQuality;

std::string health_json(const Health& health) {
  std::string out;
  append_health(out, health);
  return out;
}

std::string crash_json(const Crash& crash) {
  std::string out = "{";
  append_crash(out, crash);
  return out + '}';
}

TEST(PackedHello, IsTheHelloWithoutItsTablesAndMarks) {
  const Message message = test::hello();
  EXPECT_FALSE(unpack("").has_value());
  EXPECT_FALSE(unpack("no hello").has_value());
  const auto hello = unpack(message.payload);
  ASSERT_TRUE(hello.has_value());
  const std::string packed = pack(*hello);
  EXPECT_LT(packed.size(), message.payload.size());
  EXPECT_EQ(unpack(packed)->firmware, "1.0.0");
  EXPECT_EQ(unpack(packed)->marks_count, 0U);
}

TEST(PackedHello, HasRoomForTheLargest) {
  const std::string version(codec::kVersionSizeMax, 'v');
  const std::string where(codec::kWhereSizeMax, 'w');
  constexpr std::uint64_t kMost = UINT64_MAX;
  const codec::Hello largest{
      .try_id = {UINT32_MAX},
      .oldest_seq = {kMost},
      .next_seq = {kMost},
      .marks_before = {kMost},
      .more_marks = true,
      .epoch = {kMost},
      .firmware = version,
      .board = version,
      .boot = UINT32_MAX,
      .reset_reason = codec::ResetReason::kPin,
      .boot_time = UnixMillis{-codec::kTimeMax.count()},
      .dropped_records = kMost,
      .refused_records = kMost,
      .corrupt_records = kMost,
      .missed_samples = kMost,
      .health = Health{UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, TimeQuality::kHoldover},
      .crash = Crash{CrashKind::kFault, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, where},
      .log_state = codec::LogState::kNone,
      .bad_sectors = UINT32_MAX};
  const std::string packed = pack(largest);
  EXPECT_EQ(unpack(packed)->crash, largest.crash);
}

TEST(HealthJson, LeavesOutWhatWasNotMeasured) {
  EXPECT_EQ(health_json({}), "{}");
  EXPECT_EQ(health_json({.time_quality = TimeQuality::kNone}), R"({"time_quality":"none"})");
  EXPECT_EQ(health_json({.stack_used = 0, .stack_size = 4096}), R"({"stack_used":0,"stack_size":4096})");
  EXPECT_EQ(health_json({.stack_used = 3120,
                         .stack_size = 8192,
                         .heap_used = 30'112,
                         .heap_size = 40'960,
                         .time_quality = TimeQuality::kSynced}),
            R"({"time_quality":"synced","stack_used":3120,"stack_size":8192,)"
            R"("heap_used":30112,"heap_size":40960})");
  EXPECT_EQ(health_json({.time_quality = TimeQuality::kHoldover}), R"({"time_quality":"holdover"})");
}

struct CrashCase {
  const char* description;
  Crash crash;
  const char* json;
};

TEST(CrashJson, SaysWhatIsKnownInWords) {
  for (
      const CrashCase& one : std::initializer_list<CrashCase>{
          {"nothing", {}, R"({"kind":"unspecified"})"},
          {"watchdog", {.kind = CrashKind::kWatchdog}, R"({"kind":"watchdog"})"},
          {"assertion",
           {.kind = CrashKind::kAssert, .pc = 0x1234, .stack_used = 812, .where = "outbox.cc:42"},
           R"({"kind":"assert","where":"outbox.cc:42","pc":"0x00001234","stack_used":812})"},
          {"a bus error, its address known",
           {.kind = CrashKind::kFault, .pc = 0xa1b2, .lr = 0xa0ff, .cause = 0x8200, .address = 0x2001'0000},
           R"({"kind":"fault","pc":"0x0000a1b2","lr":"0x0000a0ff","cause":"0x00008200",)"
           R"("causes":["data bus error"],"address":"0x20010000"})"},
          {"an access to address 0",
           {.kind = CrashKind::kFault, .cause = 0x82},
           R"({"kind":"fault","cause":"0x00000082","causes":["data access violation"],"address":"0x00000000"})"},
          {"two causes",
           {.kind = CrashKind::kFault, .cause = 0x0300'0000},
           R"({"kind":"fault","cause":"0x03000000","causes":["unaligned access","divide by zero"]})"},
          {"stack overflow",
           {.kind = CrashKind::kStackOverflow, .cause = 0x10},
           R"({"kind":"stack_overflow","cause":"0x00000010","causes":["access violation on exception entry"]})"},
          {"a cause that is not known",
           {.kind = CrashKind::kFault, .cause = 0x4000'0000},
           R"({"kind":"fault","cause":"0x40000000","causes":[]})"}}) {
    EXPECT_EQ(crash_json(one.crash), one.json) << one.description;
  }
}

}  // namespace
}  // namespace godwit::gateway
