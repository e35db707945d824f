// SPDX-License-Identifier: Apache-2.0
// Registers: Arm, "Application Note AN385" and "Cortex-M System Design Kit" (DDI 0479), 4.1 and 4.3.
#include "boards/qemu_mps2_an385/board.h"

#include <algorithm>
#include <array>

#include "boards/common/cortex_m/crash.h"
#include "boards/common/cortex_m/registers.h"
#include "boards/common/cortex_m/system.h"
#include "boards/common/cortex_m/systick.h"

namespace godwit::boards {
namespace {

// The PSRAM of the board: QEMU keeps it in a file if told to.
constexpr std::uintptr_t kPsram = 0x2100'0000;
constexpr std::size_t kPsramSize = 16U << 20U;

constexpr std::uintptr_t kUart = 0x4000'4000;
constexpr std::uintptr_t kUartData = kUart, kUartState = kUart + 0x04, kUartControl = kUart + 0x08,
                         kUartInterruptClear = kUart + 0x0C, kUartDivisor = kUart + 0x10;
constexpr std::uint32_t kTransmitFull = 1U << 0, kReceiveFull = 1U << 1;  // state
constexpr std::uint32_t kUartOn = 1U << 0 | 1U << 1 | 1U << 3;  // transmitter, receiver and its interrupt
constexpr std::uint32_t kReceived = 1U << 1;                    // interrupt
constexpr std::uint8_t kUartInterrupt = 0;

// The timer that ends a sleep.
constexpr std::uintptr_t kTimer = 0x4000'0000;
constexpr std::uintptr_t kTimerControl = kTimer, kTimerValue = kTimer + 0x04, kTimerReload = kTimer + 0x08,
                         kTimerInterruptClear = kTimer + 0x0C;
constexpr std::uint32_t kTimerOn = 1U << 0 | 1U << 3;  // with its interrupt
constexpr std::uint32_t kTimedOut = 1U << 0;
constexpr std::uint8_t kTimerInterrupt = 8;

}  // namespace

Mps2An385::Mps2An385() : storage_({reinterpret_cast<std::uint8_t*>(kPsram), kPsramSize}) {
  SysTick::start(kClockHz);
  reg(kUartDivisor) = (kClockHz + 57'600) / 115'200;
  reg(kUartControl) = kUartOn;
}

Instant Mps2An385::now() { return SysTick::now(); }
std::uint32_t Mps2An385::cycles() { return SysTick::cycles(); }

void Mps2An385::wait(Instant until) {
  static constexpr std::array kWakers{Lan9118::kInterrupt, kUartInterrupt, kTimerInterrupt};
  const auto ms = std::clamp<std::int64_t>((until - now()).count(), 0, 1'000);
  if (ms == 0) return;
  reg(kTimerReload) = static_cast<std::uint32_t>(ms) * (kClockHz / 1'000);
  reg(kTimerValue) = reg(kTimerReload);
  reg(kTimerControl) = kTimerOn;
  SysTick::sleep(kWakers);
  reg(kTimerControl) = 0;
  reg(kTimerInterruptClear) = kTimedOut;
}

void Mps2An385::put(char c) {
  while ((reg(kUartState) & kTransmitFull) != 0) continue;
  reg(kUartData) = static_cast<std::uint8_t>(c);
}

std::optional<char> Mps2An385::get() {
  if ((reg(kUartState) & kReceiveFull) == 0) return std::nullopt;
  reg(kUartInterruptClear) = kReceived;
  return static_cast<char>(reg(kUartData));
}

void Mps2An385::reset() { reset_processor(); }

// The board has no register that tells.
codec::ResetReason Mps2An385::reset_reason() {
  return ram_survived() ? codec::ResetReason::kSoftware : codec::ResetReason::kPowerOn;
}

}  // namespace godwit::boards
