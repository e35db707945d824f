// SPDX-License-Identifier: Apache-2.0
#include "boards/pico/qspi_flash.h"

#include <gtest/gtest.h>
#include <hardware/flash.h>
#include <hardware/sync.h>

#include <algorithm>
#include <array>

#include "board_limits.h"

#include "tests/support/flash_conformance.h"

namespace {

std::array<std::uint8_t, PICO_FLASH_SIZE_BYTES> memory;
bool interrupts_on = true;
bool stuck = false;  // the flash ignores what it is told

}  // namespace

std::uintptr_t XIP_BASE = reinterpret_cast<std::uintptr_t>(memory.data());

void flash_range_erase(std::uint32_t offset, std::size_t size) {
  ASSERT_FALSE(interrupts_on);
  ASSERT_EQ(offset % FLASH_SECTOR_SIZE, 0U);
  ASSERT_EQ(size % FLASH_SECTOR_SIZE, 0U);
  if (!stuck) std::fill_n(memory.begin() + offset, size, 0xFF);
}

void flash_range_program(std::uint32_t offset, const std::uint8_t* data, std::size_t size) {
  ASSERT_FALSE(interrupts_on);
  ASSERT_EQ(offset % FLASH_PAGE_SIZE, 0U);
  ASSERT_EQ(size % FLASH_PAGE_SIZE, 0U);
  for (std::size_t i = 0; i < size && !stuck; ++i) memory.at(offset + i) &= data[i];
}

std::uint32_t save_and_disable_interrupts() {
  const std::uint32_t status = interrupts_on ? 0 : 1;
  interrupts_on = false;
  return status;
}
void restore_interrupts(std::uint32_t status) { interrupts_on = status == 0; }

namespace godwit::test {

struct QspiFlashFixture : FlashFixture {
  std::shared_ptr<ports::Flash> make() override {
    stuck = false;
    memory.fill(0xFF);
    return std::make_unique<boards::QspiFlash>();
  }
  std::shared_ptr<ports::Flash> reopen(std::shared_ptr<ports::Flash>) override {
    return std::make_unique<boards::QspiFlash>();
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(QspiFlash, FlashConformance, QspiFlashFixture);

namespace {

TEST(QspiFlash, LeavesTheImageBelowTheStorageAlone) {
  QspiFlashFixture fixture;
  const auto flash = fixture.make();
  memory.fill(0x55);
  for (std::uint32_t sector = 0; sector < flash->geometry().sector_count; ++sector) {
    ASSERT_EQ(flash->erase(sector), Status::kOk);
    ASSERT_EQ(flash->program(std::uint64_t{sector} * FLASH_SECTOR_SIZE, std::array<std::uint8_t, 16>{}),
              Status::kOk);
  }
  const auto in_image = memory.begin() + BOARD_STORAGE_OFFSET;
  EXPECT_TRUE(std::all_of(memory.begin(), in_image, [](std::uint8_t byte) { return byte == 0x55; }));
  EXPECT_TRUE(interrupts_on);
}

TEST(QspiFlash, ProgramsWhatCrossesPagesWithoutTouchingTheRestOfThem) {
  QspiFlashFixture fixture;
  const auto flash = fixture.make();
  std::array<std::uint8_t, 528> data{};
  std::ranges::generate(data, [value = std::uint8_t{0}]() mutable { return value += 7; });
  ASSERT_EQ(flash->program(FLASH_PAGE_SIZE - 16, data), Status::kOk);
  const auto storage = memory.begin() + BOARD_STORAGE_OFFSET;
  EXPECT_TRUE(std::equal(data.begin(), data.end(), storage + FLASH_PAGE_SIZE - 16));
  EXPECT_TRUE(
      std::all_of(storage, storage + FLASH_PAGE_SIZE - 16, [](std::uint8_t byte) { return byte == 0xFF; }));
  EXPECT_EQ(storage[FLASH_PAGE_SIZE - 16 + data.size()], 0xFF);
}

TEST(QspiFlash, SaysThatAStuckFlashFailed) {
  QspiFlashFixture fixture;
  const auto flash = fixture.make();
  ASSERT_EQ(flash->program(0, std::array<std::uint8_t, 16>{}), Status::kOk);
  stuck = true;
  EXPECT_EQ(flash->erase(0), Status::kIo);
  EXPECT_EQ(flash->program(16, std::array<std::uint8_t, 16>{}), Status::kIo);
}

}  // namespace
}  // namespace godwit::test
