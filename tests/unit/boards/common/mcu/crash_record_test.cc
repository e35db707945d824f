// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <new>
#include <string>

#include "boards/common/cortex_m/crash.h"

namespace godwit::boards {
namespace {

// RAM with what a record leaves in it, as one boot hands it to the next.
class Ram {
 public:
  explicit Ram(std::uint8_t content = 0) { bytes_.fill(content); }
  CrashRecord& record() { return *std::launder(reinterpret_cast<CrashRecord*>(bytes_.data())); }
  std::uint8_t& operator[](std::size_t i) { return bytes_[i]; }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }

 private:
  alignas(CrashRecord) std::array<std::uint8_t, sizeof(CrashRecord)> bytes_{};
};

constexpr codec::Crash kCrash{.kind = codec::CrashKind::kAssert,
                              .pc = 0x0001'2345,
                              .lr = 0x0002'0001,
                              .cause = 0x0100'0000,
                              .address = 0x2000'FFFF,
                              .stack_used = 1234,
                              .where = "firmware/outbox/outbox.cc:99"};

TEST(CrashRecord, IsToldOnceToTheNextBoot) {
  Ram ram;
  ram.record().store(kCrash);
  const auto told = ram.record().take();
  EXPECT_EQ(told, kCrash);
  EXPECT_FALSE(ram.record().take().has_value());
  EXPECT_EQ(told, kCrash) << "the text stays where it was";
}

TEST(CrashRecord, IsNotFoundInRamAfterPowerOn) {
  for (const int content : {0x00, 0xFF, 0xAA, 0x55}) {
    Ram ram(static_cast<std::uint8_t>(content));
    EXPECT_FALSE(ram.record().take().has_value()) << content;
  }
}

TEST(CrashRecord, IsNotBelievedWithAnyBitChanged) {
  for (std::size_t byte = 0; byte < sizeof(CrashRecord); ++byte) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      Ram ram;
      ram.record().store(kCrash);
      ram[byte] = static_cast<std::uint8_t>(ram[byte] ^ (1U << bit));
      EXPECT_FALSE(ram.record().take().has_value()) << "byte " << byte << " bit " << bit;
    }
  }
}

TEST(CrashRecord, KeepsTheEndOfALongPathAndOnlyPrintableText) {
  Ram ram;
  const std::string path = std::string(100, 'd') + "/file\n.cc:7";
  ram.record().store({.kind = codec::CrashKind::kAssert, .where = path});
  const codec::Crash told = ram.record().take().value_or(codec::Crash{});
  EXPECT_EQ(told.where, std::string(37, 'd') + "/file?.cc:7");
}

}  // namespace
}  // namespace godwit::boards
