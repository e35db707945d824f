// SPDX-License-Identifier: Apache-2.0
#include "proto/codec/provisioning.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "proto/base/crc32.h"
#include "tests/unit/proto/codec/vectors.h"

namespace godwit::codec {
namespace {

using Buffer = std::vector<std::uint8_t>;

Buffer counting(std::uint8_t first, std::size_t size) {
  Buffer bytes(size);
  std::ranges::generate(bytes, [first]() mutable { return first++; });
  return bytes;
}

// What v1.hex holds.
const Buffer kCa = counting(0x30, 16);
const Buffer kCertificate = counting(0x40, 24);
const Buffer kKey = counting(0x60, 8);

Provisioning provisioning() {
  return {.device = "pump-3",
          .broker_host = "10.0.2.2",
          .broker_port = 8883,
          .server_name = "broker.example",
          .ca = kCa,
          .certificate = kCertificate,
          .key = kKey,
          .sntp_host = "time.example",
          .sntp_port = 123,
          .issued = {1'700'000'000'000},
          .sample_period = Millis{500},
          .rows_per_record = 20};
}
Provisioning least() {
  return {.device = "a", .broker_host = "b", .broker_port = 1, .server_name = "c", .ca = Bytes(kCa).first(1)};
}

void expect_same(const Provisioning& a, const Provisioning& b) {
  EXPECT_EQ(a.device, b.device);
  EXPECT_EQ(a.broker_host, b.broker_host);
  EXPECT_EQ(a.broker_port, b.broker_port);
  EXPECT_EQ(a.server_name, b.server_name);
  EXPECT_TRUE(std::ranges::equal(a.ca, b.ca));
  EXPECT_TRUE(std::ranges::equal(a.certificate, b.certificate));
  EXPECT_TRUE(std::ranges::equal(a.key, b.key));
  EXPECT_EQ(a.sntp_host, b.sntp_host);
  EXPECT_EQ(a.sntp_port, b.sntp_port);
  EXPECT_EQ(a.issued, b.issued);
  EXPECT_EQ(a.sample_period, b.sample_period);
  EXPECT_EQ(a.rows_per_record, b.rows_per_record);
}

Buffer encoded(const Provisioning& value) {
  Buffer block(kProvisioningBlockSize);
  const auto size = encode(value, block);
  EXPECT_TRUE(size.has_value());
  block.resize(size.value_or(0));
  return block;
}

Status decode_status(Bytes block) {
  const auto result = decode_provisioning(block);
  return result ? Status::kOk : result.error();
}

TEST(GoldenProvisioning, EncodesToTheBytesOfVersion1) {
  EXPECT_EQ(encoded(provisioning()), vector_of("provisioning/v1"));
  EXPECT_EQ(encoded(least()), vector_of("provisioning/v1_least"));
}

TEST(GoldenProvisioning, OfVersion1AndWithFieldsOfNewerOnesDecodesToTheSame) {
  for (const char* name : {"provisioning/v1", "provisioning/newer"}) {
    const Buffer block = vector_of(name);
    const auto decoded = decode_provisioning(block);
    ASSERT_TRUE(decoded.has_value()) << name;
    expect_same(*decoded, provisioning());
  }
  const Buffer block = vector_of("provisioning/v1_least");
  const auto decoded = decode_provisioning(block);
  ASSERT_TRUE(decoded.has_value());
  expect_same(*decoded, least());
}

TEST(Provisioning, IsFoundWhateverFollowsIt) {
  for (const std::uint8_t rest : std::array<std::uint8_t, 2>{0, 0xFF}) {
    Buffer storage = vector_of("provisioning/v1");
    storage.resize(2 * kProvisioningBlockSize, rest);
    const auto decoded = decode_provisioning(storage);
    ASSERT_TRUE(decoded.has_value());
    expect_same(*decoded, provisioning());
    EXPECT_EQ(provisioning_crc(storage), crc32(Bytes(vector_of("provisioning/v1")).subspan(16)));
  }
}

TEST(Provisioning, IsBlankOnStorageThatNobodyHasWritten) {
  EXPECT_EQ(decode_status(Buffer(kProvisioningBlockSize, 0xFF)), Status::kNotFound);
  EXPECT_EQ(decode_status(Buffer(kProvisioningBlockSize, 0)), Status::kNotFound);
}

TEST(Provisioning, ThatIsSomethingElseIsCorrupt) {
  EXPECT_EQ(decode_status(Buffer(kProvisioningBlockSize, 'x')), Status::kCorrupt);
  Buffer zero_behind(kProvisioningBlockSize, 0);
  zero_behind[3] = 1;
  EXPECT_EQ(decode_status(zero_behind), Status::kCorrupt);
}

TEST(Provisioning, WithAnyFlippedBitIsNeverTaken) {
  const Buffer whole = vector_of("provisioning/v1");
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    if (bit / 8 == 6 || bit / 8 == 7) continue;  // two spare bytes
    Buffer flipped = whole;
    flipped[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    flipped.resize(kProvisioningBlockSize, 0xFF);
    const bool in_version = bit / 8 == 4 || bit / 8 == 5;
    EXPECT_EQ(decode_status(flipped), in_version ? Status::kUnsupported : Status::kCorrupt) << "bit " << bit;
  }
}

TEST(Provisioning, ThatWasWrittenInPartIsCorrupt) {
  const Buffer whole = vector_of("provisioning/v1");
  for (const std::uint8_t before : std::array<std::uint8_t, 2>{0, 0xFF}) {
    for (std::size_t size = 1; size < whole.size(); ++size) {
      Buffer torn(kProvisioningBlockSize, before);
      std::copy_n(whole.begin(), size, torn.begin());
      if (torn[size] == whole[size]) continue;  // not torn here
      const Status status = decode_status(torn);
      EXPECT_TRUE(status == Status::kCorrupt || (size < 6 && status == Status::kUnsupported)) << size;
    }
  }
}

TEST(Provisioning, LongerThanWhatWasReadSaysSo) {
  const Buffer whole = vector_of("provisioning/v1");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(decode_status(Bytes(whole).first(size)), Status::kFull) << size;
  }
}

TEST(Provisioning, OfANewerVersionIsUnsupported) {
  Buffer block = vector_of("provisioning/v1");
  store_le(&block[4], std::uint16_t{2});
  EXPECT_EQ(decode_status(block), Status::kUnsupported);
}

TEST(Provisioning, ThatBreaksARuleIsMalformed) {
  const auto names = vectors_below("provisioning/malformed");
  EXPECT_GT(names.size(), 25U);
  for (const std::string& name : names) EXPECT_EQ(decode_status(vector_of(name)), Status::kMalformed) << name;
}

TEST(Provisioning, OfTheLargestSizesFits) {
  const std::string id(32, 'd');
  const std::string host(kHostSizeMax, 'h');
  const Buffer certificate(kCertificateSizeMax, 0x30);
  const Buffer key(kKeySizeMax, 0x30);
  const Provisioning largest{.device = id,
                             .broker_host = host,
                             .broker_port = 65535,
                             .server_name = host,
                             .ca = certificate,
                             .certificate = certificate,
                             .key = key,
                             .sntp_host = host,
                             .sntp_port = 65535,
                             .issued = {253'402'300'799'999},
                             .sample_period = std::chrono::hours{24},
                             .rows_per_record = 1024};
  ASSERT_EQ(check(largest), Status::kOk);
  const Buffer block = encoded(largest);
  const auto decoded = decode_provisioning(block);
  ASSERT_TRUE(decoded.has_value());
  expect_same(*decoded, largest);
  for (std::size_t size = 0; size < block.size(); ++size) {
    Buffer small(size);
    EXPECT_EQ(encode(largest, small).error(), Status::kFull);
  }
}

}  // namespace
}  // namespace godwit::codec
