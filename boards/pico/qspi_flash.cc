// SPDX-License-Identifier: Apache-2.0
#include "boards/pico/qspi_flash.h"

#include <hardware/flash.h>
#include <hardware/sync.h>

#include <algorithm>
#include <array>

#include "board_limits.h"

namespace godwit::boards {
namespace {

// The flash programs pages of 256 bytes, but leaves what is 1 in the data as it is, so that a page can be
// programmed in pieces. 16 bytes waste less of it than a page.
constexpr std::uint32_t kProgramSize = 16;
constexpr std::uint8_t kUnchanged = 0xFF;

const std::uint8_t* mapped(std::uint64_t offset) {
  const std::uintptr_t address = XIP_BASE + BOARD_STORAGE_OFFSET + static_cast<std::uintptr_t>(offset);
  return reinterpret_cast<const std::uint8_t*>(address);  // NOLINT(performance-no-int-to-ptr): hardware's
}

}  // namespace

QspiFlash::QspiFlash()
    : Flash({.sector_size_bytes = FLASH_SECTOR_SIZE,
             .sector_count = (PICO_FLASH_SIZE_BYTES - BOARD_STORAGE_OFFSET) / FLASH_SECTOR_SIZE,
             .program_size_bytes = kProgramSize}) {}

Status QspiFlash::do_read(std::uint64_t offset, MutableBytes out) {
  std::copy_n(mapped(offset), out.size(), out.begin());
  return Status::kOk;
}

Status QspiFlash::do_program(std::uint64_t offset, Bytes in) {
  std::array<std::uint8_t, FLASH_PAGE_SIZE> page{};  // in RAM, as the flash cannot be read meanwhile
  while (!in.empty()) {
    const auto in_page = static_cast<std::uint32_t>(offset % page.size());
    const std::size_t size = std::min<std::size_t>(in.size(), page.size() - in_page);
    page.fill(kUnchanged);
    std::copy_n(in.begin(), size, page.begin() + in_page);
    const std::uint32_t interrupts = save_and_disable_interrupts();  // their handlers are in the flash too
    flash_range_program(BOARD_STORAGE_OFFSET + static_cast<std::uint32_t>(offset) - in_page, page.data(),
                        page.size());
    restore_interrupts(interrupts);
    if (!std::equal(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(size), mapped(offset))) {
      return Status::kIo;
    }
    in = in.subspan(size);
    offset += size;
  }
  return Status::kOk;
}

Status QspiFlash::do_erase(std::uint32_t sector) {
  const std::uint32_t offset = sector * FLASH_SECTOR_SIZE;
  const std::uint32_t interrupts = save_and_disable_interrupts();
  flash_range_erase(BOARD_STORAGE_OFFSET + offset, FLASH_SECTOR_SIZE);
  restore_interrupts(interrupts);
  const auto is_erased = [](std::uint8_t byte) { return byte == kUnchanged; };
  return std::all_of(mapped(offset), mapped(offset + FLASH_SECTOR_SIZE), is_erased) ? Status::kOk
                                                                                    : Status::kIo;
}

// Each call returns when the flash is done.
Status QspiFlash::do_flush() { return Status::kOk; }

}  // namespace godwit::boards
