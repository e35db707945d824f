// SPDX-License-Identifier: Apache-2.0
// How deep the stack was ever used: it is painted at the start, and what is not paint any more was used.
#pragma once

#include <cstdint>
#include <span>

namespace godwit::boards {

// So many bytes below the stack are nobody's: who touches them has overflowed it.
inline constexpr std::uint32_t kStackGuardSize = 4096;

// The memory of the only stack, its lowest address first: between the linker's symbols stack_begin and
// stack_end.
[[nodiscard]] std::span<std::uint32_t> main_stack();

// Paints the part of `stack` below `until`, an address in it. Call as early as possible.
void paint_stack(std::span<std::uint32_t> stack, const void* until);
// Bytes used at the deepest so far.
[[nodiscard]] std::uint32_t stack_used(std::span<const std::uint32_t> stack);

}  // namespace godwit::boards
