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
using Texts = std::vector<std::string>;

constexpr ports::FlashGeometry kSmall{.sector_size_bytes = 512, .sector_count = 4, .program_size_bytes = 4};
constexpr ports::FlashGeometry kTwoSectors{
    .sector_size_bytes = 512, .sector_count = 2, .program_size_bytes = 8};

// 64 bytes: four of them fill a sector, three one that begins with a mark.
std::string big(std::uint64_t number) { return std::to_string(1000 + number) + std::string(60, 'x'); }

// Seqs 1 to `last`, of which 1 is the mark.
OutboxRig rig_with(const ports::FlashGeometry& geometry, std::uint64_t last,
                   FullPolicy policy = FullPolicy::kDropOldest) {
  OutboxRig rig(geometry, policy);
  EXPECT_EQ(rig.box->mount(), Status::kOk);
  for (std::uint64_t seq = 2; seq <= last; ++seq) EXPECT_EQ(rig.append(big(seq)), Status::kOk);
  return rig;
}

TEST(OutboxMount, FindsABlankFlashEmptyAndWritesNothing) {
  OutboxRig rig(kSmall);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  EXPECT_EQ(rig.box->epoch().value, 0U);
  EXPECT_EQ(rig.box->next_seq(), kFirstSeq);
  EXPECT_EQ(rig.box->oldest_seq(), kFirstSeq);
  EXPECT_EQ(rig.read(1), "-");
  EXPECT_TRUE(rig.marks().empty());
  EXPECT_EQ(rig.flash.counts().operations, 0U);
}

TEST(OutboxMount, RefusesAGeometryThatCannotHoldALog) {
  OutboxRig rig({.sector_size_bytes = 192, .sector_count = 4, .program_size_bytes = 64});
  EXPECT_EQ(rig.box->mount(), Status::kInvalidArgument);
  EXPECT_EQ(rig.box->record_size_max(), 0U);
  EXPECT_EQ(rig.append("one"), Status::kState);
}

TEST(OutboxMount, LeavesTheLogOfAnotherGeometryUntouched) {
  OutboxRig rig = rig_with(kSmall, 3);
  const auto image = rig.flash.image();
  for (const auto& geometry : {ports::FlashGeometry{512, 4, 8}, {512, 5, 4}, {1024, 4, 4}}) {
    sim::SimFlash other(geometry);
    other.load(image);
    const auto before = other.image();
    Outbox box(other, rig.entropy);
    EXPECT_EQ(box.mount(), Status::kUnsupported);
    EXPECT_EQ(box.append(as_bytes("one")), Status::kState);
    EXPECT_EQ(other.image(), before);
  }
}

TEST(OutboxMount, ReportsABrokenFlashAndWorksOnceItIsWell) {
  OutboxRig rig = rig_with(kSmall, 2);
  rig.flash.power_off();
  Outbox box(rig.flash, rig.entropy);
  EXPECT_EQ(box.mount(), Status::kIo);
  EXPECT_EQ(box.append(as_bytes("one")), Status::kState);
  rig.flash.power_on();
  EXPECT_EQ(box.mount(), Status::kOk);
  EXPECT_EQ(box.next_seq().value, 3U);
}

TEST(OutboxMount, ReadsOneHeaderPerSectorAndThreeSectors) {
  OutboxRig rig = rig_with({.sector_size_bytes = 4096, .sector_count = 64, .program_size_bytes = 8}, 5000);
  const auto before = rig.flash.counts().bytes_read;
  ASSERT_EQ(rig.restart(), Status::kOk);
  constexpr std::uint64_t kHeaders = (64 + 5) * 184;
  constexpr std::uint64_t kSectors = 3 * 2 * 4096;  // entries and headers overlap in what is read ahead
  EXPECT_LE(rig.flash.counts().bytes_read - before, kHeaders + kSectors);
}

TEST(OutboxAppend, KeepsRecordsOfEverySizeAcrossARestart) {
  OutboxRig rig({.sector_size_bytes = 1024, .sector_count = 64, .program_size_bytes = 16});
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  const std::size_t size_max = rig.box->record_size_max();
  EXPECT_EQ(size_max, 1024U - 192 - 8);
  Texts records;
  for (std::size_t size = 1; size <= size_max; size += 1 + size / 8) records.emplace_back(size, 'a');
  records.emplace_back(size_max, 'z');
  for (const auto& record : records) ASSERT_EQ(rig.append(record), Status::kOk);
  ASSERT_EQ(rig.restart(), Status::kOk);
  EXPECT_EQ(rig.records(), records);
}

TEST(OutboxAppend, RefusesWhatItCannotHold) {
  OutboxRig rig(kSmall);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  EXPECT_EQ(rig.append(""), Status::kInvalidArgument);
  EXPECT_EQ(rig.append(std::string(rig.box->record_size_max() + 1, 'x')), Status::kInvalidArgument);
  EXPECT_EQ(rig.box->next_seq(), kFirstSeq);
  EXPECT_EQ(Outbox(rig.flash, rig.entropy).append(as_bytes("one")), Status::kState) << "not mounted";
}

TEST(OutboxAppend, IsFlushedBeforeItSaysOk) {
  OutboxRig rig(kSmall);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  for (std::uint64_t i = 0; i < 10; ++i) {
    const auto before = rig.flash.counts().flushes;
    ASSERT_EQ(rig.append(big(i)), Status::kOk);
    EXPECT_GT(rig.flash.counts().flushes, before);
  }
}

TEST(OutboxMark, IsWrittenByTheFirstAppendOfEachMountAndSeqsRunOn) {
  OutboxRig rig(kSmall);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  ASSERT_EQ(rig.append("a"), Status::kOk);
  const Epoch first = rig.box->epoch();
  ASSERT_EQ(rig.append("b"), Status::kOk);
  ASSERT_EQ(rig.restart(), Status::kOk);
  EXPECT_EQ(rig.box->epoch().value, 0U) << "this mount has written nothing";
  EXPECT_EQ(rig.box->next_seq().value, 4U);
  ASSERT_EQ(rig.append("c"), Status::kOk);
  const Epoch second = rig.box->epoch();
  EXPECT_NE(second, first);
  EXPECT_EQ(rig.read_all(), (Texts{"mark", "a", "b", "mark", "c"}));
  EXPECT_EQ(rig.box->peek(Seq{1})->epoch, first);
  EXPECT_EQ(rig.box->peek(Seq{4})->epoch, second);
  const std::vector<Mark> both = {{second, Seq{4}}, {first, Seq{1}}};
  EXPECT_EQ(rig.marks(), both);
  EXPECT_EQ(rig.marks(4), std::vector<Mark>{both[1]});
  EXPECT_TRUE(rig.marks(1).empty());
  ASSERT_EQ(rig.restart(), Status::kOk);
  EXPECT_EQ(rig.marks(), both);
  EXPECT_EQ(rig.read_all(), (Texts{"mark", "a", "b", "mark", "c"}));
}

TEST(OutboxMark, OutlivesItsEntryInTheSectorHeaders) {
  OutboxRig rig(kTwoSectors);
  std::vector<Mark> written;
  for (std::uint64_t mount = 0; mount < 12; ++mount) {
    ASSERT_EQ(rig.restart(), Status::kOk);
    const Seq seq = rig.box->next_seq();
    for (std::uint64_t i = 0; i < 3; ++i) ASSERT_EQ(rig.append(big(i)), Status::kOk);
    written.insert(written.begin(), Mark{rig.box->epoch(), seq});
    if (written.size() > Outbox::kMarksKept) written.pop_back();
    EXPECT_EQ(rig.marks(), written);
    ASSERT_EQ(rig.restart(), Status::kOk);
    EXPECT_EQ(rig.marks(), written);
    // Older ones, when asked for: what the sector knows that they are in front of.
    for (std::size_t i = 0; i + 1 < written.size(); ++i) {
      const auto older = rig.marks(written[i].first_seq.value);
      ASSERT_FALSE(older.empty());
      EXPECT_EQ(older.front(), written[i + 1]);
    }
  }
}

TEST(OutboxMark, MoreThanAreKeptInOneSectorAreAllFound) {
  OutboxRig rig({.sector_size_bytes = 4096, .sector_count = 2, .program_size_bytes = 8});
  std::vector<Mark> written;
  for (int mount = 0; mount < 20; ++mount) {
    ASSERT_EQ(rig.restart(), Status::kOk);
    const Seq seq = rig.box->next_seq();
    ASSERT_EQ(rig.append("x"), Status::kOk);
    written.insert(written.begin(), Mark{rig.box->epoch(), seq});
  }
  std::vector<Mark> found;
  for (auto older = rig.marks(); !older.empty(); older = rig.marks(found.back().first_seq.value)) {
    found.insert(found.end(), older.begin(), older.end());
  }
  EXPECT_EQ(found, written);
  const auto texts = rig.read_all();
  EXPECT_EQ(std::ranges::count(texts, std::string("mark")), 20);
}

// Entropy that can fail, or yields the same again and again.
class BadEntropy final : public ports::Entropy {
 public:
  Status fill(MutableBytes out) override {
    std::ranges::fill(out, value);
    return status;
  }
  Status status = Status::kOk;
  std::uint8_t value = 7;
};

TEST(OutboxMark, IsNeverRepeatedAndWithoutOneNothingIsRecorded) {
  OutboxRig rig(kSmall);
  BadEntropy entropy;
  const auto restart = [&] {
    rig.box.emplace(rig.flash, entropy);
    return rig.box->mount();
  };
  ASSERT_EQ(restart(), Status::kOk);
  entropy.status = Status::kIo;
  EXPECT_EQ(rig.append("lost"), Status::kIo);
  EXPECT_EQ(rig.box->epoch().value, 0U);
  EXPECT_EQ(rig.box->next_seq(), kFirstSeq);
  entropy.status = Status::kOk;
  EXPECT_EQ(rig.append("a"), Status::kOk) << "it is asked again";
  EXPECT_EQ(rig.read_all(), (Texts{"mark", "refused 1 flash", "a"}));
  ASSERT_EQ(restart(), Status::kOk);
  EXPECT_EQ(rig.append("again"), Status::kIo) << "the same nonce";
  entropy.value = 0;
  EXPECT_EQ(rig.append("zero"), Status::kIo);
  EXPECT_EQ(rig.box->stats().refused_records, 2U);
  entropy.value = 8;
  EXPECT_EQ(rig.append("b"), Status::kOk);
  EXPECT_EQ(rig.read_all(), (Texts{"mark", "refused 1 flash", "a", "mark", "refused 2 flash", "b"}));
}

TEST(OutboxRead, CopiesNothingIntoABufferThatIsTooSmallAndLosesNothing) {
  OutboxRig rig(kSmall);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  ASSERT_EQ(rig.append("four"), Status::kOk);
  std::array<std::uint8_t, 3> buffer{};
  EXPECT_EQ(rig.box->read(Seq{2}, buffer).error(), Status::kInvalidArgument);
  EXPECT_EQ(rig.box->peek(Seq{2})->size_bytes, 4U);
  EXPECT_EQ(rig.read(2), "four");
}

TEST(OutboxRead, FindsAnySeqInAnyOrder) {
  OutboxRig rig = rig_with(kSmall, 12);
  for (const std::uint64_t seq : {8U, 2U, 3U, 2U, 7U, 7U, 6U, 12U, 4U, 8U, 5U, 11U, 9U}) {
    EXPECT_EQ(rig.read(seq), big(seq));
  }
}

TEST(OutboxRead, FollowsTheLogWhileItGrows) {
  OutboxRig rig(kSmall);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  for (std::uint64_t seq = 2; seq <= 50; ++seq) {
    ASSERT_EQ(rig.append(big(seq)), Status::kOk);
    EXPECT_EQ(rig.read(seq), big(seq));
    EXPECT_EQ(rig.read(seq + 1), "-");
  }
}

TEST(OutboxRead, ReadsInOrderWithTwoPassesOverTheFlash) {
  OutboxRig rig = rig_with({.sector_size_bytes = 4096, .sector_count = 16, .program_size_bytes = 8}, 600);
  const auto before = rig.flash.counts().bytes_read;
  for (std::uint64_t seq = 2; seq <= 600; ++seq) EXPECT_EQ(rig.read(seq), big(seq));
  EXPECT_LE(rig.flash.counts().bytes_read - before, 600U * 72 * 4);
}

TEST(OutboxRead, GoesBackInALargeLogWithFewReads) {
  OutboxRig rig = rig_with({.sector_size_bytes = 512, .sector_count = 4096, .program_size_bytes = 8}, 15000);
  EXPECT_EQ(rig.read(14000), big(14000));
  auto before = rig.flash.counts().reads;
  EXPECT_EQ(rig.read(13992), big(13992));
  EXPECT_LE(rig.flash.counts().reads - before, 60U);
  before = rig.flash.counts().reads;
  EXPECT_EQ(rig.read(2), big(2));
  EXPECT_LE(rig.flash.counts().reads - before, 60U);
}

TEST(OutboxAck, ReclaimsWithoutWritingAndWhatIsHeldIsServedOn) {
  OutboxRig rig(kTwoSectors);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  for (std::uint64_t seq = 2; seq <= 100; ++seq) {
    ASSERT_EQ(rig.append(big(seq)), Status::kOk);
    const auto before = rig.flash.counts().operations;
    ASSERT_EQ(rig.box->ack(rig.box->next_seq()), Status::kOk);
    EXPECT_EQ(rig.flash.counts().operations, before);
    EXPECT_EQ(rig.read(seq), big(seq));
  }
  EXPECT_EQ(rig.box->stats().dropped_records, 0U);
  const std::uint64_t oldest = rig.box->oldest_seq().value;
  EXPECT_EQ(rig.read(1), "lost " + std::to_string(oldest - 1) + " not held");
  for (std::uint64_t seq = oldest; seq <= 100; ++seq) EXPECT_EQ(rig.read(seq), big(seq));
  ASSERT_EQ(rig.restart(), Status::kOk);
  for (std::uint64_t seq = oldest; seq <= 100; ++seq) EXPECT_EQ(rig.read(seq), big(seq));
}

TEST(OutboxAck, MovesTheReclaimMarkBothWaysButNotBeyondWhatIsThere) {
  OutboxRig rig = rig_with(kSmall, 14);
  EXPECT_EQ(rig.box->ack(Seq{16}), Status::kInvalidArgument);
  EXPECT_EQ(rig.box->ack(Seq{15}), Status::kOk);
  EXPECT_EQ(rig.box->ack(Seq{0}), Status::kOk) << "back: nothing of it is safe elsewhere any more";
  const std::uint64_t oldest = rig.box->oldest_seq().value;
  while (rig.box->oldest_seq().value == oldest) {
    ASSERT_EQ(rig.append(big(rig.box->next_seq().value)), Status::kOk);
  }
  EXPECT_EQ(rig.box->stats().dropped_records, rig.box->oldest_seq() - Seq{oldest});
  EXPECT_TRUE(rig.read(oldest).ends_with("dropped"));
}

TEST(OutboxFull, DropsTheOldestSectorAndCountsItInFlash) {
  OutboxRig rig = rig_with(kSmall, 16);  // 4 + 4 + 4 + 4
  EXPECT_EQ(rig.box->oldest_seq(), kFirstSeq);
  ASSERT_EQ(rig.append(big(17)), Status::kOk);
  EXPECT_EQ(rig.box->oldest_seq().value, 5U);
  EXPECT_EQ(rig.box->stats().dropped_records, 4U);
  EXPECT_EQ(rig.read(1), "lost 4 dropped");
  EXPECT_EQ(rig.read(5), big(5));
  ASSERT_EQ(rig.restart(), Status::kOk);
  EXPECT_EQ(rig.box->stats().dropped_records, 4U);
  EXPECT_EQ(rig.read(2), "lost 3 dropped");
}

TEST(OutboxFull, DropsOnlyWhatWasNotAcked) {
  OutboxRig rig = rig_with(kSmall, 16);
  ASSERT_EQ(rig.box->ack(Seq{3}), Status::kOk);
  ASSERT_EQ(rig.append(big(17)), Status::kOk);
  EXPECT_EQ(rig.box->stats().dropped_records, 2U);
  EXPECT_EQ(rig.read(1), "lost 2 not held");
  EXPECT_EQ(rig.read(3), "lost 2 dropped");
}

TEST(OutboxFull, RefusesByPolicyUntilASectorIsAckedAndSaysHowManyItRefused) {
  OutboxRig rig(kSmall, FullPolicy::kRefuse);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  std::uint64_t last = 1;
  while (rig.append(big(last + 1)) == Status::kOk) ++last;
  EXPECT_EQ(last, 16U);
  EXPECT_EQ(rig.append(big(0)), Status::kFull);
  EXPECT_EQ(rig.box->stats().refused_records, 2U);
  ASSERT_EQ(rig.box->ack(Seq{4}), Status::kOk);
  EXPECT_EQ(rig.append(big(0)), Status::kFull) << "the sector still holds a record that is not acked";
  EXPECT_EQ(rig.box->next_seq().value, 17U) << "what was refused spends nothing";
  ASSERT_EQ(rig.box->ack(Seq{5}), Status::kOk);
  EXPECT_EQ(rig.append(big(18)), Status::kOk);
  EXPECT_EQ(rig.read(17), "refused 3 full");
  for (std::uint64_t seq = 5; seq <= 18; ++seq) {
    if (seq == 17) continue;
    EXPECT_EQ(rig.read(seq), big(seq));
  }
  EXPECT_EQ(rig.box->stats().dropped_records, 0U);
  EXPECT_EQ(rig.append(big(19)), Status::kOk);
  EXPECT_EQ(rig.read(19), big(19)) << "said once";
}

TEST(OutboxFull, WorksWithTwoSectorsInBothPolicies) {
  for (const FullPolicy policy : {FullPolicy::kDropOldest, FullPolicy::kRefuse}) {
    OutboxRig rig(kTwoSectors, policy);
    ASSERT_EQ(rig.box->mount(), Status::kOk);
    for (std::uint64_t i = 1; i <= 40; ++i) {
      Status status = rig.append(big(i));
      if (status == Status::kFull) {
        ASSERT_EQ(rig.box->ack(rig.box->next_seq()), Status::kOk);
        status = rig.append(big(i));
      }
      ASSERT_EQ(status, Status::kOk);
      ASSERT_EQ(rig.restart(), Status::kOk);
      EXPECT_EQ(rig.read(rig.box->next_seq().value - 1), big(i));
    }
  }
}

// Two places are tried, then the active sector itself is erased: what only it holds is nowhere for a moment.
// Two erases of the other place fail, and no more. The active sector, the only one left, is not erased for that:
// were the power cut there, nothing would know of what was not acked.
TEST(OutboxFailures, OfErasesDoNotCostWhatIsNotAcked) {
  OutboxRig rig(kTwoSectors);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  while (rig.flash.erases(1) == 0) ASSERT_EQ(rig.append(big(1)), Status::kOk);
  const sim::SimFlash sound = rig.flash;
  rig.flash.break_sector(0, {.erase = Status::kIo});
  while (rig.append(big(1)) == Status::kOk) {
  }
  EXPECT_EQ(rig.flash.erases(1), 1U);
  const Seq next = rig.box->next_seq();
  const auto image = rig.flash.image();
  rig.flash = sound;
  rig.flash.load(image);
  EXPECT_EQ(rig.append(big(1)), Status::kOk) << "the other place is tried again";
  ASSERT_EQ(rig.restart(), Status::kOk);
  EXPECT_GT(rig.box->next_seq(), next);
  EXPECT_EQ(rig.read(next.value - 1), big(1)) << "not acked, and still there";
}

TEST(OutboxFailures, AreCountedAndReportedInFrontOfTheNextSuccess) {
  OutboxRig rig(kSmall);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  ASSERT_EQ(rig.append("one"), Status::kOk);
  rig.flash.power_off();
  EXPECT_EQ(rig.append("two"), Status::kIo);
  EXPECT_EQ(rig.append("three"), Status::kIo);
  EXPECT_EQ(rig.box->stats().refused_records, 2U);
  EXPECT_EQ(rig.box->next_seq().value, 3U);
  rig.flash.power_on();
  EXPECT_EQ(rig.append("four"), Status::kOk);
  EXPECT_EQ(rig.read_all(), (Texts{"mark", "one", "refused 2 flash", "four"}));
  EXPECT_EQ(rig.box->refused_untold(), 0U);
  EXPECT_EQ(rig.box->stats().refused_records, 2U);
  EXPECT_EQ(rig.box->oldest_seq(), kFirstSeq) << "nothing was given up for a flash that does not answer";
  ASSERT_EQ(rig.restart(), Status::kOk);
  EXPECT_EQ(rig.read_all(), (Texts{"mark", "one", "refused 2 flash", "four"}));
}

// A board that is reset as its storage fails keeps the number in RAM.
TEST(OutboxFailures, OfBeforeAResetAreReportedToo) {
  OutboxRig rig(kSmall);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  ASSERT_EQ(rig.append("one"), Status::kOk);
  rig.flash.power_off();
  EXPECT_EQ(rig.append("two"), Status::kIo);
  EXPECT_EQ(rig.append("three"), Status::kIo);
  const std::uint32_t untold = rig.box->refused_untold();
  rig.flash.power_on();
  ASSERT_EQ(rig.restart(), Status::kOk);
  EXPECT_EQ(rig.box->refused_untold(), 0U);
  rig.box->add_refused(untold);
  rig.flash.power_off();
  EXPECT_EQ(rig.append("four"), Status::kIo);
  rig.flash.power_on();
  EXPECT_EQ(rig.append("five"), Status::kOk);
  EXPECT_EQ(rig.read_all(), (Texts{"mark", "one", "mark", "refused 3 flash", "five"}));
  EXPECT_EQ(rig.box->stats().refused_records, 1U) << "since the mount";
}

TEST(OutboxFailures, OfAReadingFlashAreNotTakenForDamage) {
  OutboxRig rig = rig_with(kSmall, 6);
  rig.flash.power_off();
  for (std::uint64_t seq = 1; seq <= 6; ++seq) EXPECT_EQ(rig.read(seq), "failed");
  std::array<Mark, 8> marks;
  EXPECT_EQ(rig.box->marks_before(Seq{1}, marks).error(), Status::kIo);
  EXPECT_EQ(rig.box->marks_before(Seq{7}, marks), 1U) << "the newest ones are in memory";
  rig.flash.power_on();
  for (std::uint64_t seq = 2; seq <= 6; ++seq) EXPECT_EQ(rig.read(seq), big(seq));
  EXPECT_EQ(rig.box->stats().corrupt_records, 0U);
}

TEST(OutboxWear, IsEvenOverTheSectors) {
  OutboxRig rig({.sector_size_bytes = 512, .sector_count = 7, .program_size_bytes = 8});
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  for (std::uint64_t i = 0; i < 3000; ++i) {
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
