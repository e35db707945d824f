// SPDX-License-Identifier: Apache-2.0
#include "firmware/mqtt/codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace godwit::mqtt {
namespace {

using std::string_literals::operator""s;

TEST(Varint, RoundTripsAtEveryChangeOfLength) {
  for (const std::uint32_t value : {0U, 127U, 128U, 16'383U, 16'384U, 2'097'151U, 2'097'152U, kVarintMax}) {
    std::array<std::uint8_t, 8> buffer{};
    Writer writer(buffer);
    writer.varint(value);
    EXPECT_EQ(writer.size(), varint_size(value));
    const Bytes encoded = Bytes(buffer).first(writer.size());
    Reader reader(encoded);
    EXPECT_EQ(reader.varint(), value);
    EXPECT_TRUE(reader.done());
    for (std::size_t cut = 0; cut < encoded.size(); ++cut) {
      Reader truncated(encoded.first(cut));
      truncated.varint();
      EXPECT_FALSE(truncated.ok()) << value << " cut at " << cut;
    }
  }
}

TEST(Varint, RejectsMoreBytesThanTheValueNeedsOrTheStandardAllows) {
  for (const auto& bytes : std::vector<std::vector<std::uint8_t>>{
           {0x80, 0x00}, {0xFF, 0x80, 0x00}, {0x80, 0x80, 0x80, 0x00}, {0xFF, 0xFF, 0xFF, 0xFF, 0x01}}) {
    Reader reader(bytes);
    reader.varint();
    EXPECT_FALSE(reader.ok()) << bytes.size() << " bytes";
  }
}

TEST(Utf8, AcceptsTheEdgesOfWhatUnicodeAllows) {
  for (const std::string& text :
       {""s, "a"s, "\x7F"s, "\xC2\x80"s, "\xDF\xBF"s, "\xE0\xA0\x80"s, "\xED\x9F\xBF"s, "\xEE\x80\x80"s,
        "\xEF\xBF\xBF"s, "\xF0\x90\x80\x80"s, "\xF4\x8F\xBF\xBF"s, "\xEF\xBB\xBF"s, "a\xC3\xA4z"s}) {
    EXPECT_TRUE(is_utf8(as_bytes(text))) << testing::PrintToString(text);
    EXPECT_TRUE(is_mqtt_string(as_bytes(text))) << testing::PrintToString(text);
  }
}

TEST(Utf8, RejectsSurrogatesOverlongFormsAndCutSequences) {
  for (const std::string& text :
       {"\x80"s, "\xBF"s, "\xC0\x80"s, "\xC1\xBF"s, "\xC2"s, "\xC2\x41"s, "\xE0\x80\x80"s, "\xE0\x9F\xBF"s,
        "\xE1\x80"s, "\xED\xA0\x80"s, "\xED\xBF\xBF"s, "\xF0\x80\x80\x80"s, "\xF0\x8F\xBF\xBF"s,
        "\xF1\x80\x80"s, "\xF4\x90\x80\x80"s, "\xF5\x80\x80\x80"s, "\xFF"s, "a\xE2\x28\xA1"s}) {
    EXPECT_FALSE(is_utf8(as_bytes(text))) << testing::PrintToString(text);
  }
}

TEST(Utf8, AllowsTheNullCharacterInPayloadsOnly) {
  EXPECT_TRUE(is_utf8(as_bytes("a\0b"s)));
  EXPECT_FALSE(is_mqtt_string(as_bytes("a\0b"s)));
}

TEST(Topics, HaveWildcardsInFiltersOnlyAndThereInTheirPlaces) {
  for (const char* name : {"a", "/", "a/b", "/a", "$SYS/x", " "}) {
    EXPECT_TRUE(is_topic_name(name)) << name;
    EXPECT_TRUE(is_topic_filter(name)) << name;
  }
  for (const char* filter : {"#", "+", "a/#", "+/+", "a/+/b", "/+", "$share/g/a/#", "$share/g/+"}) {
    EXPECT_FALSE(is_topic_name(filter) && !is_shared_filter(filter)) << filter;
    EXPECT_TRUE(is_topic_filter(filter)) << filter;
  }
  for (const char* bad : {"", "a#", "a/#/b", "#/", "a+", "+a", "a/+b", "$share/g", "$share//a", "$share/g/",
                          "$share/g+/a", "$share/#/a"}) {
    EXPECT_FALSE(is_topic_filter(bad)) << bad;
  }
}

TEST(Reader, FailsOnceAndForAllWhereInputEnds) {
  const std::array<std::uint8_t, 11> whole{1, 0, 2, 0, 0, 0, 3, 0, 2, 'h', 'i'};
  for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
    Reader reader(Bytes(whole).first(cut));
    reader.u8();
    reader.u16();
    reader.u32();
    const Bytes text = reader.string();
    EXPECT_EQ(reader.ok(), cut == whole.size()) << "cut at " << cut;
    EXPECT_EQ(as_text(text), cut == whole.size() ? "hi" : "");
  }
}

TEST(Writer, CountsWhatDoesNotFitAndLeavesTheRestAlone) {
  std::array<std::uint8_t, 3> buffer{};
  Writer writer(MutableBytes(buffer).first(2));
  writer.u16(0x0102);
  writer.u32(5);
  EXPECT_EQ(writer.size(), 6U);
  EXPECT_FALSE(writer.ok());
  EXPECT_EQ(buffer, (std::array<std::uint8_t, 3>{1, 2, 0}));
}

TEST(Properties, OfAMessageAreEncodedOnlyIfTheStandardAllowsThem) {
  std::array<std::uint8_t, 64> buffer{};
  const auto encoded = [&](const MessageProperties& properties, std::size_t room = 64) {
    return encode(properties, MutableBytes(buffer).first(room));
  };
  const UserProperty good[] = {{"k", "v"}};
  const UserProperty bad_name[] = {{"k", "v"}, {"\xff", "v"}};
  const UserProperty bad_value[] = {{"k", "\xff"}, {"k", "v"}};
  ASSERT_TRUE(encoded({.content_type = "c", .response_topic = "r", .user = good}).has_value());
  EXPECT_EQ(encoded({.content_type = "\xff"}).error(), Status::kInvalidArgument);
  EXPECT_EQ(encoded({.response_topic = "r/#"}).error(), Status::kInvalidArgument);
  EXPECT_EQ(encoded({.user = bad_name}).error(), Status::kInvalidArgument);
  EXPECT_EQ(encoded({.user = bad_value}).error(), Status::kInvalidArgument);
  EXPECT_EQ(encoded({.user = good}, 6).error(), Status::kFull);
  EXPECT_TRUE(encoded({.user = good}, 7).has_value());
}

struct ReasonCase {
  const char* description;
  PacketType type;
  std::vector<std::uint8_t> allowed;
};

TEST(ReasonCodes, AreLimitedToThoseOfThePacketTypeByAServer) {
  const std::vector<ReasonCase> cases{
      {"CONNACK", PacketType::kConnack, {0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
                                         0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F}},
      {"PUBACK", PacketType::kPuback, {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x95, 0x97, 0x99}},
      {"PUBREC", PacketType::kPubrec, {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x95, 0x97, 0x99}},
      {"PUBREL", PacketType::kPubrel, {0x00, 0x92}},
      {"PUBCOMP", PacketType::kPubcomp, {0x00, 0x92}},
      {"SUBACK",
       PacketType::kSuback,
       {0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2}},
      {"UNSUBACK", PacketType::kUnsuback, {0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91}},
      {"DISCONNECT", PacketType::kDisconnect, {0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D,
                                               0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
                                               0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2}}};
  for (const ReasonCase& c : cases) {
    for (unsigned code = 0; code < 256; ++code) {
      const bool allowed = std::ranges::find(c.allowed, code) != c.allowed.end();
      EXPECT_EQ(is_reason_of(c.type, static_cast<std::uint8_t>(code)), allowed)
          << c.description << " " << code;
    }
  }
}

}  // namespace
}  // namespace godwit::mqtt
