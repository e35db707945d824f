// SPDX-License-Identifier: Apache-2.0
// How deep the stack was ever used: it is painted at the start, and what is not paint any more was used.
#pragma once

#include <cstdint>
#include <span>

namespace godwit::boards {

// The memory of the main stack, its lowest address first. Defined by startup.cc, or by a board whose SDK
// starts it.
[[nodiscard]] std::span<std::uint32_t> main_stack();

// Paints the part of `stack` below `until`, an address in it. Call as early as possible.
void paint_stack(std::span<std::uint32_t> stack, const void* until);
// Bytes used at the deepest so far.
[[nodiscard]] std::uint32_t stack_used(std::span<const std::uint32_t> stack);

}  // namespace godwit::boards
