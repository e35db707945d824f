// SPDX-License-Identifier: Apache-2.0
#include "boards/common/cortex_m/stack.h"

extern "C" {
extern std::uint32_t stack_begin[];
extern std::uint32_t stack_end[];
}

namespace godwit::boards {
namespace {

constexpr std::uint32_t kPaint = 0xA5C3'5A3C;

}  // namespace

std::span<std::uint32_t> main_stack() { return {stack_begin, stack_end}; }

void paint_stack(std::span<std::uint32_t> stack, const void* until) {
  // Volatile, so that this stays a loop: a call of memset would use the stack that it paints.
  for (volatile std::uint32_t* word = stack.data(); word < until; ++word) *word = kPaint;
}

std::uint32_t stack_used(std::span<const std::uint32_t> stack) {
  std::size_t unused = 0;
  while (unused < stack.size() && stack[unused] == kPaint) ++unused;
  return static_cast<std::uint32_t>(stack.subspan(unused).size_bytes());
}

}  // namespace godwit::boards
