// SPDX-License-Identifier: Apache-2.0
// What every implementation of ports::Flash has to do. To run it on one, say how to make it:
//
//   struct MyFlash : test::FlashFixture {
//     std::shared_ptr<ports::Flash> make() override;
//     std::shared_ptr<ports::Flash> reopen(std::shared_ptr<ports::Flash> flash) override;  // if it outlives
//     a program
//   };
//   INSTANTIATE_TYPED_TEST_SUITE_P(MyFlash, FlashConformance, MyFlash);  // in namespace godwit::test
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "firmware/ports/flash.h"

namespace godwit::test {

// Makes the flash under test. Its region: at least two sectors, and a sector at least four program units.
struct FlashFixture {
  virtual ~FlashFixture() = default;
  // A flash with all sectors erased.
  virtual std::shared_ptr<ports::Flash> make() = 0;
  // What a restart of the program finds of it. Memory that ends with the object: hand it back.
  virtual std::shared_ptr<ports::Flash> reopen(std::shared_ptr<ports::Flash> flash) { return flash; }
};

template <typename Fixture>
class FlashConformance : public testing::Test {
 protected:
  FlashConformance() : flash_(fixture_.make()), unit_(flash_->geometry().program_size_bytes) {}

  static std::vector<std::uint8_t> pattern(std::size_t size, std::uint8_t first) {
    std::vector<std::uint8_t> bytes(size);
    std::ranges::generate(
        bytes, [value = first]() mutable { return value = static_cast<std::uint8_t>(value * 5 + 1); });
    return bytes;
  }
  std::vector<std::uint8_t> read(std::uint64_t offset, std::size_t size) {
    std::vector<std::uint8_t> bytes(size, 0xA5);
    EXPECT_EQ(flash_->read(offset, bytes), Status::kOk);
    return bytes;
  }
  [[nodiscard]] std::uint32_t sector_size() const { return flash_->geometry().sector_size_bytes; }
  [[nodiscard]] std::uint32_t last_sector() const { return flash_->geometry().sector_count - 1; }

  Fixture fixture_;
  std::shared_ptr<ports::Flash> flash_;
  std::uint32_t unit_;
};
TYPED_TEST_SUITE_P(FlashConformance);

TYPED_TEST_P(FlashConformance, ReadsErasedBytesAsFF) {
  const std::vector<std::uint8_t> erased(this->sector_size(), 0xFF);
  for (std::uint32_t sector = 0; sector <= this->last_sector(); ++sector) {
    EXPECT_EQ(this->read(std::uint64_t{sector} * this->sector_size(), this->sector_size()), erased);
  }
}

TYPED_TEST_P(FlashConformance, KeepsWhatIsProgrammedUnitByUnitAndInOnePiece) {
  const std::uint32_t unit = this->unit_;
  const auto bytes = this->pattern(std::size_t{4} * unit, 1);
  const Bytes all(bytes);
  ASSERT_EQ(this->flash_->program(0, all.first(unit)), Status::kOk);
  ASSERT_EQ(this->flash_->program(unit, all.subspan(unit)), Status::kOk);
  EXPECT_EQ(this->read(0, bytes.size()), bytes);
  const std::uint64_t end = this->flash_->size_bytes();
  ASSERT_EQ(this->flash_->program(end - bytes.size(), all), Status::kOk);
  EXPECT_EQ(this->read(end - bytes.size(), bytes.size()), bytes);
}

TYPED_TEST_P(FlashConformance, ReadsAtAnyOffsetAndSize) {
  const auto bytes = this->pattern(std::size_t{2} * this->unit_, 3);
  ASSERT_EQ(this->flash_->program(0, bytes), Status::kOk);
  for (std::size_t from = 0; from < bytes.size(); from += 1 + from / 4) {
    const auto expected = Bytes(bytes).subspan(from);
    EXPECT_TRUE(std::ranges::equal(this->read(from, expected.size()), expected)) << "from " << from;
  }
  EXPECT_EQ(this->flash_->read(this->flash_->size_bytes(), {}), Status::kOk);
}

TYPED_TEST_P(FlashConformance, ReadsAcrossTheEndOfASector) {
  const auto bytes = this->pattern(std::size_t{2} * this->unit_, 7);
  const std::uint64_t at = this->sector_size() - this->unit_;
  ASSERT_EQ(this->flash_->program(at, bytes), Status::kOk);
  EXPECT_EQ(this->read(at, bytes.size()), bytes);
}

TYPED_TEST_P(FlashConformance, ErasesOneSectorAndNothingElse) {
  const auto bytes = this->pattern(this->unit_, 9);
  const std::uint64_t second = this->sector_size();
  ASSERT_EQ(this->flash_->program(second - this->unit_, bytes), Status::kOk);
  ASSERT_EQ(this->flash_->program(second, bytes), Status::kOk);
  ASSERT_EQ(this->flash_->erase(1), Status::kOk);
  EXPECT_EQ(this->read(second - this->unit_, this->unit_), bytes);
  EXPECT_EQ(this->read(second, this->sector_size()), std::vector<std::uint8_t>(this->sector_size(), 0xFF));
  EXPECT_EQ(this->flash_->program(second, bytes), Status::kOk) << "erased again, it can be programmed again";
  EXPECT_EQ(this->read(second, this->unit_), bytes);
}

TYPED_TEST_P(FlashConformance, RefusesWhatIsOutsideOrNotAligned) {
  const std::uint64_t end = this->flash_->size_bytes();
  const auto bytes = this->pattern(std::size_t{2} * this->unit_, 11);
  std::vector<std::uint8_t> buffer(2);
  EXPECT_EQ(this->flash_->read(end - 1, buffer), Status::kInvalidArgument);
  EXPECT_EQ(this->flash_->read(~std::uint64_t{0}, buffer), Status::kInvalidArgument);
  EXPECT_EQ(this->flash_->program(end - this->unit_, bytes), Status::kInvalidArgument);
  EXPECT_EQ(this->flash_->erase(this->last_sector() + 1), Status::kInvalidArgument);
  if (this->unit_ > 1) {
    EXPECT_EQ(this->flash_->program(1, Bytes(bytes).first(this->unit_)), Status::kInvalidArgument);
    EXPECT_EQ(this->flash_->program(0, Bytes(bytes).first(this->unit_ - 1)), Status::kInvalidArgument);
  }
  EXPECT_EQ(this->read(0, this->unit_), std::vector<std::uint8_t>(this->unit_, 0xFF));
}

TYPED_TEST_P(FlashConformance, FindsWhatWasFlushedAfterARestart) {
  const auto bytes = this->pattern(this->unit_, 13);
  const std::uint64_t at = std::uint64_t{this->last_sector()} * this->sector_size();
  ASSERT_EQ(this->flash_->program(0, bytes), Status::kOk);
  ASSERT_EQ(this->flash_->program(at, bytes), Status::kOk);
  ASSERT_EQ(this->flash_->erase(0), Status::kOk);
  ASSERT_EQ(this->flash_->flush(), Status::kOk);
  this->flash_ = this->fixture_.reopen(std::move(this->flash_));
  ASSERT_NE(this->flash_, nullptr);
  EXPECT_EQ(this->read(at, this->unit_), bytes);
  EXPECT_EQ(this->read(0, this->unit_), std::vector<std::uint8_t>(this->unit_, 0xFF));
}

REGISTER_TYPED_TEST_SUITE_P(FlashConformance, ReadsErasedBytesAsFF,
                            KeepsWhatIsProgrammedUnitByUnitAndInOnePiece, ReadsAtAnyOffsetAndSize,
                            ReadsAcrossTheEndOfASector, ErasesOneSectorAndNothingElse,
                            RefusesWhatIsOutsideOrNotAligned, FindsWhatWasFlushedAfterARestart);

}  // namespace godwit::test
