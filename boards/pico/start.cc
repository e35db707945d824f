// SPDX-License-Identifier: Apache-2.0
// From the pico-sdk's start-up code (crt0.S, which has set up RAM) to main(), and what the SDK wants of a
// program that it would otherwise take from its own libc, with a heap and printf.
#include <pico/runtime_init.h>

#include <algorithm>

#include "boards/common/cortex_m/faults.h"
#include "boards/common/cortex_m/stack.h"
#include "proto/base/assert.h"

extern "C" {
using Initializer = void (*)();
// From the SDK's linker script.
extern const Initializer __preinit_array_start[];
extern const Initializer __preinit_array_end[];
extern const Initializer __init_array_start[];
extern const Initializer __init_array_end[];

// The stack guard is a region of the memory protection unit on the RP2040, the stack limit on the RP2350.
void runtime_init() {
  using namespace godwit::boards;
  const auto initialize = [](Initializer initializer) { initializer(); };
  // A little below here is in use by this function and the next.
  paint_stack(main_stack(), static_cast<const char*>(__builtin_frame_address(0)) - 64);
  runtime_init_per_core_install_stack_guard(main_stack().data());
  std::for_each(__preinit_array_start, __preinit_array_end, initialize);  // the SDK's: clocks, vectors, ...
  std::for_each(__init_array_start, __init_array_end, initialize);
}

// In the SDK's vector table; RP2040 and RP2350 escalate every fault to this one.
[[gnu::naked]] void isr_hardfault() { asm volatile("ldr r0, =Fault_Handler\nbx r0\n"); }

// The SDK's own checks. panic() calls godwit_panic.
[[noreturn]] void godwit_panic() { godwit::assert_failed("pico-sdk panic", 0); }
void hard_assertion_failure() { godwit::assert_failed("pico-sdk assertion", 0); }
[[noreturn]] void exit(int) { godwit::assert_failed("main() returned", 0); }

}  // extern "C"
