// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <utility>

#include "proto/base/bytes.h"
#include "proto/base/crc32.h"
#include "proto/base/ids.h"
#include "proto/base/utf8.h"

namespace godwit {
namespace {

TEST(Crc32, MatchesTheCheckValueOfItsDefinition) { EXPECT_EQ(crc32(as_bytes("123456789")), 0xCBF43926U); }

TEST(Crc32, IsTheSameWhereverInputIsSplit) {
  const Bytes whole = as_bytes("The quick brown fox");
  for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
    EXPECT_EQ(crc32(whole.subspan(cut), crc32(whole.first(cut))), crc32(whole)) << "cut at " << cut;
  }
}

TEST(Crc32, IsTheSameOnADeviceAndOnALargeMachine) {
  std::array<std::uint8_t, 67> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * i * 37 + i);
  for (std::size_t begin = 0; begin < 9; ++begin) {
    for (std::size_t size = 0; begin + size <= bytes.size(); ++size) {
      const Bytes part = Bytes(bytes).subspan(begin, size);
      EXPECT_EQ(crc32_by_words(part, 0x12345678), crc32_by_nibbles(part, 0x12345678))
          << size << " bytes at " << begin;
    }
  }
}

TEST(FixedWidthIntegers, RoundTripInBothByteOrders) {
  std::array<std::uint8_t, 8> buffer{};
  store_le<std::uint32_t>(buffer.data(), 0x01020304U);
  EXPECT_EQ(buffer[0], 4);
  EXPECT_EQ(load_le<std::uint32_t>(buffer.data()), 0x01020304U);
  store_be<std::uint64_t>(buffer.data(), 0x0102030405060708U);
  EXPECT_EQ(buffer[0], 1);
  EXPECT_EQ(load_be<std::uint64_t>(buffer.data()), 0x0102030405060708U);
}

TEST(BytesOfAnObject, AreItsOwn) {
  std::uint32_t value = 0x01020304;
  EXPECT_EQ(load_le<std::uint32_t>(bytes_of(std::as_const(value)).data()), value);
  bytes_of(value)[0] = 0xFF;
  EXPECT_EQ(value, 0x010203FFU);
}

TEST(AllEqual, HoldsForEveryByteOrNone) {
  std::array<std::uint8_t, 5> bytes{7, 7, 7, 7, 7};
  EXPECT_TRUE(all_equal(bytes, 7));
  EXPECT_FALSE(all_equal(bytes, 0));
  EXPECT_TRUE(all_equal({}, 0));
  for (std::uint8_t& byte : bytes) {
    byte = 8;
    EXPECT_FALSE(all_equal(bytes, 7));
    byte = 7;
  }
}

std::string utf8_of(std::uint32_t character) {
  const auto tail = [character](unsigned shift) {
    return static_cast<char>(0x80 | (character >> shift & 0x3F));
  };
  if (character < 0x80) return {static_cast<char>(character)};
  if (character < 0x800) return {static_cast<char>(0xC0 | character >> 6), tail(0)};
  if (character < 0x10000) return {static_cast<char>(0xE0 | character >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xF0 | character >> 18), tail(12), tail(6), tail(0)};
}

TEST(Utf8, GivesEveryCharacterThatUnicodeHasAndNoOther) {
  for (std::uint32_t character = 0; character < 0x120000; ++character) {
    const std::string text = utf8_of(character) + "x";
    const bool exists = character <= 0x10FFFF && (character < 0xD800 || character > 0xDFFF);
    std::size_t at = 0;
    ASSERT_EQ(next_character(as_bytes(text), at), exists ? character : kNoCharacter) << character;
    if (exists) {
      ASSERT_EQ(at, text.size() - 1) << character;
    }
  }
}

TEST(Utf8, RefusesWhatIsCutOverlongOrOutOfPlace) {
  const std::array<std::string_view, 12> bad{
      "\x80",         "\xBF",     "\xC0\x80",  "\xC1\xBF",         "\xC3",         "\xC3(",
      "\xE0\x9F\xBF", "\xE2\x82", "\xE2\x82(", "\xF0\x8F\xBF\xBF", "\xF0\x90\x80", "\xFF"};
  for (const std::string_view text : bad) {
    std::size_t at = 0;
    EXPECT_EQ(next_character(as_bytes(text), at), kNoCharacter) << testing::PrintToString(text);
  }
}

TEST(DeviceIds, AcceptOnlyWhatIsSafeInTopicPathAndCertificate) {
  for (const char* good : {"a", "0", "pump-3", "site.a_b-7", "abcdefghijklmnopqrstuvwxyz012345"}) {
    const auto id = DeviceId::parse(good);
    ASSERT_TRUE(id.has_value()) << good;
    EXPECT_EQ(id->view(), good);
  }
  for (const char* bad :
       {"", "-a", ".a", "A", "a/b", "a+", "#", "a b", "ä", "abcdefghijklmnopqrstuvwxyz0123456"}) {
    EXPECT_FALSE(DeviceId::parse(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace godwit
