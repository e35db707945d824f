// SPDX-License-Identifier: Apache-2.0
// What boards bring as flash, against the one suite for all of them, and what each promises beyond it.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "boards/common/storage/layout.h"
#include "boards/common/storage/partition.h"
#include "boards/common/storage/sd_flash.h"
#include "boards/qemu_mps2_an385/psram_flash.h"
#include "sim/flash/sim_flash.h"
#include "tests/support/flash_conformance.h"
#include "tests/unit/boards/storage/model_sd_card.h"

namespace godwit::test {

using boards::Partition;
using boards::PsramFlash;
using boards::SdCard;
using boards::SdFlash;

constexpr std::uint32_t kBlocksPerSector = SdFlash::kSectorSize / SdCard::kBlockSize;

template <ModelSdCard::Kind kind>
struct SdFlashes : FlashFixture {
  std::shared_ptr<ports::Flash> make() override { return reopen(nullptr); }
  std::shared_ptr<ports::Flash> reopen(std::shared_ptr<ports::Flash> /*flash*/) override {
    model.power_cycle();
    EXPECT_EQ(card.emplace(model).start(), Status::kOk);
    return std::make_unique<SdFlash>(*card, 32);
  }
  ModelSdCard model{kind, 32 * kBlocksPerSector};
  std::optional<SdCard> card;
};
using AllCards =
    testing::Types<SdFlashes<ModelSdCard::Kind::kStandard>, SdFlashes<ModelSdCard::Kind::kHighCapacity>>;
INSTANTIATE_TYPED_TEST_SUITE_P(SdFlash, FlashConformance, AllCards);

struct PsramFlashes : FlashFixture {
  std::shared_ptr<ports::Flash> make() override { return std::make_unique<PsramFlash>(memory); }
  std::shared_ptr<ports::Flash> reopen(std::shared_ptr<ports::Flash> /*flash*/) override { return make(); }
  std::vector<std::uint8_t> memory =
      std::vector<std::uint8_t>(std::size_t{3} * PsramFlash::kSectorSize, 0xFF);
};
INSTANTIATE_TYPED_TEST_SUITE_P(PsramFlash, FlashConformance, PsramFlashes);

struct Partitions : FlashFixture {
  std::shared_ptr<ports::Flash> make() override {
    return std::make_unique<Partition>(whole, boards::Region{.first_sector = 2, .sector_count = 3});
  }
  std::shared_ptr<ports::Flash> reopen(std::shared_ptr<ports::Flash> /*flash*/) override { return make(); }
  sim::SimFlash whole{{.sector_size_bytes = 1024, .sector_count = 6, .program_size_bytes = 64}};
};
INSTANTIATE_TYPED_TEST_SUITE_P(Partition, FlashConformance, Partitions);

}  // namespace godwit::test

namespace godwit::boards {
namespace {

using test::ModelSdCard;

constexpr std::uint32_t kBlocksPerSector = SdFlash::kSectorSize / SdCard::kBlockSize;

class SdFlashOfACard : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(card_.start(), Status::kOk); }

  ModelSdCard model_{ModelSdCard::Kind::kHighCapacity, 64 * kBlocksPerSector};
  SdCard card_{model_};
};

TEST_F(SdFlashOfACard, UsesNoMoreThanItIsToldTo) {
  EXPECT_EQ(SdFlash(card_, 10).geometry().sector_count, 10U);
  EXPECT_EQ(SdFlash(card_, 1000).geometry().sector_count, 64U);
}

TEST_F(SdFlashOfACard, ReadsABlockOnceForManySmallReads) {
  SdFlash flash(card_, 64);
  std::array<std::uint8_t, 8> piece{};
  for (std::uint64_t at = 1024; at < 1536; at += piece.size()) ASSERT_EQ(flash.read(at, piece), Status::kOk);
  EXPECT_EQ(model_.commands[17], 1U);
}

TEST_F(SdFlashOfACard, ReadsWhatItHasJustWrittenWithoutTheCard) {
  SdFlash flash(card_, 64);
  std::array<std::uint8_t, 2 * SdCard::kBlockSize> blocks{};
  ASSERT_EQ(flash.program(0, blocks), Status::kOk);
  std::array<std::uint8_t, 8> piece{0xA5};
  ASSERT_EQ(flash.read(SdCard::kBlockSize + 8, piece), Status::kOk);
  EXPECT_EQ(piece[0], 0x00);
  EXPECT_EQ(model_.commands[17], 0U);
}

TEST_F(SdFlashOfACard, NeverServesWhatABlockHeldBefore) {
  SdFlash flash(card_, 64);
  std::array<std::uint8_t, 8> piece{};
  std::array<std::uint8_t, SdCard::kBlockSize> block{};
  const std::uint64_t at = SdFlash::kSectorSize + SdCard::kBlockSize;
  ASSERT_EQ(flash.read(at, piece), Status::kOk);
  EXPECT_EQ(piece[0], 0xFF);
  ASSERT_EQ(flash.program(at - SdCard::kBlockSize, block), Status::kOk);
  ASSERT_EQ(flash.program(at, block), Status::kOk);
  ASSERT_EQ(flash.read(at, piece), Status::kOk);
  EXPECT_EQ(piece[0], 0x00);
  ASSERT_EQ(flash.erase(1), Status::kOk);
  ASSERT_EQ(flash.read(at, piece), Status::kOk);
  EXPECT_EQ(piece[0], 0xFF);
  model_.faults.rejected_blocks = 9;
  EXPECT_EQ(flash.program(at, block), Status::kIo);
  model_.faults = {};
  ASSERT_EQ(flash.read(at, piece), Status::kOk);
  EXPECT_EQ(piece[0], 0xFF) << "it was not written";
}

TEST_F(SdFlashOfACard, ReadsWholeBlocksFromTheCardEachTime) {
  SdFlash flash(card_, 64);
  std::array<std::uint8_t, 2 * SdCard::kBlockSize> blocks{};
  ASSERT_EQ(flash.read(0, blocks), Status::kOk);
  model_.memory[1] = 7;  // as a person who puts another image in its place
  ASSERT_EQ(flash.read(0, blocks), Status::kOk);
  EXPECT_EQ(blocks[1], 7);
}

TEST_F(SdFlashOfACard, GoesOnWithACardThatWasWithoutPowerForAMoment) {
  SdFlash flash(card_, 64);
  std::array<std::uint8_t, SdCard::kBlockSize> block{};
  std::array<std::uint8_t, 8> piece{};
  model_.power_cycle();
  EXPECT_EQ(flash.program(0, block), Status::kOk);
  model_.power_cycle();
  EXPECT_EQ(flash.erase(1), Status::kOk);
  model_.power_cycle();
  EXPECT_EQ(flash.read(SdFlash::kSectorSize, piece), Status::kOk);
  model_.power_cycle();
  EXPECT_EQ(flash.read(0, block), Status::kOk);
  EXPECT_EQ(block[0], 0x00);
}

TEST_F(SdFlashOfACard, GoesOnWithItsCardWheneverThatIsBack) {
  SdFlash flash(card_, 64);
  std::array<std::uint8_t, 8> piece{};
  model_.faults.absent = true;
  for (int i = 0; i < 40; ++i) EXPECT_EQ(flash.read(0, piece), Status::kIo);
  model_.power_cycle();
  int failures = 0;
  while (flash.read(0, piece) != Status::kOk) ASSERT_LT(++failures, 16);
}

TEST_F(SdFlashOfACard, LeavesAnotherCardAlone) {
  SdFlash flash(card_, 64);
  std::array<std::uint8_t, SdCard::kBlockSize> block{};
  model_.power_cycle();
  model_.cid[9] = 77;
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(flash.program(0, block), Status::kIo);
    EXPECT_EQ(flash.erase(0), Status::kIo);
  }
  EXPECT_EQ(model_.memory[0], 0xFF);
}

TEST_F(SdFlashOfACard, FailsSoonEnoughForAWatchdogAlsoSeveralTimes) {
  SdFlash flash(card_, 64);
  std::array<std::uint8_t, SdCard::kBlockSize> block{};
  const std::uint64_t bytes_per_ms = model_.clock_hz / 8 / 1000;
  model_.faults.busy_for_ever = true;
  for (int i = 0; i < 4; ++i) EXPECT_EQ(flash.program(0, block), Status::kIo);
  // A slow clock while it is started again: it takes more time for a byte, and not less.
  EXPECT_LE(model_.bytes, bytes_per_ms * 600 + 400 / 8 * 1'500 + 10'000);
}

TEST(SdFlashWithoutACard, GivesIo) {
  ModelSdCard model(ModelSdCard::Kind::kStandard, 64 * kBlocksPerSector);
  model.faults.absent = true;
  SdCard card(model);
  EXPECT_EQ(card.start(), Status::kNotFound);
  SdFlash flash(card, 64);
  std::array<std::uint8_t, SdCard::kBlockSize> block{};
  EXPECT_EQ(flash.read(0, block), Status::kIo);
  EXPECT_EQ(flash.read(3, std::span(block).first(5)), Status::kIo);
  EXPECT_EQ(flash.program(0, block), Status::kIo);
  EXPECT_EQ(flash.erase(0), Status::kIo);
}

TEST(PsramFlash, ProgramsAsFlashDoesByClearingBits) {
  std::vector<std::uint8_t> memory(std::size_t{2} * PsramFlash::kSectorSize, 0xFF);
  PsramFlash flash(memory);
  std::array<std::uint8_t, PsramFlash::kProgramSize> unit{};
  unit.fill(0xF0);
  ASSERT_EQ(flash.program(0, unit), Status::kOk);
  unit.fill(0x3C);
  ASSERT_EQ(flash.program(0, unit), Status::kOk);
  EXPECT_EQ(memory[0], 0x30) << "what misuse does to real flash, too";
}

TEST(Partition, TouchesNothingOutsideOfItself) {
  sim::SimFlash whole({.sector_size_bytes = 256, .sector_count = 6, .program_size_bytes = 16});
  const std::vector<std::uint8_t> before(whole.size_bytes(), 0x5A);
  whole.load(before);
  Partition part(whole, {.first_sector = 1, .sector_count = 4});
  const std::array<std::uint8_t, 16> unit{};
  for (std::uint32_t sector = 0; sector < 4; ++sector) {
    ASSERT_EQ(part.erase(sector), Status::kOk);
    for (std::uint32_t at = 0; at < 256; at += 16) {
      ASSERT_EQ(part.program(std::uint64_t{sector} * 256 + at, unit), Status::kOk);
    }
  }
  const auto after = whole.image();
  EXPECT_EQ(std::ranges::count(Bytes(after).first(256), 0x5A), 256);
  EXPECT_EQ(std::ranges::count(Bytes(after).subspan(256, 1024), 0x00), 1024);
  EXPECT_EQ(std::ranges::count(Bytes(after).last(256), 0x5A), 256);
}

TEST(StorageLayout, GivesEachPartWholeSectors) {
  struct Case {
    const char* description;
    ports::FlashGeometry geometry;
    std::array<Region, 3> regions;
  };
  const std::array cases{
      Case{"PSRAM of 16 MB", {4096, 4096, 16}, {{{0, 1}, {1, 2}, {3, 4093}}}},
      Case{"SD card of 4 MB", {16384, 256, 512}, {{{0, 1}, {1, 2}, {3, 253}}}},
      Case{"pages of 2 KB", {2048, 64, 8}, {{{0, 2}, {2, 2}, {4, 60}}}},
      Case{"a sector size that does not divide the block", {3072, 6, 16}, {{{0, 2}, {2, 2}, {4, 2}}}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.description);
    const auto layout = storage_layout(c.geometry);
    ASSERT_TRUE(layout.has_value());
    const std::array found{layout->provisioning, layout->node_state, layout->outbox};
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].first_sector, c.regions[i].first_sector);
      EXPECT_EQ(found[i].sector_count, c.regions[i].sector_count);
    }
  }
}

TEST(StorageLayout, RefusesStorageWithoutRoomForAnOutbox) {
  EXPECT_TRUE(storage_layout({4096, 5, 16}).has_value());
  EXPECT_FALSE(storage_layout({4096, 4, 16}).has_value());
  EXPECT_FALSE(storage_layout({256, 19, 16}).has_value());
}

}  // namespace
}  // namespace godwit::boards
