// SPDX-License-Identifier: Apache-2.0
#include "firmware/outbox/outbox.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/unit/firmware/outbox/outbox_rig.h"

namespace godwit::outbox {
namespace {

using test::OutboxRig;

constexpr ports::FlashGeometry kSmall{.sector_size_bytes = 256, .sector_count = 4, .program_size_bytes = 4};
constexpr ports::FlashGeometry kTwoSectors{
    .sector_size_bytes = 256, .sector_count = 2, .program_size_bytes = 8};

// 64 bytes: two of them fill a sector of kSmall, and so do two in kTwoSectors.
std::string big(int number) { return std::to_string(1000 + number) + std::string(60, 'x'); }

TEST(OutboxMount, FormatsABlankFlashWithAnEpochThatStays) {
  OutboxRig rig(kSmall);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  const Epoch epoch = rig.box->epoch();
  EXPECT_NE(epoch.value, 0U);
  EXPECT_EQ(rig.box->next_seq(), kFirstSeq);
  EXPECT_EQ(rig.box->oldest_seq(), kFirstSeq);
  EXPECT_EQ(rig.read(1), "-");
  ASSERT_EQ(rig.restart(), Status::kOk);
  EXPECT_EQ(rig.box->epoch(), epoch);
}

TEST(OutboxMount, RefusesAGeometryThatCannotHoldALog) {
  OutboxRig rig({.sector_size_bytes = 64, .sector_count = 4, .program_size_bytes = 64});
  EXPECT_EQ(rig.box->mount(), Status::kInvalidArgument);
  EXPECT_EQ(rig.box->record_size_max(), 0U);
}

TEST(OutboxMount, LeavesTheLogOfAnotherGeometryUntouched) {
  OutboxRig rig(kSmall);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  const auto image = rig.flash.image();
  sim::SimFlash other({.sector_size_bytes = 256, .sector_count = 4, .program_size_bytes = 8});
  other.load(image);
  EXPECT_EQ(Outbox(other, rig.entropy).mount(), Status::kUnsupported);
  EXPECT_EQ(other.image(), image);
}

TEST(OutboxMount, ReportsABrokenFlashAndWorksOnceItIsWell) {
  OutboxRig rig(kSmall);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  ASSERT_EQ(rig.append("one"), Status::kOk);
  rig.flash.power_off();
  Outbox box(rig.flash, rig.entropy);
  EXPECT_EQ(box.mount(), Status::kIo);
  rig.flash.power_on();
  EXPECT_EQ(box.mount(), Status::kOk);
  EXPECT_EQ(box.next_seq().value, 2U);
}

TEST(OutboxMount, ReadsOneHeaderPerSectorAndOneSector) {
  OutboxRig rig({.sector_size_bytes = 4096, .sector_count = 64, .program_size_bytes = 8});
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  for (int i = 0; i < 5000; ++i) ASSERT_EQ(rig.append(big(i)), Status::kOk);
  const auto before = rig.flash.counts().bytes_read;
  ASSERT_EQ(rig.restart(), Status::kOk);
  constexpr std::uint64_t kHeaders =
      2 * 64 * 56;                             // once to find the newest, once to find how far back it goes
  constexpr std::uint64_t kSector = 3 * 4096;  // records and headers overlap in what is read ahead
  EXPECT_LE(rig.flash.counts().bytes_read - before, kHeaders + kSector);
}

TEST(OutboxAppend, KeepsRecordsOfEverySizeAcrossARestart) {
  OutboxRig rig({.sector_size_bytes = 1024, .sector_count = 64, .program_size_bytes = 16});
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  const std::size_t size_max = rig.box->record_size_max();
  EXPECT_EQ(size_max, 1024U - 64 - 8);
  std::vector<std::string> records;
  for (std::size_t size = 1; size <= size_max; size += 1 + size / 8) records.emplace_back(size, 'a');
  records.emplace_back(size_max, 'z');
  for (const auto& record : records) ASSERT_EQ(rig.append(record), Status::kOk);
  ASSERT_EQ(rig.restart(), Status::kOk);
  for (std::size_t i = 0; i < records.size(); ++i) EXPECT_EQ(rig.read(i + 1), records[i]);
}

TEST(OutboxAppend, RefusesWhatItCannotHold) {
  OutboxRig rig(kSmall);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  EXPECT_EQ(rig.append(""), Status::kInvalidArgument);
  EXPECT_EQ(rig.append(std::string(rig.box->record_size_max() + 1, 'x')), Status::kInvalidArgument);
  EXPECT_EQ(rig.box->next_seq(), kFirstSeq);
}

TEST(OutboxAppend, IsFlushedBeforeItSaysOk) {
  OutboxRig rig(kSmall);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  for (int i = 0; i < 10; ++i) {
    const auto before = rig.flash.counts().flushes;
    ASSERT_EQ(rig.append(big(i)), Status::kOk);
    EXPECT_GT(rig.flash.counts().flushes, before);
  }
}

TEST(OutboxRead, CopiesNothingIntoABufferThatIsTooSmallAndLosesNothing) {
  OutboxRig rig(kSmall);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  ASSERT_EQ(rig.append("four"), Status::kOk);
  std::array<std::uint8_t, 3> buffer{};
  EXPECT_EQ(rig.box->read(kFirstSeq, buffer).error(), Status::kInvalidArgument);
  EXPECT_EQ(rig.box->peek(kFirstSeq)->size_bytes, 4U);
  EXPECT_EQ(rig.read(1), "four");
}

TEST(OutboxRead, FindsAnySeqInAnyOrder) {
  OutboxRig rig(kSmall);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  for (int i = 1; i <= 8; ++i) ASSERT_EQ(rig.append(big(i)), Status::kOk);
  for (const std::uint64_t seq : {8U, 1U, 3U, 2U, 7U, 7U, 6U, 1U, 4U, 8U, 5U}) {
    EXPECT_EQ(rig.read(seq), big(static_cast<int>(seq)));
  }
}

TEST(OutboxRead, FollowsTheLogWhileItGrows) {
  OutboxRig rig(kSmall);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  for (int i = 1; i <= 50; ++i) {
    ASSERT_EQ(rig.append(big(i)), Status::kOk);
    EXPECT_EQ(rig.read(static_cast<std::uint64_t>(i)), big(i));
    EXPECT_EQ(rig.read(static_cast<std::uint64_t>(i) + 1), "-");
  }
}

TEST(OutboxRead, ReadsInOrderWithTwoPassesOverTheFlash) {
  OutboxRig rig({.sector_size_bytes = 4096, .sector_count = 16, .program_size_bytes = 8});
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  for (int i = 1; i <= 600; ++i) ASSERT_EQ(rig.append(big(i)), Status::kOk);
  const auto before = rig.flash.counts().bytes_read;
  for (std::uint64_t seq = 1; seq <= 600; ++seq) EXPECT_EQ(rig.read(seq), big(static_cast<int>(seq)));
  EXPECT_LE(rig.flash.counts().bytes_read - before, 600U * 72 * 4);
}

TEST(OutboxAck, ReclaimsWholeSectorsWithoutWriting) {
  OutboxRig rig(kTwoSectors);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  for (int i = 1; i <= 100; ++i) {
    ASSERT_EQ(rig.append(big(i)), Status::kOk);
    const auto before = rig.flash.counts().operations;
    ASSERT_EQ(rig.box->ack(rig.box->next_seq()), Status::kOk);
    EXPECT_EQ(rig.flash.counts().operations, before);
    EXPECT_EQ(rig.box->oldest_seq(), rig.box->next_seq());
  }
  EXPECT_EQ(rig.box->stats().dropped_records, 0U);
  EXPECT_EQ(rig.read(1), "lost 100 not held");
}

TEST(OutboxAck, KeepsThePositionOfAnEmptyLogAcrossARestart) {
  OutboxRig rig(kSmall);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  for (int i = 1; i <= 7; ++i) ASSERT_EQ(rig.append(big(i)), Status::kOk);
  ASSERT_EQ(rig.box->ack(Seq{8}), Status::kOk);
  ASSERT_EQ(rig.restart(), Status::kOk);
  EXPECT_EQ(rig.box->next_seq().value, 8U);
}

TEST(OutboxAck, IgnoresWhatIsLowerAndRefusesWhatWasNeverMade) {
  OutboxRig rig(kSmall);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  ASSERT_EQ(rig.append("one"), Status::kOk);
  EXPECT_EQ(rig.box->ack(Seq{3}), Status::kInvalidArgument);
  EXPECT_EQ(rig.box->ack(Seq{2}), Status::kOk);
  EXPECT_EQ(rig.box->ack(Seq{0}), Status::kOk);
  EXPECT_EQ(rig.box->oldest_seq().value, 2U);
}

TEST(OutboxFull, DropsTheOldestSectorAndCountsItInFlash) {
  OutboxRig rig(kSmall);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  for (int i = 1; i <= 9; ++i) ASSERT_EQ(rig.append(big(i)), Status::kOk);
  EXPECT_EQ(rig.box->oldest_seq().value, 3U);
  EXPECT_EQ(rig.box->stats().dropped_records, 2U);
  EXPECT_EQ(rig.read(1), "lost 2 dropped");
  EXPECT_EQ(rig.read(3), big(3));
  ASSERT_EQ(rig.restart(), Status::kOk);
  EXPECT_EQ(rig.box->stats().dropped_records, 2U);
  EXPECT_EQ(rig.read(2), "lost 1 dropped");
}

TEST(OutboxFull, DropsOnlyWhatWasNotAcked) {
  OutboxRig rig(kSmall);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  for (int i = 1; i <= 8; ++i) ASSERT_EQ(rig.append(big(i)), Status::kOk);
  ASSERT_EQ(rig.box->ack(Seq{2}), Status::kOk);
  ASSERT_EQ(rig.append(big(9)), Status::kOk);
  EXPECT_EQ(rig.box->stats().dropped_records, 1U);
  EXPECT_EQ(rig.read(1), "lost 1 not held");
  EXPECT_EQ(rig.read(2), "lost 1 dropped");
}

TEST(OutboxFailures, AreCountedAndLeaveTheSequenceAsItWas) {
  OutboxRig rig(kSmall);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  ASSERT_EQ(rig.append("one"), Status::kOk);
  rig.flash.power_off();
  EXPECT_EQ(rig.append("two"), Status::kIo);
  EXPECT_EQ(rig.append("two"), Status::kIo);
  EXPECT_EQ(rig.box->stats().refused_records, 2U);
  rig.flash.power_on();
  EXPECT_EQ(rig.append("two"), Status::kOk);
  EXPECT_EQ(rig.read(2), "two");
  EXPECT_EQ(rig.box->stats().refused_records, 2U);
}

TEST(OutboxFull, RefusesByPolicyUntilASectorIsAcked) {
  OutboxRig rig(kSmall, FullPolicy::kRefuse);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  int made = 0;
  while (rig.append(big(made + 1)) == Status::kOk) ++made;
  EXPECT_EQ(made, 6) << "one sector of four is kept free";
  EXPECT_EQ(rig.append(big(0)), Status::kFull);
  EXPECT_EQ(rig.box->stats().refused_records, 2U);
  ASSERT_EQ(rig.box->ack(Seq{2}), Status::kOk);
  EXPECT_EQ(rig.append(big(7)), Status::kFull) << "the sector still holds a record that is not acked";
  ASSERT_EQ(rig.box->ack(Seq{3}), Status::kOk);
  EXPECT_EQ(rig.append(big(7)), Status::kOk);
  for (int i = 3; i <= 7; ++i) EXPECT_EQ(rig.read(static_cast<std::uint64_t>(i)), big(i));
  EXPECT_EQ(rig.box->stats().dropped_records, 0U);
}

TEST(OutboxFull, WorksWithTwoSectorsInBothPolicies) {
  for (const FullPolicy policy : {FullPolicy::kDropOldest, FullPolicy::kRefuse}) {
    OutboxRig rig(kTwoSectors, policy);
    ASSERT_EQ(rig.box->mount(), Status::kOk);
    for (int i = 1; i <= 40; ++i) {
      Status status = rig.append(big(i));
      if (status == Status::kFull) {
        ASSERT_EQ(rig.box->ack(rig.box->next_seq()), Status::kOk);
        status = rig.append(big(i));
      }
      ASSERT_EQ(status, Status::kOk);
      ASSERT_EQ(rig.restart(), Status::kOk);
      EXPECT_EQ(rig.read(static_cast<std::uint64_t>(i)), big(i));
    }
  }
}

TEST(OutboxEpoch, ChangesForAllRecordsAndStaysAcrossARestart) {
  OutboxRig rig(kSmall);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  ASSERT_EQ(rig.append("before"), Status::kOk);
  const Epoch first = rig.box->epoch();
  ASSERT_EQ(rig.box->begin_epoch(), Status::kOk);
  const Epoch second = rig.box->epoch();
  EXPECT_NE(second, first);
  ASSERT_EQ(rig.append("after"), Status::kOk);
  ASSERT_EQ(rig.restart(), Status::kOk);
  EXPECT_EQ(rig.box->epoch(), second);
  EXPECT_EQ(rig.read(1), "before");
  EXPECT_EQ(rig.read(2), "after");
}

TEST(OutboxEpoch, CanBeBegunOnAFullLogThatRefuses) {
  OutboxRig rig(kSmall, FullPolicy::kRefuse);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  while (rig.append(big(1)) == Status::kOk) {
  }
  EXPECT_EQ(rig.box->begin_epoch(), Status::kOk);
  EXPECT_EQ(rig.box->oldest_seq(), kFirstSeq);
  EXPECT_EQ(rig.read(1), big(1));
}

TEST(OutboxWear, IsEvenOverTheSectors) {
  OutboxRig rig({.sector_size_bytes = 512, .sector_count = 7, .program_size_bytes = 8});
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  for (int i = 0; i < 3000; ++i) {
    ASSERT_EQ(rig.append(big(i)), Status::kOk);
    if (i % 100 == 0) {
      ASSERT_EQ(rig.restart(), Status::kOk);
    }
  }
  std::vector<std::uint32_t> erases;
  for (std::uint32_t i = 0; i < 7; ++i) erases.push_back(rig.flash.erases(i));
  const auto [least, most] = std::ranges::minmax(erases);
  EXPECT_LE(most - least, 1U);
}

}  // namespace
}  // namespace godwit::outbox
