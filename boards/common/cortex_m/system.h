// SPDX-License-Identifier: Apache-2.0
// What the processor can do to itself.
#pragma once

namespace godwit::boards {

// As after power-on, but RAM keeps its content. A board on which the processor cannot reset all of the chip
// defines it anew.
[[noreturn]] void reset_processor();

}  // namespace godwit::boards
