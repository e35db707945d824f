// SPDX-License-Identifier: Apache-2.0
// What the processor can do to itself.
#pragma once

namespace godwit::boards {

// As after power-on, but RAM keeps its content.
[[noreturn]] void reset_processor();

}  // namespace godwit::boards
