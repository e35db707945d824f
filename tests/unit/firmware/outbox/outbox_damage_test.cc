// SPDX-License-Identifier: Apache-2.0
// What damaged, foreign and older flash content does: flipped bits everywhere, and the golden image of the
// format with its truncated, corrupt and newer variants.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "tests/unit/firmware/outbox/outbox_rig.h"

namespace godwit::outbox {
namespace {

using test::OutboxRig;

constexpr ports::FlashGeometry kGeometry{
    .sector_size_bytes = 512, .sector_count = 3, .program_size_bytes = 8};
constexpr std::uint64_t kLast = 21;
constexpr std::uint64_t kSecondMark = 13;

// What stands at `seq` in the log of filled_rig().
std::string text(std::uint64_t seq) {
  if (seq == 1 || seq == kSecondMark) return "mark";
  return "record " + std::to_string(seq) + std::string(seq, '.');
}

// Two full sectors and a bit of a third one, over two mounts. The golden image was made by it.
OutboxRig filled_rig() {
  OutboxRig rig(kGeometry);
  for (std::uint64_t seq = 2; seq <= kLast; ++seq) {
    if (seq == 2 || seq == kSecondMark) {
      EXPECT_EQ(rig.restart(), Status::kOk);
    }
    if (seq == kSecondMark) continue;
    EXPECT_EQ(rig.append(text(seq)), Status::kOk);
  }
  EXPECT_EQ(rig.box->next_seq().value, kLast + 1);
  EXPECT_EQ(rig.box->oldest_seq(), kFirstSeq);
  return rig;
}

// Reads the whole log: every entry must be the one that was appended, or reported. The seqs that are lost.
std::vector<std::uint64_t> lost_seqs(OutboxRig& rig) {
  // A bit that flips in the erased space behind the last entry may be a torn one's: its seq is spent.
  EXPECT_GE(rig.box->next_seq().value, kLast + 1);
  EXPECT_LE(rig.box->next_seq().value, kLast + 2);
  EXPECT_EQ(rig.box->oldest_seq(), kFirstSeq);
  std::vector<std::uint64_t> lost;
  for (std::uint64_t seq = 1; seq <= kLast; ++seq) {
    const std::string found = rig.read(seq);
    if (found == text(seq)) continue;
    EXPECT_TRUE(found.starts_with("lost ") && found.ends_with("corrupt")) << found << " at seq " << seq;
    lost.push_back(seq);
  }
  return lost;
}

// Life goes on behind the damage, and nothing is given again.
void expect_to_go_on(OutboxRig& rig) {
  const std::uint64_t next = rig.box->next_seq().value;
  ASSERT_EQ(rig.box->ack(Seq{9}), Status::kOk);
  ASSERT_EQ(rig.append("on"), Status::kOk);
  ASSERT_EQ(rig.restart(), Status::kOk);
  ASSERT_EQ(rig.read(next), "mark");
  ASSERT_EQ(rig.read(next + 1), "on");
}

TEST(OutboxDamage, OneFlippedBitAnywhereCostsAtMostTheEntryItIsIn) {
  const auto image = filled_rig().flash.image();
  std::uint64_t lost_flips = 0;
  for (std::uint64_t bit = 0; bit < image.size() * 8; ++bit) {
    SCOPED_TRACE(testing::Message() << "bit " << bit);
    OutboxRig rig(kGeometry);
    rig.flash.load(image);
    rig.flash.flip_bit(bit / 8, bit % 8);
    ASSERT_EQ(rig.restart(), Status::kOk);
    const auto lost = lost_seqs(rig);
    ASSERT_LE(lost.size(), 1U);
    if (!lost.empty()) {
      EXPECT_NE(text(lost[0]), "mark") << "it stands there twice";
    }
    ASSERT_GE(rig.box->stats().corrupt_records, lost.size());
    lost_flips += lost.size();
    expect_to_go_on(rig);
    ASSERT_FALSE(testing::Test::HasFailure());
  }
  EXPECT_GT(lost_flips, 0U);
  std::printf("%zu bits flipped, %llu of them cost a record\n", image.size() * 8,
              static_cast<unsigned long long>(lost_flips));
}

TEST(OutboxDamage, OneUnreadableUnitCostsAtMostTheEntryItIsIn) {
  const auto image = filled_rig().flash.image();
  for (const Status status : {Status::kCorrupt, Status::kIo}) {
    for (std::uint64_t unit = 0; unit < image.size(); unit += kGeometry.program_size_bytes) {
      SCOPED_TRACE(testing::Message() << "unit at " << unit << ", " << to_string(status));
      OutboxRig rig(kGeometry);
      rig.flash.load(image);
      rig.flash.break_unit(unit, {.read = status});
      ASSERT_EQ(rig.restart(), Status::kOk);
      ASSERT_LE(lost_seqs(rig).size(), 1U);
      expect_to_go_on(rig);
      ASSERT_FALSE(testing::Test::HasFailure());
    }
  }
}

// It stands there once, and in the header behind it.
TEST(OutboxDamage, OfAMarkAtTheEndOfASectorCostsNothing) {
  OutboxRig rig(kGeometry);
  ASSERT_EQ(rig.restart(), Status::kOk);
  ASSERT_EQ(rig.append(std::string(240, '.')), Status::kOk);
  ASSERT_EQ(rig.restart(), Status::kOk);
  ASSERT_EQ(rig.append("behind"), Status::kOk);
  const Mark mark{rig.box->epoch(), Seq{3}};
  rig.flash.break_unit(kGeometry.sector_size_bytes - 8, {.read = Status::kCorrupt});
  for (const bool restarts : {false, true}) {
    if (restarts) {
      ASSERT_EQ(rig.restart(), Status::kOk);
    }
    EXPECT_EQ(rig.read(3), "mark");
    EXPECT_EQ(rig.box->peek(Seq{3})->epoch, mark.epoch);
    EXPECT_EQ(rig.read(4), "behind");
    EXPECT_EQ(rig.marks().front(), mark);
    EXPECT_EQ(rig.marks(4).front(), mark);
    EXPECT_EQ(rig.box->stats().corrupt_records, 0U);
  }
}

// The marks by their pages, as a hello names them.
std::vector<Mark> named_marks(OutboxRig& rig) {
  std::vector<Mark> named;
  for (auto page = rig.marks(); !page.empty(); page = rig.marks(named.back().first_seq.value)) {
    named.insert(named.end(), page.begin(), page.end());
  }
  return named;
}

// Else the gateway, which knows of no such mark, asks for a hello, and is told the same, for ever.
void expect_served_marks_are_named(OutboxRig& rig) {
  const std::vector<Mark> named = named_marks(rig);
  for (Seq seq = rig.box->oldest_seq(); seq < rig.box->next_seq();) {
    const auto entry = rig.box->peek(seq);
    ASSERT_TRUE(entry.has_value());
    if (entry->kind == Kind::kMark) {
      EXPECT_EQ(std::ranges::count(named, Mark{entry->epoch, seq}), 1) << "seq " << seq.value;
    }
    seq = seq + (entry->kind == Kind::kLoss ? entry->count : 1);
  }
}

TEST(OutboxDamage, OfATornMarkThatVerifiesAfterManyRestartsIsAMarkOnlyIfItIsNamed) {
  OutboxRig rig({.sector_size_bytes = 1024, .sector_count = 3, .program_size_bytes = 8});
  ASSERT_EQ(rig.restart(), Status::kOk);
  ASSERT_EQ(rig.append("before"), Status::kOk);
  ASSERT_EQ(rig.restart(), Status::kOk);
  rig.flash.arm({.operation = 2, .tear = sim::Tear::kGarbage});  // the last unit of the mark
  ASSERT_EQ(rig.append("never"), Status::kIo);
  ASSERT_EQ(rig.restart(), Status::kOk);
  ASSERT_EQ(rig.append(std::string(600, '.')), Status::kOk);
  for (std::size_t i = 0; i <= Outbox::kMarksKept; ++i) {
    ASSERT_EQ(rig.restart(), Status::kOk);
    ASSERT_EQ(rig.append("x"), Status::kOk);
  }
  expect_served_marks_are_named(rig);
  rig.flash.complete_tear();  // cells that were charged halfway read as they were meant
  expect_served_marks_are_named(rig);
  ASSERT_EQ(rig.restart(), Status::kOk);
  expect_served_marks_are_named(rig);
}

TEST(OutboxDamage, OfBothCopiesOfTheNewestMarkWhileRunningLeavesItNamed) {
  OutboxRig rig(kGeometry);
  ASSERT_EQ(rig.restart(), Status::kOk);
  ASSERT_EQ(rig.append("a"), Status::kOk);
  for (std::uint64_t at = 184; at < 184 + 48; at += 8) {
    rig.flash.break_unit(at, {.read = Status::kCorrupt});
  }
  EXPECT_EQ(rig.read(1), "mark");
  expect_served_marks_are_named(rig);
}

TEST(OutboxDamage, OfASectorHeaderCostsNothing) {
  for (std::uint32_t sector = 0; sector < 3; ++sector) {
    OutboxRig rig = filled_rig();
    for (const unsigned byte : {0U, 21U, 30U}) rig.flash.flip_bit(sector * 512 + byte, 3);
    ASSERT_EQ(rig.restart(), Status::kOk);
    EXPECT_TRUE(lost_seqs(rig).empty()) << "sector " << sector;
    expect_to_go_on(rig);
  }
}

TEST(OutboxDamage, OfTheOnlySectorHeaderCostsNothing) {
  OutboxRig rig(kGeometry);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  for (std::uint64_t seq = 2; seq <= 6; ++seq) ASSERT_EQ(rig.append(text(seq)), Status::kOk);
  for (const unsigned byte : {0U, 21U, 30U}) rig.flash.flip_bit(byte, 3);
  ASSERT_EQ(rig.restart(), Status::kOk);
  for (std::uint64_t seq = 1; seq <= 6; ++seq) EXPECT_EQ(rig.read(seq), text(seq));
  ASSERT_EQ(rig.append("on"), Status::kOk);
  ASSERT_EQ(rig.restart(), Status::kOk);
  for (std::uint64_t seq = 1; seq <= 6; ++seq) EXPECT_EQ(rig.read(seq), text(seq));
  EXPECT_EQ(rig.read(8), "on");
}

// Of every sector but the last, all that the log hangs on: its header and both copies of the mark behind it.
TEST(OutboxDamage, OfAllThatNamesASectorCostsNoneBehindIt) {
  for (std::uint32_t damaged = 1; damaged <= 2; ++damaged) {
    OutboxRig rig({.sector_size_bytes = 512, .sector_count = 6, .program_size_bytes = 8});
    // The first flip closes a sector at the next mount, so each mount begins one, with a mark.
    for (std::uint32_t sector = 0; sector <= damaged; ++sector) {
      ASSERT_EQ(rig.restart(), Status::kOk);
      ASSERT_EQ(rig.append("record " + std::to_string(sector)), Status::kOk);
      rig.flash.flip_bit(sector * 512 + 100, 3);
    }
    const Seq next = rig.box->next_seq();
    for (std::uint32_t sector = 0; sector < damaged; ++sector) {
      for (const std::uint32_t byte : {192U, 216U}) rig.flash.flip_bit(sector * 512 + byte, 3);
    }
    ASSERT_EQ(rig.restart(), Status::kOk);
    EXPECT_EQ(rig.box->next_seq(), next) << damaged;
    EXPECT_EQ(rig.records(), std::vector<std::string>{"record " + std::to_string(damaged)});
  }
}

TEST(OutboxDamage, OfAllThatWasThereIsSaidByALogThatBeginsAnew) {
  OutboxRig rig(kGeometry);
  ASSERT_EQ(rig.box->mount(), Status::kOk);
  ASSERT_EQ(rig.append("gone"), Status::kOk);
  for (const std::uint32_t byte : {100U, 192U, 216U}) rig.flash.flip_bit(byte, 3);
  ASSERT_EQ(rig.restart(), Status::kOk);
  ASSERT_EQ(rig.append("on"), Status::kOk);
  EXPECT_EQ(rig.box->oldest_seq().value, 2U);
  EXPECT_EQ(rig.read(1), "lost 1 dropped");
  EXPECT_EQ(rig.read(3), "on");
  ASSERT_EQ(rig.restart(), Status::kOk);
  EXPECT_EQ(rig.box->oldest_seq().value, 2U);
  EXPECT_EQ(rig.read(3), "on");
}

TEST(OutboxDamage, OfTheLastRecordNeverGivesItsSeqAgain) {
  const auto image = filled_rig().flash.image();
  std::size_t last_byte = image.size() - 1;
  while (image[last_byte] == 0xFF) --last_byte;
  const std::size_t begin = last_byte - text(kLast).size() - 8 + 1;
  // Any two bits of it.
  for (std::size_t first = begin; first <= last_byte; ++first) {
    for (std::size_t second = first; second <= last_byte; ++second) {
      OutboxRig rig(kGeometry);
      rig.flash.load(image);
      rig.flash.flip_bit(first, first % 8);
      rig.flash.flip_bit(second, (second + 3) % 8);
      ASSERT_EQ(rig.restart(), Status::kOk);
      ASSERT_EQ(rig.box->next_seq().value, kLast + 1) << first << " " << second;
      ASSERT_EQ(rig.read(kLast), "lost 1 corrupt") << first << " " << second;
    }
  }
}

TEST(OutboxDamage, IsFoundWhileMountedToo) {
  OutboxRig rig = filled_rig();
  ASSERT_EQ(rig.box->peek(Seq{2})->kind, Kind::kData);
  rig.flash.flip_bit(184 + 2 * 24 + 8,
                     0);  // the first byte of record 2, which the cursor has checked already
  EXPECT_EQ(rig.read(2), "lost 1 corrupt");
  EXPECT_EQ(rig.read(3), text(3));
  EXPECT_EQ(rig.box->stats().corrupt_records, 1U);
}

TEST(OutboxDamage, OfAllHeadersMakesALogWhoseMarksDiffer) {
  OutboxRig rig = filled_rig();
  const auto before = rig.marks();
  for (std::uint32_t sector = 0; sector < 3; ++sector) {
    for (std::uint32_t byte = 0; byte < 250; byte += 3) rig.flash.flip_bit(sector * 512 + byte, 3);
  }
  ASSERT_EQ(rig.restart(), Status::kOk);
  EXPECT_EQ(rig.append("again"), Status::kOk);
  for (const Mark& mark : rig.marks()) EXPECT_EQ(std::ranges::count(before, mark), 0);
}

// --- Sectors that fail for good ---

struct BadSector {
  const char* description;
  sim::Wear wear;
};
constexpr std::array kWays = {
    BadSector{"erase fails", {.erase = Status::kIo}},
    BadSector{"program fails", {.program = Status::kIo}},
    BadSector{"read is corrupt", {.read = Status::kCorrupt}},
    BadSector{"read gets no answer", {.read = Status::kIo}},
    BadSector{"nothing works", {.read = Status::kIo, .program = Status::kIo, .erase = Status::kIo}},
};

TEST(OutboxBadSector, LeavesTheRingAndTheLogGoesOn) {
  for (const BadSector& way : kWays) {
    for (std::uint32_t bad = 0; bad < 3; ++bad) {
      SCOPED_TRACE(testing::Message() << way.description << ", sector " << bad);
      OutboxRig rig = filled_rig();
      rig.flash.break_sector(bad, way.wear);
      for (std::uint64_t i = 0; i < 60; ++i) {
        const std::string record = "later " + std::to_string(i) + std::string(20, '.');
        ASSERT_EQ(rig.append(record), Status::kOk) << i;
        ASSERT_EQ(rig.read(rig.box->next_seq().value - 1), record);
        ASSERT_EQ(rig.box->ack(rig.box->next_seq()), Status::kOk);
        if (i % 7 == 0) {
          ASSERT_EQ(rig.restart(), Status::kOk);
          ASSERT_EQ(rig.read(rig.box->next_seq().value - 1), record);
        }
      }
      EXPECT_EQ(rig.box->stats().bad_sectors, 1U);
    }
  }
}

// Its header is the only one that knows the newest seq: erased with the power going, it would take along, in
// silence, what was not acked.
TEST(OutboxBadSector, TheLastOneThatCanBeWrittenIsNotErasedAsLongAsItHoldsWhatIsNotAcked) {
  OutboxRig rig = filled_rig();
  for (std::uint32_t bad = 1; bad < 3; ++bad) rig.flash.break_sector(bad, {.program = Status::kIo});
  ASSERT_EQ(rig.box->ack(rig.box->next_seq()), Status::kOk);
  ASSERT_EQ(rig.append("first of the last sector"), Status::kOk);
  const Seq first{rig.box->next_seq().value - 1};
  while (rig.append("more") == Status::kOk) ASSERT_LT(rig.box->next_seq().value, first.value + 100);
  EXPECT_EQ(rig.append("more"), Status::kFull);
  EXPECT_EQ(rig.read(first.value), "first of the last sector");
  ASSERT_EQ(rig.box->ack(rig.box->next_seq()), Status::kOk);
  EXPECT_EQ(rig.append("acked: room again"), Status::kOk);
}

TEST(OutboxBadSector, CostsWhatIsInItAndNotItsNeighbours) {
  for (const Status status : {Status::kCorrupt, Status::kIo}) {
    for (std::uint32_t bad = 0; bad < 2; ++bad) {
      OutboxRig rig = filled_rig();
      rig.flash.break_sector(bad, {.read = status});
      for (int mounts = 0; mounts < 2; ++mounts) {
        const auto found = rig.read_all();
        std::uint64_t seq = rig.box->oldest_seq().value;
        int losses = 0;
        for (const std::string& entry : found) {
          if (entry.starts_with("lost ")) {
            seq += std::stoul(entry.substr(5));
            ++losses;
          } else {
            EXPECT_EQ(entry, text(seq));
            ++seq;
          }
        }
        EXPECT_EQ(seq, kLast + 1);
        EXPECT_EQ(losses, bad == 1 ? 2 : 1) << "the second mark is in sector 1, and known";
        ASSERT_EQ(rig.restart(), Status::kOk);
      }
    }
  }
}

// A place is tried twice before it is left out.
TEST(OutboxBadSector, AFailureThatPassesCostsNeitherASectorNorARecord) {
  constexpr std::uint64_t kRecords = 40;
  for (std::uint64_t operation = 0; operation < 250; ++operation) {
    OutboxRig rig({.sector_size_bytes = 512, .sector_count = 16, .program_size_bytes = 8});
    ASSERT_EQ(rig.restart(), Status::kOk);
    rig.flash.arm(
        {.operation = operation, .tear = sim::Tear::kGarbage, .kind = sim::SimFlash::Fault::Kind::kError});
    std::vector<std::string> made;
    for (std::uint64_t i = 0; i < kRecords; ++i) {
      made.push_back("record " + std::to_string(i) + std::string(10, '.'));
      ASSERT_EQ(rig.append(made.back()), Status::kOk) << operation;
    }
    ASSERT_FALSE(rig.flash.armed());
    EXPECT_EQ(rig.box->stats().bad_sectors, 0U) << operation;
    EXPECT_EQ(rig.records(), made) << operation;
    ASSERT_EQ(rig.restart(), Status::kOk);
    EXPECT_EQ(rig.records(), made) << operation;
    EXPECT_EQ(rig.flash.counts().refused, 0U);
  }
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

TEST(OutboxGolden, Version2StillMounts) {
  auto rig = rig_with(load_golden("v2.hex"));
  ASSERT_EQ(rig.restart(), Status::kOk);
  EXPECT_TRUE(lost_seqs(rig).empty());
  ASSERT_EQ(rig.marks().size(), 2U);
  EXPECT_EQ(rig.marks()[1].epoch.value, 0xF0BAC1F8511F57BCU);
  EXPECT_EQ(rig.append("more"), Status::kOk);
}

TEST(OutboxGolden, Version2IsStillWhatIsWritten) {
  EXPECT_EQ(filled_rig().flash.image(), load_golden("v2.hex"))
      << "a change of the format needs a new version";
}

TEST(OutboxGolden, TruncatedImageKeepsWhatIsThere) {
  const auto image = load_golden("v2.hex");
  auto rig = rig_with(Bytes(image).first(512 + 300));
  ASSERT_EQ(rig.restart(), Status::kOk);
  EXPECT_GT(rig.box->next_seq().value, 2U);
  const std::uint64_t last = rig.box->next_seq().value - 1;
  for (std::uint64_t seq = 1; seq < last; ++seq) EXPECT_EQ(rig.read(seq), text(seq));
  EXPECT_EQ(rig.read(last), "lost 1 corrupt") << "the one that the end of the image cuts";
}

TEST(OutboxGolden, CorruptImageGivesOnlyWhatVerifies) {
  auto image = load_golden("v2.hex");
  for (std::size_t i = 280; i < image.size(); i += 61) image[i] ^= 0x5A;
  auto rig = rig_with(image);
  ASSERT_EQ(rig.restart(), Status::kOk);
  for (std::uint64_t seq = 1; seq < rig.box->next_seq().value; ++seq) {
    const std::string found = rig.read(seq);
    EXPECT_TRUE(found == text(seq) || found.starts_with("lost")) << found;
  }
}

// A header that claims to be of a newer version; its checksum need not be one of ours.
void make_newer(std::vector<std::uint8_t>& image, std::size_t sector) {
  image[sector * 512 + 8] = 3;
  image[sector * 512 + 10] = static_cast<std::uint8_t>(~3);
}

TEST(OutboxGolden, NewerVersionIsLeftUntouched) {
  auto image = load_golden("v2.hex");
  for (std::size_t sector = 0; sector < 3; ++sector) make_newer(image, sector);
  auto rig = rig_with(image);
  EXPECT_EQ(rig.restart(), Status::kUnsupported);
  EXPECT_EQ(rig.append("one"), Status::kState);
  EXPECT_EQ(rig.flash.image(), image);
}

TEST(OutboxGolden, WhatLooksNewerAmongOursIsDamage) {
  for (std::size_t sector = 0; sector < 3; ++sector) {
    auto image = load_golden("v2.hex");
    make_newer(image, sector);
    auto rig = rig_with(image);
    ASSERT_EQ(rig.restart(), Status::kOk);
    EXPECT_TRUE(lost_seqs(rig).empty());
    expect_to_go_on(rig);
  }
}

}  // namespace
}  // namespace godwit::outbox
