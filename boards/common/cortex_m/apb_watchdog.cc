// SPDX-License-Identifier: Apache-2.0
#include "boards/common/cortex_m/apb_watchdog.h"

#include "boards/common/cortex_m/registers.h"

namespace godwit::boards {
namespace {

constexpr std::uintptr_t kLoad = 0x000;
constexpr std::uintptr_t kControl = 0x008;
constexpr std::uint32_t kInterruptOn = 1U << 0;
constexpr std::uint32_t kResetOn = 1U << 1;
constexpr std::uintptr_t kInterruptClear = 0x00C;  // starts the count anew too
constexpr std::uintptr_t kLock = 0xC00;
constexpr std::uint32_t kUnlock = 0x1ACC'E551;

}  // namespace

void ApbWatchdog::start(std::uint32_t clock_hz, Millis timeout) {
  write(kLoad, clock_hz / 1'000 * static_cast<std::uint32_t>(timeout.count()));
  write(kControl, kInterruptOn | kResetOn);
}

void ApbWatchdog::feed() { write(kInterruptClear, 1); }

// Locked in between: a program that has gone astray must not feed by accident.
void ApbWatchdog::write(std::uintptr_t offset, std::uint32_t value) {
  reg(base_ + kLock) = kUnlock;
  reg(base_ + offset) = value;
  reg(base_ + kLock) = 0;
}

}  // namespace godwit::boards
