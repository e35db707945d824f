// SPDX-License-Identifier: Apache-2.0
#include "boards/common/storage/sd_card.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "tests/unit/boards/storage/model_sd_card.h"

namespace godwit::boards {
namespace {

using test::ModelSdCard;
using Kind = ModelSdCard::Kind;
using Faults = ModelSdCard::Faults;
using Block = std::array<std::uint8_t, SdCard::kBlockSize>;

constexpr std::uint32_t kBlocks = 2048;

std::vector<std::uint8_t> pattern(std::size_t size, std::uint8_t seed) {
  std::vector<std::uint8_t> data(size);
  std::ranges::generate(
      data, [value = seed]() mutable { return value = static_cast<std::uint8_t>(value * 5 + 1); });
  return data;
}

Bytes block_of(const ModelSdCard& model, std::uint32_t block) {
  return Bytes(model.memory).subspan(std::size_t{block} * SdCard::kBlockSize, SdCard::kBlockSize);
}

// Bytes on the wire in the time that a call may take at most, its own `data` bytes included.
std::uint64_t bytes_max(const ModelSdCard& model, std::uint64_t data, Millis patience = SdCard::kPatience) {
  return model.clock_hz / 8 / 1000 * static_cast<std::uint64_t>(patience.count()) + data;
}

// As the specification has it, and as QEMU 10.0 has it.
enum class Make : std::uint8_t { kSpecified, kQemu10 };

class EveryCard : public testing::TestWithParam<std::tuple<Kind, Make>> {
 protected:
  EveryCard() { model_.faults.no_registers = std::get<Make>(GetParam()) == Make::kQemu10; }

  ModelSdCard model_{std::get<Kind>(GetParam()), kBlocks};
  SdCard card_{model_};
};

TEST_P(EveryCard, StartsAndTellsItsSize) {
  EXPECT_EQ(card_.block_count(), 0U);
  ASSERT_EQ(card_.start(), Status::kOk);
  EXPECT_EQ(card_.block_count(), kBlocks);
  EXPECT_GT(model_.clock_hz, 400'000U) << "fast, once it has started";
}

TEST_P(EveryCard, KeepsBlocksAtTheirPlace) {
  ASSERT_EQ(card_.start(), Status::kOk);
  const auto data = pattern(std::size_t{3} * SdCard::kBlockSize, 1);
  ASSERT_EQ(card_.write(5, data), Status::kOk);
  ASSERT_EQ(card_.write(kBlocks - 1, Bytes(data).first(SdCard::kBlockSize)), Status::kOk);
  Block found{};
  for (std::uint32_t i = 0; i < 3; ++i) {
    const Bytes expected = Bytes(data).subspan(i * SdCard::kBlockSize, SdCard::kBlockSize);
    EXPECT_TRUE(std::ranges::equal(block_of(model_, 5 + i), expected));
    ASSERT_EQ(card_.read(5 + i, found), Status::kOk);
    EXPECT_TRUE(std::ranges::equal(found, expected));
  }
  ASSERT_EQ(card_.read(kBlocks - 1, found), Status::kOk);
  EXPECT_TRUE(std::ranges::equal(found, Bytes(data).first(SdCard::kBlockSize)));
  EXPECT_EQ(std::ranges::count(model_.memory, 0xFF),
            std::ranges::count(data, 0xFF) + std::ranges::count(found, 0xFF) +
                static_cast<std::ptrdiff_t>((kBlocks - 4) * SdCard::kBlockSize))
      << "nothing else changed";
}

TEST_P(EveryCard, ErasesBlocksToFF) {
  ASSERT_EQ(card_.start(), Status::kOk);
  std::ranges::fill(model_.memory, std::uint8_t{0});
  ASSERT_EQ(card_.erase(8, 4), Status::kOk);
  EXPECT_EQ(
      std::ranges::count(Bytes(model_.memory).subspan(8 * SdCard::kBlockSize, 4 * SdCard::kBlockSize), 0xFF),
      4 * static_cast<std::ptrdiff_t>(SdCard::kBlockSize));
  EXPECT_EQ(std::ranges::count(model_.memory, 0xFF), 4 * static_cast<std::ptrdiff_t>(SdCard::kBlockSize));
  EXPECT_EQ(model_.commands[25], 1U) << "in one command";
}

TEST_P(EveryCard, StartsAgainFromTheMiddleOfAWriteThatAResetCutOff) {
  model_.leave_in_write();
  ASSERT_EQ(card_.start(), Status::kOk);
  const auto data = pattern(SdCard::kBlockSize, 3);
  EXPECT_EQ(card_.write(1, data), Status::kOk);
  EXPECT_TRUE(std::ranges::equal(block_of(model_, 1), data));
}

TEST_P(EveryCard, RemovedAtAnyByteFailsInTimeAndWorksAgainWhenStarted) {
  const auto data = pattern(std::size_t{2} * SdCard::kBlockSize, 5);
  for (std::int64_t at = 0;; at += at < 60 ? 1 : 61) {
    SCOPED_TRACE(at);
    model_.power_cycle();
    ASSERT_EQ(card_.start(), Status::kOk);
    model_.faults.removed_after = at;
    const std::uint64_t before = model_.bytes;
    const Status written = card_.write(7, data);
    Block found{};
    const Status read = card_.read(7, found);
    const bool removed = model_.faults.absent;
    EXPECT_LE(model_.bytes - before, 2 * bytes_max(model_, 8 * SdCard::kBlockSize));
    if (!removed) {
      EXPECT_EQ(written, Status::kOk);
      EXPECT_EQ(read, Status::kOk);
      break;
    }
    EXPECT_TRUE(written == Status::kOk || written == Status::kIo);
    EXPECT_EQ(read, Status::kIo);
    model_.power_cycle();
    EXPECT_EQ(card_.read(7, found), Status::kIo) << "not started";
    ASSERT_EQ(card_.start(), Status::kOk);
    EXPECT_EQ(card_.write(7, data), Status::kOk);
    EXPECT_EQ(card_.read(7, found), Status::kOk);
  }
}

constexpr std::array kKindNames{"version1", "standard", "high_capacity"};
INSTANTIATE_TEST_SUITE_P(
    Kinds, EveryCard,
    testing::Combine(testing::Values(Kind::kVersion1, Kind::kStandard, Kind::kHighCapacity),
                     testing::Values(Make::kSpecified, Make::kQemu10)),
    [](const auto& test) {
      return std::string(kKindNames[static_cast<std::size_t>(std::get<Kind>(test.param))]) +
             (std::get<Make>(test.param) == Make::kSpecified ? "" : "_of_qemu10");
    });

TEST_P(EveryCard, RestartsAsTheSameAndNeverAsAnother) {
  Block found{};
  ASSERT_EQ(card_.start(), Status::kOk);
  if (model_.faults.no_registers) {
    model_.power_cycle();
    EXPECT_EQ(card_.restart(), Status::kNotFound) << "it may be any card";
    EXPECT_EQ(card_.block_count(), 0U);
    EXPECT_EQ(card_.restart(), Status::kNotFound);
    EXPECT_EQ(card_.start(), Status::kOk);
    return;
  }
  model_.power_cycle();
  EXPECT_EQ(card_.read(7, found), Status::kIo);
  ASSERT_EQ(card_.restart(), Status::kOk);
  EXPECT_EQ(card_.read(7, found), Status::kOk);

  model_.power_cycle();
  model_.cid[9] = 77;
  EXPECT_EQ(card_.restart(), Status::kNotFound);
  EXPECT_EQ(card_.read(7, found), Status::kIo);
  EXPECT_EQ(card_.restart(), Status::kNotFound) << "it does not become the known one";

  model_.power_cycle();
  model_.faults.absent = true;
  EXPECT_EQ(card_.restart(), Status::kNotFound);
  model_.power_cycle();
  model_.cid[9] = 0;
  EXPECT_EQ(card_.restart(), Status::kOk);
  EXPECT_EQ(card_.read(7, found), Status::kOk);
}

struct StartCase {
  const char* description;
  void (*spoil)(ModelSdCard& model);
  Status expected;
};
constexpr std::array kStarts{
    StartCase{"no card", [](ModelSdCard& m) { m.faults.absent = true; }, Status::kNotFound},
    StartCase{"a card that never gets ready", [](ModelSdCard& m) { m.faults.never_ready = true; },
              Status::kIo},
    StartCase{"a multimedia card", [](ModelSdCard& m) { m.faults.multimedia_card = true; },
              Status::kUnsupported},
    StartCase{"a card that echoes something else", [](ModelSdCard& m) { m.faults.wrong_echo = true; },
              Status::kUnsupported},
    StartCase{"a card of 1.8 V", [](ModelSdCard& m) { m.faults.low_voltage_only = true; },
              Status::kUnsupported},
    StartCase{"a card that does not tell its size", [](ModelSdCard& m) { m.faults.no_data = true; },
              Status::kIo},
    StartCase{"a card with a CSD of a later version", [](ModelSdCard& m) { m.csd[0] = 0x80; },
              Status::kUnsupported},
    StartCase{"a card whose size comes damaged", [](ModelSdCard& m) { m.faults.bad_read_crcs = 1; },
              Status::kIo},
    StartCase{"a card whose CSD is a bad one", [](ModelSdCard& m) { m.faults.read_errors = 1; }, Status::kIo},
    StartCase{"a card without checksums", [](ModelSdCard& m) { m.faults.no_checksums = true; }, Status::kOk},
};

TEST(SdCardStart, SaysInTimeWhatIsWrong) {
  for (const StartCase& start : kStarts) {
    SCOPED_TRACE(start.description);
    ModelSdCard model(Kind::kHighCapacity, kBlocks);
    start.spoil(model);
    SdCard card(model);
    EXPECT_EQ(card.start(), start.expected);
    EXPECT_EQ(card.block_count(), start.expected == Status::kOk ? kBlocks : 0U);
    EXPECT_LE(model.bytes, bytes_max(model, 500, SdCard::kStartPatience));
  }
}

TEST(SdCardSize, IsReadFromEveryKindOfCsd) {
  struct Case {
    const char* description;
    std::array<std::uint8_t, 16> csd;
    std::uint32_t blocks;
  };
  const std::array cases{
      // C_SIZE 4095, C_SIZE_MULT 7, READ_BL_LEN 10
      Case{"2 GB", {0, 0, 0, 0, 0, 0x5A, 0x03, 0xFF, 0xC0, 0x03, 0x80}, 4'194'304},
      // C_SIZE 3751, C_SIZE_MULT 6, READ_BL_LEN 9
      Case{"a card of 469 MB", {0, 0, 0, 0, 0, 0x59, 0x03, 0xA9, 0xC0, 0x03, 0x00}, 960'512},
      Case{"the least of high capacity", {0x40}, 1024},
      Case{"32 GB", {0x40, 0, 0, 0, 0, 0x59, 0, 0x00, 0xEE, 0xFF}, 62'652'416},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.description);
    ModelSdCard model(c.csd[0] == 0 ? Kind::kStandard : Kind::kHighCapacity, kBlocks);
    model.csd = c.csd;
    SdCard card(model);
    EXPECT_EQ(card.start(), Status::kOk);
    EXPECT_EQ(card.block_count(), c.blocks);
  }
}

TEST(SdCardSize, IsFoundByReadingWhereThereIsNoCsd) {
  struct Case {
    const char* description;
    Kind kind;
    std::uint32_t blocks;
    Faults faults;
    Status expected;
  };
  const std::array cases{
      Case{"one block", Kind::kStandard, 1, {.no_registers = true}, Status::kOk},
      Case{"no block", Kind::kStandard, 0, {.no_registers = true}, Status::kUnsupported},
      Case{"an odd number", Kind::kHighCapacity, 12'345, {.no_registers = true}, Status::kOk},
      Case{"the end told in place of data",
           Kind::kHighCapacity,
           kBlocks,
           {.no_registers = true, .late_range_error = true},
           Status::kOk},
      Case{"a block that is there, and unreadable",
           Kind::kStandard,
           kBlocks,
           {.no_registers = true, .read_errors = 1},
           Status::kOk},
      Case{"no answer", Kind::kStandard, kBlocks, {.no_registers = true, .no_data = true}, Status::kIo},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.description);
    ModelSdCard model(c.kind, c.blocks);
    model.faults = c.faults;
    SdCard card(model);
    EXPECT_EQ(card.start(), c.expected);
    EXPECT_EQ(card.block_count(), c.expected == Status::kOk ? c.blocks : 0U);
    EXPECT_LE(model.bytes, bytes_max(model, 500, SdCard::kStartPatience));
  }
}

class SdCardErrors : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(card_.start(), Status::kOk); }

  ModelSdCard model_{Kind::kHighCapacity, kBlocks};
  SdCard card_{model_};
  Block block_{};
  const std::vector<std::uint8_t> data_ = pattern(std::size_t{2} * SdCard::kBlockSize, 9);
};

TEST_F(SdCardErrors, OfOneTransferAreTriedAgain) {
  model_.faults.bad_read_crcs = 1;
  EXPECT_EQ(card_.read(0, block_), Status::kOk);
  model_.faults.read_errors = 1;
  EXPECT_EQ(card_.read(0, block_), Status::kOk);
  model_.faults.rejected_blocks = 1;
  EXPECT_EQ(card_.write(0, data_), Status::kOk);
  EXPECT_TRUE(std::ranges::equal(Bytes(model_.memory).first(data_.size()), data_));
  model_.faults.write_errors = 1;
  EXPECT_EQ(card_.write(2, data_), Status::kOk);
  model_.faults.bad_statuses = 1;
  EXPECT_EQ(card_.write(4, data_), Status::kOk);
  model_.faults.rejected_blocks = 1;
  EXPECT_EQ(card_.erase(0, 2), Status::kOk);
}

TEST_F(SdCardErrors, ThatStayEndInIo) {
  struct Case {
    const char* description;
    Faults faults;
    bool of_writes;
  };
  const std::array cases{Case{"damaged data", {.bad_read_crcs = 9}, false},
                         Case{"error tokens", {.read_errors = 9}, false},
                         Case{"no data", {.no_data = true}, false},
                         Case{"rejected data", {.rejected_blocks = 9}, true},
                         Case{"write errors", {.write_errors = 9}, true},
                         Case{"bad status", {.bad_statuses = 9}, true},
                         Case{"busy for ever", {.busy_for_ever = true}, true}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.description);
    model_.faults = c.faults;
    const std::uint64_t before = model_.bytes;
    EXPECT_EQ(c.of_writes ? card_.write(0, data_) : card_.read(0, block_), Status::kIo);
    EXPECT_LE(model_.bytes - before, bytes_max(model_, 5000));
    model_.faults = {};
  }
}

TEST_F(SdCardErrors, AreWhatBlocksBehindTheEndGive) {
  EXPECT_EQ(card_.read(kBlocks, block_), Status::kIo);
  EXPECT_EQ(card_.write(kBlocks - 1, data_), Status::kIo);
  EXPECT_EQ(card_.erase(kBlocks, 1), Status::kIo);
  EXPECT_EQ(model_.commands[17] + model_.commands[25], 0U) << "the card is not even asked";
}

TEST(SdCard, BeforeItIsStartedGivesIo) {
  ModelSdCard model(Kind::kStandard, kBlocks);
  SdCard card(model);
  Block block{};
  EXPECT_EQ(card.read(0, block), Status::kIo);
  EXPECT_EQ(card.write(0, block), Status::kIo);
}

}  // namespace
}  // namespace godwit::boards
