// SPDX-License-Identifier: Apache-2.0
// When the program cannot go on, the cause is kept over a reset (crash.h) and the board starts again. Defines
// assert_failed() and the handler of all faults, of the NMI and of a watchdog's interrupt. The handler also
// steps over the breakpoints of semihosting where nobody serves them (semihosting.h).
#pragma once

#include <string_view>

// For the vector table.
extern "C" void Fault_Handler();

namespace godwit::boards {

// The stack has grown past its end, as `where` has found out.
[[noreturn]] void stack_overflowed(std::string_view where);

}  // namespace godwit::boards
