// SPDX-License-Identifier: Apache-2.0
#include "boards/common/cortex_m/faults.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "board_limits.h"

#include "boards/common/cortex_m/crash.h"
#include "boards/common/cortex_m/registers.h"
#include "boards/common/cortex_m/stack.h"
#include "boards/common/cortex_m/system.h"
#include "proto/base/assert.h"

#if !defined(BOARD_NOINIT_SECTION)
#define BOARD_NOINIT_SECTION ".noinit"
#endif

namespace godwit::boards {
namespace {

// Not zero at the start, as C++ has it of objects like this, and read by the next boot, of which a compiler
// knows nothing either: so it must not see which object this is.
struct Kept {
  CrashRecord crash;
  StartCount starts;
  StorageFailure storage;
  std::uint32_t survivor;
};
[[gnu::section(BOARD_NOINIT_SECTION)]] Kept kept_object;

Kept& kept() {
  Kept* found = &kept_object;
  asm volatile("" : "+r"(found)::"memory");
  return *found;
}

// What the processor pushes before it enters a handler (ARMv7-M B1.5.6).
struct Frame {
  std::uint32_t r0, r1, r2, r3, r12, lr, pc, xpsr;
};

// ARMv6-M and ARMv8-M Baseline do not tell the cause of a fault.
#if defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__)
constexpr bool kHasFaultStatus = false;
#else
constexpr bool kHasFaultStatus = true;
#endif
// CFSR.
constexpr std::uint32_t kFetchFailed = 1U << 0 | 1U << 8;             // IACCVIOL, IBUSERR
constexpr std::uint32_t kPushFailed = 1U << 4 | 1U << 12 | 1U << 20;  // MSTKERR, STKERR, STKOF
constexpr std::uint32_t kMemManageAddressValid = 1U << 7;
constexpr std::uint32_t kBusFaultAddressValid = 1U << 15;

constexpr std::uint32_t kNmi = 2;
constexpr std::uint32_t kHardFault = 3;
constexpr std::uint32_t kFirstInterrupt = 16;

std::uint32_t exception_number() {
  std::uint32_t number = 0;
  asm volatile("mrs %0, ipsr" : "=r"(number));
  return number & 0x1FFU;
}

bool in_stack(const Frame* frame) {
  const auto stack = main_stack();
  return reinterpret_cast<const std::uint32_t*>(frame) >= stack.data() &&
         reinterpret_cast<const std::uint32_t*>(frame + 1) <= stack.data() + stack.size();
}

bool is_below_stack(std::uint32_t address) {
  const auto bottom = reinterpret_cast<std::uintptr_t>(main_stack().data());
  return address < bottom && bottom - address <= kStackGuardSize;
}

std::uint32_t fault_address(std::uint32_t status) {
  if ((status & kMemManageAddressValid) != 0) return reg(kMemManageAddress);
  if ((status & kBusFaultAddressValid) != 0) return reg(kBusFaultAddress);
  return 0;
}

[[noreturn]] void crash(codec::Crash what) {
  what.stack_used = stack_used(main_stack());
  kept().crash.store(what);
  asm volatile("" ::: "memory");
  reset_processor();
}

// A call of semihosting without a debugger: makes it return an error.
bool step_over_semihosting(Frame* frame, std::uint32_t number, std::uint32_t status) {
  constexpr std::uint16_t kBreakpoint = 0xBEAB;  // bkpt 0xAB
  if (!kHasFaultStatus || number != kHardFault || (status & kFetchFailed) != 0 || !in_stack(frame))
    return false;
  if (*reinterpret_cast<const std::uint16_t*>(frame->pc) != kBreakpoint) return false;
  frame->pc += sizeof(kBreakpoint);
  frame->r0 = 0xFFFF'FFFF;
  return true;
}

}  // namespace

CrashRecord& last_crash() { return kept().crash; }
StartCount& start_count() { return kept().starts; }
StorageFailure& storage_failure() { return kept().storage; }

bool ram_survived() {
  constexpr std::uint32_t kSurvivor = 0x5EED'F00D;
  return std::exchange(kept().survivor, kSurvivor) == kSurvivor;
}

void stack_overflowed(std::string_view where) {
  crash({.kind = codec::CrashKind::kStackOverflow, .where = where});
}

}  // namespace godwit::boards

using namespace godwit::boards;

// "file:line", the end of it if it is long.
void godwit::assert_failed(const char* file, int line) {
  std::array<char, 96> where;
  char* const end = where.data() + where.size();
  char* begin = end;
  do {
    *--begin = static_cast<char>('0' + line % 10);
    line /= 10;
  } while (line != 0);
  *--begin = ':';
  std::string_view path(file);
  while (path.starts_with("../")) path.remove_prefix(3);  // a compiler cache may have made it relative
  path.remove_prefix(path.size() - std::min(path.size(), where.size() - 12));
  begin = std::copy_backward(path.begin(), path.end(), begin);
  crash({.kind = codec::CrashKind::kAssert,
         .pc = static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(__builtin_return_address(0))),
         .where = {begin, static_cast<std::size_t>(end - begin)}});
}

// Called by Fault_Handler. `frame` may lie outside of the stack after an overflow; then it is not read.
extern "C" [[gnu::used]] void handle_fault(Frame* frame) {
  const std::uint32_t number = exception_number();
  const std::uint32_t status = kHasFaultStatus ? reg(kFaultStatus) : 0;
  if (step_over_semihosting(frame, number, status)) return;
  godwit::codec::Crash what{.kind = godwit::codec::CrashKind::kFault, .cause = status};
  what.address = fault_address(status);
  if (in_stack(frame)) {
    what.pc = frame->pc;
    what.lr = frame->lr;
  }
  if (number == kNmi || number >= kFirstInterrupt) {
    what.kind = godwit::codec::CrashKind::kWatchdog;
  } else if (!in_stack(frame) || (status & kPushFailed) != 0 || is_below_stack(what.address)) {
    what.kind = godwit::codec::CrashKind::kStackOverflow;
  }
  crash(what);
}

// Gives handle_fault() a stack that it can use: the one there is, or if that is nearly at its end, all of it
// anew, as nothing returns then.
extern "C" [[gnu::naked]] void Fault_Handler() {
  asm volatile(
      "mrs r0, msp\n"
      "ldr r1, =stack_begin + 512\n"
      "cmp r0, r1\n"
      "bhs 1f\n"
      "ldr r1, =stack_end\n"
      "mov sp, r1\n"
      "1: ldr r1, =handle_fault\n"
      "bx r1\n");
}
