// SPDX-License-Identifier: Apache-2.0
// The flash of a Pico, in memory: programming only clears bits, whole pages and sectors only, and interrupts
// have to be off meanwhile.
#pragma once

#include <cstddef>
#include <cstdint>

inline constexpr std::uint32_t FLASH_PAGE_SIZE = 256;
inline constexpr std::uint32_t FLASH_SECTOR_SIZE = 4096;
inline constexpr std::uint32_t PICO_FLASH_SIZE_BYTES = 0x100000 + 16 * FLASH_SECTOR_SIZE;

extern std::uintptr_t XIP_BASE;

void flash_range_erase(std::uint32_t offset, std::size_t size);
void flash_range_program(std::uint32_t offset, const std::uint8_t* data, std::size_t size);
