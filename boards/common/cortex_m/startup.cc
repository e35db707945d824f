// SPDX-License-Identifier: Apache-2.0
// From reset to main(), for boards without an SDK of their own. Cortex-M3 and up.
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "board_limits.h"

#include "boards/common/cortex_m/faults.h"
#include "boards/common/cortex_m/registers.h"
#include "boards/common/cortex_m/stack.h"
#include "boards/common/cortex_m/system.h"

// From sections.ld.
extern "C" {
extern const std::uint32_t data_image[];
extern std::uint32_t data_begin[];
extern std::uint32_t data_end[];
extern std::uint32_t bss_begin[];
extern std::uint32_t bss_end[];
using Handler = void (*)();
extern const Handler init_array_begin[];
extern const Handler init_array_end[];

[[noreturn]] void Reset_Handler();
void SysTick_Handler();  // systick.cc
}

int call_main() asm("main");  // C++ lets nobody call main() by its name

namespace godwit::boards {
namespace {

[[gnu::section(".stack")]] alignas(
    32) std::array<std::uint32_t, BOARD_STACK_SIZE / sizeof(std::uint32_t)> stack;

// ARMv7-M B1.5.3. The devices' interrupts only wake the processor (SysTick::sleep()), but for a watchdog that
// warns by interrupt before it resets; Fault_Handler takes that as what it is.
struct Vectors {
  const std::uint32_t* stack_top;
  Handler reset;
  std::array<Handler, 9> faults;    // NMI, HardFault, MemManage, BusFault, UsageFault, four reserved
  std::array<Handler, 4> services;  // SVCall, debug monitor, reserved, PendSV
  Handler sys_tick;
  std::array<Handler, BOARD_INTERRUPTS> interrupts;
};

constexpr Vectors make_vectors() {
  Vectors made{.stack_top = stack.data() + stack.size(), .reset = Reset_Handler, .sys_tick = SysTick_Handler};
  made.faults.fill(Fault_Handler);
  made.services.fill(Fault_Handler);
  made.interrupts.fill(Fault_Handler);
  return made;
}

[[gnu::section(".vectors"), gnu::used]] constinit const Vectors vectors = make_vectors();

// Makes the 4 KB below RAM, where the stack would overflow to, a fault to touch: more than any function has
// of locals. Nothing may be there, but not every board says so: QEMU's lm3s6965evb reads zeros. Fault
// handlers are exempt. sections.ld checks that the guard begins where a region of its size can.
void guard_stack() {
  constexpr std::uint32_t kSizeField = (std::bit_width(kStackGuardSize) - 2) << 1;  // 2^(field + 1) bytes
  constexpr std::uint32_t kNeverExecute = 1U << 28;
  constexpr std::uint32_t kNoAccess = 0;
  constexpr std::uint32_t kRegionValid = 1U << 4;  // in the base register: its low bits name the region, 0
  reg(kMpuRegionBase) = (reinterpret_cast<std::uintptr_t>(stack.data()) - kStackGuardSize) | kRegionValid;
  reg(kMpuRegionSize) = kNeverExecute | kNoAccess | kSizeField | 1;
  reg(kMpuControl) = 0b101;  // on; outside of regions the default memory map
  asm volatile("dsb\nisb" ::: "memory");
}

}  // namespace
}  // namespace godwit::boards

extern "C" [[noreturn]] void Reset_Handler() {
  using namespace godwit::boards;
  asm volatile("cpsid i" ::: "memory");
  // A little below here is in use by this function and the next.
  paint_stack(stack, static_cast<const char*>(__builtin_frame_address(0)) - 64);
  std::copy(data_image, data_image + (data_end - data_begin), data_begin);
  std::fill(bss_begin, bss_end, 0);
  reg(kVectorTable) = reinterpret_cast<std::uintptr_t>(&vectors);
  guard_stack();
  asm volatile("cpsie i" ::: "memory");
  std::for_each(init_array_begin, init_array_end, [](Handler initialize) { initialize(); });
  call_main();
  reset_processor();
}
