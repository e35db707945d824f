// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <new>
#include <string>

#include "boards/common/cortex_m/crash.h"

namespace godwit::boards {
namespace {

// RAM with what one boot leaves in it for the next.
template <typename T>
class Ram {
 public:
  explicit Ram(std::uint8_t content = 0) { bytes_.fill(content); }
  T* operator->() { return std::launder(reinterpret_cast<T*>(bytes_.data())); }
  std::uint8_t& operator[](std::size_t i) { return bytes_[i]; }

 private:
  alignas(T) std::array<std::uint8_t, sizeof(T)> bytes_{};
};

constexpr codec::Crash kCrash{.kind = codec::CrashKind::kAssert,
                              .pc = 0x0001'2345,
                              .lr = 0x0002'0001,
                              .cause = 0x0100'0000,
                              .address = 0x2000'FFFF,
                              .stack_used = 1234,
                              .where = "firmware/outbox/outbox.cc:99"};

TEST(CrashRecord, IsKeptUntilItIsClearedAndNewOnlyOnce) {
  Ram<CrashRecord> ram;
  ram->store(kCrash);
  const auto told = ram->read().value_or(CrashRecord::Found{});
  EXPECT_EQ(told.crash, kCrash);
  EXPECT_TRUE(told.is_new);
  for (int later_boot = 0; later_boot < 2; ++later_boot) {
    const auto again = ram->read().value_or(CrashRecord::Found{});
    EXPECT_EQ(again.crash, kCrash);
    EXPECT_FALSE(again.is_new);
  }
  ram->clear();
  EXPECT_FALSE(ram->read().has_value());
  EXPECT_EQ(told.crash, kCrash) << "the text stays where it was";
}

TEST(CrashRecord, GivesWayToANewerOne) {
  Ram<CrashRecord> ram;
  for (const std::string_view where : {"a.cc:1", "b.cc:2"}) {
    ram->store({.kind = codec::CrashKind::kAssert, .where = where});
    const auto told = ram->read().value_or(CrashRecord::Found{});
    EXPECT_EQ(told.crash.where, where);
    EXPECT_TRUE(told.is_new);
  }
  ram->clear();
  ram->store(kCrash);
  EXPECT_TRUE(ram->read().value_or(CrashRecord::Found{}).is_new);
}

TEST(CrashRecord, IsNotFoundInRamAfterPowerOn) {
  for (const int content : {0x00, 0xFF, 0xAA, 0x55}) {
    Ram<CrashRecord> ram(static_cast<std::uint8_t>(content));
    EXPECT_FALSE(ram->read().has_value()) << content;
  }
}

TEST(CrashRecord, IsNotBelievedWithAnyBitChanged) {
  for (std::size_t byte = 0; byte < sizeof(CrashRecord); ++byte) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      Ram<CrashRecord> ram;
      ram->store(kCrash);
      ram[byte] = static_cast<std::uint8_t>(ram[byte] ^ (1U << bit));
      EXPECT_FALSE(ram->read().has_value()) << "byte " << byte << " bit " << bit;
    }
  }
}

TEST(CrashRecord, KeepsTheEndOfALongPathAndOnlyPrintableText) {
  Ram<CrashRecord> ram;
  const std::string path = std::string(100, 'd') + "/file\n.cc:7";
  ram->store({.kind = codec::CrashKind::kAssert, .where = path});
  const auto told = ram->read().value_or(CrashRecord::Found{});
  EXPECT_EQ(told.crash.where, std::string(37, 'd') + "/file?.cc:7");
}

TEST(StartCount, BeginsAtOneAfterPowerOnAndWhenAllWasWell) {
  for (const int content : {0x00, 0xFF, 0xAA, 0x55}) {
    Ram<StartCount> ram(static_cast<std::uint8_t>(content));
    for (std::uint32_t number = 1; number < 10; ++number) EXPECT_EQ(ram->next(), number);
    ram->clear();
    EXPECT_EQ(ram->next(), 1U);
    ram->clear();
    ram->clear();
    EXPECT_EQ(ram->next(), 1U);
  }
}

TEST(StartCount, SlowsStartsDownToOneAMinute) {
  EXPECT_EQ(pause_before_start(1), Millis{0});
  EXPECT_EQ(pause_before_start(3), Millis{0});
  EXPECT_EQ(pause_before_start(4), Millis{2'000});
  EXPECT_EQ(pause_before_start(5), Millis{4'000});
  EXPECT_EQ(pause_before_start(9), Millis{64'000});
  EXPECT_EQ(pause_before_start(10), Millis{64'000});
  EXPECT_EQ(pause_before_start(0xFFFF'FFFF), Millis{64'000});
}

TEST(StorageFailure, IsKeptOverAResetAndNotFoundAfterPowerOn) {
  for (const int content : {0x00, 0xFF, 0xAA, 0x55}) {
    Ram<StorageFailure> ram(static_cast<std::uint8_t>(content));
    EXPECT_EQ(ram->read().refused, 0U) << content;
    EXPECT_FALSE(ram->read().reset_tried) << content;
    for (const bool tried : {true, false}) {
      ram->store({.refused = 17, .reset_tried = tried});
      EXPECT_EQ(ram->read().refused, 17U);
      EXPECT_EQ(ram->read().reset_tried, tried);
    }
    ram->store({.refused = 0xFFFF'FFFF});
    EXPECT_EQ(ram->read().refused, 0x7FFF'FFFFU);
    EXPECT_FALSE(ram->read().reset_tried);
  }
}

TEST(StorageFailure, IsNotBelievedWithAnyBitChanged) {
  for (std::size_t byte = 0; byte < sizeof(StorageFailure); ++byte) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      Ram<StorageFailure> ram;
      ram->store({.refused = 17, .reset_tried = true});
      ram[byte] = static_cast<std::uint8_t>(ram[byte] ^ (1U << bit));
      EXPECT_EQ(ram->read().refused, 0U) << "byte " << byte << " bit " << bit;
      EXPECT_FALSE(ram->read().reset_tried);
    }
  }
}

}  // namespace
}  // namespace godwit::boards
