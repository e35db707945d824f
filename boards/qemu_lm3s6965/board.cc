// SPDX-License-Identifier: Apache-2.0
// Registers: Texas Instruments, "Stellaris LM3S6965 Microcontroller" (data sheet), chapters 5, 10 and 12.
#include "boards/qemu_lm3s6965/board.h"

#include <algorithm>
#include <array>

#include "boards/common/cortex_m/crash.h"
#include "boards/common/cortex_m/registers.h"
#include "boards/common/cortex_m/system.h"
#include "boards/common/cortex_m/systick.h"
#include "boards/qemu_lm3s6965/clock_gates.h"

namespace godwit::boards {
namespace {

// System control.
constexpr std::uintptr_t kRawInterrupts = 0x400F'E050;  // RIS
constexpr std::uint32_t kPllLocked = 1U << 6;
constexpr std::uintptr_t kResetCause = 0x400F'E05C;  // RESC
constexpr std::uint32_t kPin = 1U << 0, kPowerOn = 1U << 1, kBrownOut = 1U << 2, kWatchdog = 1U << 3,
                        kSoftware = 1U << 4;
constexpr std::uintptr_t kClock = 0x400F'E060;  // RCC
constexpr std::uint32_t kBypass = 1U << 11, kPllOff = 1U << 13, kUseDivider = 1U << 22;
constexpr std::uint32_t kDivideBy4 = 3U << 23;  // the PLL gives 200 MHz
constexpr std::uint32_t kCrystal8MHz = 0xEU << 6;
constexpr std::uint32_t kClockFields =
    0xFU << 23 | kUseDivider | kPllOff | kBypass | 0xFU << 6 | 3U << 4;  // source 0: the crystal
constexpr std::uint32_t kGateWatchdog = 1U << 3;                         // in clock gate 0
constexpr std::uint32_t kGateUart0 = 1U << 0;                            // in 1
constexpr std::uint32_t kGateTimer0 = 1U << 16;                          // in 1
constexpr std::uint32_t kGatePortA = 1U << 0;                            // in 2

constexpr std::uintptr_t kPortAAlternate = 0x4000'4420, kPortADigital = 0x4000'451C;
constexpr std::uint32_t kUartPins = 0b11;

constexpr std::uintptr_t kUart = 0x4000'C000;
constexpr std::uintptr_t kUartData = kUart, kUartFlags = kUart + 0x18, kUartDivisor = kUart + 0x24,
                         kUartFraction = kUart + 0x28, kUartFormat = kUart + 0x2C,
                         kUartControl = kUart + 0x30, kUartInterrupts = kUart + 0x38;
constexpr std::uint32_t kReceiveEmpty = 1U << 4, kTransmitFull = 1U << 5;  // flags
constexpr std::uint32_t kEightBitsFifo = 0x70;
constexpr std::uint32_t kUartOn = 0x301;                                 // with receiver and transmitter
constexpr std::uint32_t kReceived = 1U << 4, kReceiveTimeout = 1U << 6;  // interrupts

// The timer that ends a sleep: 32 bits, once.
constexpr std::uintptr_t kTimer = 0x4003'0000;
constexpr std::uintptr_t kTimerConfiguration = kTimer, kTimerMode = kTimer + 0x04,
                         kTimerControl = kTimer + 0x0C, kTimerInterrupts = kTimer + 0x18,
                         kTimerClear = kTimer + 0x24, kTimerLoad = kTimer + 0x28;
constexpr std::uint32_t kTimerOnce = 1, kTimerOn = 1, kTimedOut = 1;

constexpr std::uint8_t kUartInterrupt = 5;
constexpr std::uint8_t kTimerInterrupt = 19;
constexpr std::uint8_t kWatchdogInterrupt = 18;

void start_clock() {
  std::uint32_t clock = (reg(kClock) & ~kClockFields) | kUseDivider | kDivideBy4 | kCrystal8MHz;
  reg(kClock) = clock | kBypass;
  while ((reg(kRawInterrupts) & kPllLocked) == 0) continue;
  reg(kClock) = clock;
}

// 115,200 baud, 8 bits, no parity.
void start_uart() {
  open_gate(kClockGate2, kGatePortA);
  open_gate(kClockGate1, kGateUart0);
  reg(kPortAAlternate) |= kUartPins;
  reg(kPortADigital) |= kUartPins;
  constexpr std::uint32_t kDivisor64 =
      (Lm3s6965::kClockHz * 4 + 57'600) / 115'200;  // clock / 16 / baud, times 64
  reg(kUartControl) = 0;
  reg(kUartDivisor) = kDivisor64 / 64;
  reg(kUartFraction) = kDivisor64 % 64;
  reg(kUartFormat) = kEightBitsFifo;
  reg(kUartInterrupts) = kReceived | kReceiveTimeout;
  reg(kUartControl) = kUartOn;
}

void start_timer() {
  open_gate(kClockGate1, kGateTimer0);
  reg(kTimerConfiguration) = 0;
  reg(kTimerMode) = kTimerOnce;
  reg(kTimerInterrupts) = kTimedOut;
}

}  // namespace

Lm3s6965::Lm3s6965() {
  start_clock();
  SysTick::start(kClockHz);
  start_timer();
  start_uart();
}

Instant Lm3s6965::now() { return SysTick::now(); }
std::uint32_t Lm3s6965::cycles() { return SysTick::cycles(); }

void Lm3s6965::wait(Instant until) {
  static constexpr std::array kWakers{StellarisEthernet::kInterrupt, kUartInterrupt, kTimerInterrupt};
  const auto ms = std::clamp<std::int64_t>((until - now()).count(), 0, 1'000);
  if (ms == 0) return;
  reg(kTimerLoad) = static_cast<std::uint32_t>(ms) * (kClockHz / 1'000);
  reg(kTimerControl) = kTimerOn;
  SysTick::sleep(kWakers);
  reg(kTimerControl) = 0;
  reg(kTimerClear) = kTimedOut;
}

void Lm3s6965::put(char c) {
  while ((reg(kUartFlags) & kTransmitFull) != 0) continue;
  reg(kUartData) = static_cast<std::uint8_t>(c);
}

std::optional<char> Lm3s6965::get() {
  if ((reg(kUartFlags) & kReceiveEmpty) != 0) return std::nullopt;
  return static_cast<char>(reg(kUartData));
}

void Lm3s6965::start_watchdog(Millis timeout) {
  open_gate(kClockGate0, kGateWatchdog);
  watchdog_.start(kClockHz, timeout);
  reg(kNvicEnable) = 1U << kWatchdogInterrupt;
}

void Lm3s6965::reset() { reset_processor(); }

codec::ResetReason Lm3s6965::reset_reason() {
  const std::uint32_t cause = reg(kResetCause);
  reg(kResetCause) = 0;  // the bits add up
  const bool survived = ram_survived();
  if ((cause & kPowerOn) != 0) return codec::ResetReason::kPowerOn;
  if ((cause & kBrownOut) != 0) return codec::ResetReason::kBrownOut;
  if ((cause & kWatchdog) != 0) return codec::ResetReason::kWatchdog;
  if ((cause & kSoftware) != 0) return codec::ResetReason::kSoftware;
  if ((cause & kPin) != 0) return codec::ResetReason::kPin;
  // QEMU leaves the register empty.
  return survived ? codec::ResetReason::kSoftware : codec::ResetReason::kPowerOn;
}

ports::Flash& Lm3s6965::storage() {
  if (!storage_ || card_.block_count() == 0) {
    ignore(card_.start());  // without a card, the flash on it tells of the failure
    storage_.emplace(card_, kSectorsMax);
  }
  return *storage_;
}

}  // namespace godwit::boards
