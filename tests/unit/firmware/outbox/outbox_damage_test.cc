// SPDX-License-Identifier: Apache-2.0
// What damaged, foreign and older flash content does: flipped bits everywhere, and the golden image of each
// format version with its truncated, corrupt and newer variants.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "proto/base/crc32.h"
#include "tests/unit/firmware/outbox/outbox_rig.h"

namespace godwit::outbox {
namespace {

using test::OutboxRig;

constexpr ports::FlashGeometry kGeometry{
    .sector_size_bytes = 256, .sector_count = 3, .program_size_bytes = 8};
constexpr std::uint64_t kRecords = 17;

std::string text(std::uint64_t seq) { return "record " + std::to_string(seq) + std::string(seq, '.'); }

// Two full sectors and a bit of a third one. The golden image was made by it.
OutboxRig filled_rig() {
  OutboxRig rig(kGeometry);
  EXPECT_EQ(rig.box->mount(), Status::kOk);
  for (std::uint64_t seq = 1; seq <= kRecords; ++seq) EXPECT_EQ(rig.append(text(seq)), Status::kOk);
  EXPECT_EQ(rig.box->oldest_seq(), kFirstSeq);
  return rig;
}

// Reads the whole log: every record must be the one that was appended. The number that is lost.
std::uint64_t count_lost(OutboxRig& rig, std::uint64_t records) {
  // A bit that flips in the erased space behind the last record may be a torn one's: its seq is spent.
  EXPECT_GE(rig.box->next_seq().value, records + 1);
  EXPECT_LE(rig.box->next_seq().value, records + 2);
  std::uint64_t lost = 0;
  for (std::uint64_t seq = 1; seq <= records; ++seq) {
    const std::string found = rig.read(seq);
    if (found == text(seq)) continue;
    EXPECT_EQ(found, "lost 1 corrupt") << "at seq " << seq;
    ++lost;
  }
  return lost;
}

TEST(OutboxDamage, OneFlippedBitAnywhereCostsAtMostTheRecordItIsIn) {
  const auto image = filled_rig().flash.image();
  std::uint64_t lost_flips = 0;
  for (std::uint64_t bit = 0; bit < image.size() * 8; ++bit) {
    SCOPED_TRACE(testing::Message() << "bit " << bit);
    OutboxRig rig(kGeometry);
    rig.flash.load(image);
    rig.flash.flip_bit(bit / 8, bit % 8);
    ASSERT_EQ(rig.restart(), Status::kOk);
    const std::uint64_t lost = count_lost(rig, kRecords);
    ASSERT_LE(lost, 1U);
    ASSERT_EQ(rig.box->stats().corrupt_records, lost);
    lost_flips += lost;
    // Life goes on behind the damage, and a lost seq is not given again.
    const std::uint64_t next = rig.box->next_seq().value;
    ASSERT_EQ(rig.box->ack(Seq{9}), Status::kOk);
    ASSERT_EQ(rig.append(text(next)), Status::kOk);
    ASSERT_EQ(rig.restart(), Status::kOk);
    ASSERT_EQ(rig.read(next), text(next));
    ASSERT_FALSE(testing::Test::HasFailure());
  }
  EXPECT_GT(lost_flips, 0U);
  std::printf("%zu bits flipped, %llu of them cost a record\n", image.size() * 8,
              static_cast<unsigned long long>(lost_flips));
}

TEST(OutboxDamage, OfTheLastRecordNeverGivesItsSeqAgain) {
  const auto image = filled_rig().flash.image();
  std::size_t last_byte = image.size() - 1;
  while (image[last_byte] == 0xFF) --last_byte;
  const std::size_t begin = last_byte - text(kRecords).size() - 8 + 1;
  // Any two bits of it, and then all of it.
  for (std::size_t first = begin; first <= last_byte; ++first) {
    for (std::size_t second = first; second <= last_byte; ++second) {
      OutboxRig rig(kGeometry);
      rig.flash.load(image);
      rig.flash.flip_bit(first, first % 8);
      rig.flash.flip_bit(second, (second + 3) % 8);
      ASSERT_EQ(rig.restart(), Status::kOk);
      ASSERT_EQ(rig.box->next_seq().value, kRecords + 1) << first << " " << second;
      ASSERT_EQ(rig.read(kRecords), "lost 1 corrupt") << first << " " << second;
    }
  }
}

TEST(OutboxDamage, IsFoundWhileMountedToo) {
  OutboxRig rig = filled_rig();
  rig.box.emplace(rig.flash, rig.entropy);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  ASSERT_EQ(rig.box->peek(kFirstSeq)->kind, Entry::Kind::kRecord);
  rig.flash.flip_bit(56 + 8, 0);  // the first byte of record 1, which the cursor has checked already
  EXPECT_EQ(rig.read(1), "lost 1 corrupt");
  EXPECT_EQ(rig.read(2), text(2));
  EXPECT_EQ(rig.box->stats().corrupt_records, 1U);
}

TEST(OutboxDamage, OfASectorHeaderBeyondRepairIsALossOfItsRecordsOnly) {
  OutboxRig rig = filled_rig();
  for (const unsigned byte : {0U, 17U, 30U}) rig.flash.flip_bit(256 + byte, 3);
  ASSERT_EQ(rig.restart(), Status::kOk);
  EXPECT_EQ(rig.box->next_seq().value, kRecords + 1);
  std::uint64_t seq = 1;
  while (rig.read(seq) == text(seq)) ++seq;
  const auto loss = rig.box->peek(Seq{seq});
  ASSERT_TRUE(loss.has_value());
  EXPECT_EQ(loss->kind, Entry::Kind::kLoss);
  EXPECT_EQ(loss->reason, LossReason::kCorrupt);
  EXPECT_EQ(rig.box->stats().corrupt_records, loss->count);
  EXPECT_EQ(rig.read(seq + loss->count), text(seq + loss->count));
}

TEST(OutboxDamage, OfAllHeadersMakesANewLogWithANewEpoch) {
  OutboxRig rig = filled_rig();
  const Epoch before = rig.box->epoch();
  for (std::uint32_t sector = 0; sector < 3; ++sector) {
    for (const unsigned byte : {0U, 1U, 17U}) rig.flash.flip_bit(sector * 256 + byte, 3);
  }
  ASSERT_EQ(rig.restart(), Status::kOk);
  EXPECT_NE(rig.box->epoch(), before);
  EXPECT_EQ(rig.box->next_seq(), kFirstSeq);
  EXPECT_EQ(rig.append("again"), Status::kOk);
}

// --- Golden images ---

std::vector<std::uint8_t> load_golden(const char* name) {
  std::ifstream file(std::string(GODWIT_GOLDEN_DIR "/") + name);
  EXPECT_TRUE(file) << name;
  std::vector<std::uint8_t> bytes;
  for (unsigned value = 0; file >> std::hex >> value;) bytes.push_back(static_cast<std::uint8_t>(value));
  return bytes;
}

OutboxRig rig_with(Bytes image) {
  OutboxRig rig(kGeometry);
  rig.flash.load(image);
  return rig;
}

TEST(OutboxGolden, Version1StillMounts) {
  auto rig = rig_with(load_golden("v1.hex"));
  ASSERT_EQ(rig.restart(), Status::kOk);
  EXPECT_EQ(rig.box->epoch().value, 0xF0BAC1F8511F57BCU);
  EXPECT_EQ(count_lost(rig, kRecords), 0U);
  EXPECT_EQ(rig.append("more"), Status::kOk);
}

TEST(OutboxGolden, Version1IsStillWhatIsWritten) {
  EXPECT_EQ(filled_rig().flash.image(), load_golden("v1.hex"))
      << "a change of the format needs a new version";
}

TEST(OutboxGolden, TruncatedImageKeepsWhatIsThere) {
  const auto image = load_golden("v1.hex");
  auto rig = rig_with(Bytes(image).first(256 + 100));
  ASSERT_EQ(rig.restart(), Status::kOk);
  EXPECT_GT(rig.box->next_seq().value, 2U);
  const std::uint64_t last = rig.box->next_seq().value - 1;
  for (std::uint64_t seq = 1; seq < last; ++seq) EXPECT_EQ(rig.read(seq), text(seq));
  EXPECT_EQ(rig.read(last), "lost 1 corrupt") << "the one that the end of the image cuts";
}

TEST(OutboxGolden, CorruptImageGivesOnlyWhatVerifies) {
  auto image = load_golden("v1.hex");
  for (std::size_t i = 80; i < image.size(); i += 61) image[i] ^= 0x5A;
  auto rig = rig_with(image);
  ASSERT_EQ(rig.restart(), Status::kOk);
  for (std::uint64_t seq = 1; seq < rig.box->next_seq().value; ++seq) {
    const std::string found = rig.read(seq);
    EXPECT_TRUE(found == text(seq) || found.starts_with("lost")) << found;
  }
}

TEST(OutboxGolden, NewerVersionIsLeftUntouched) {
  auto image = load_golden("v1.hex");
  image[4] = 2;
  image[5] = static_cast<std::uint8_t>(~2);
  auto rig = rig_with(image);
  EXPECT_EQ(rig.restart(), Status::kUnsupported);
  EXPECT_EQ(rig.flash.image(), image);
}

}  // namespace
}  // namespace godwit::outbox
