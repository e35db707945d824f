// SPDX-License-Identifier: Apache-2.0
#include "boards/common/cortex_m/systick.h"

#include "boards/common/cortex_m/registers.h"

namespace godwit::boards {
namespace {

constexpr std::uint32_t kCounterEnd = 1U << 24U;

constinit std::uint32_t cycles_per_ms = 0;
constinit std::uint32_t ms_per_interval = 0;
constinit std::uint64_t intervals = 0;  // changed by the interrupt alone

struct Reading {
  std::uint64_t intervals;
  std::uint32_t cycles;  // since the last of them
};

Reading read() {
  const InterruptsOff off;
  std::uint32_t value = reg(kSysTickValue);
  std::uint64_t count = intervals;
  // The counter may have started anew while its interrupt waits: then this interval is not counted yet.
  if ((reg(kInterruptControl) & kSysTickPending) != 0) {
    value = reg(kSysTickValue);
    ++count;
  }
  // The interrupt comes with the value 0, which is the first of a new interval, before the highest one.
  const std::uint32_t cycles = value == 0 ? 0 : cycles_per_ms * ms_per_interval - value;
  return {.intervals = count, .cycles = cycles};
}

}  // namespace

void SysTick::start(std::uint32_t clock_hz) {
  cycles_per_ms = clock_hz / 1'000;
  ms_per_interval = kCounterEnd / cycles_per_ms;
  reg(kSysTickReload) = cycles_per_ms * ms_per_interval - 1;
  reg(kSysTickValue) = 0;
  reg(kSystemPriority3) = 0xFFU << 24U;  // after everything else, a watchdog's warning above all
  reg(kSysTickControl) = 0b111;          // the processor's clock, interrupt, on
}

Instant SysTick::now() {
  const Reading reading = read();
  return Instant(Millis{reading.intervals * ms_per_interval + reading.cycles / cycles_per_ms});
}

std::uint32_t SysTick::cycles() {
  const Reading reading = read();
  return static_cast<std::uint32_t>(reading.intervals) * (cycles_per_ms * ms_per_interval) + reading.cycles;
}

void SysTick::sleep(std::span<const std::uint8_t> interrupts) {
  const InterruptsOff off;  // a pending interrupt wakes although it is masked, so none is missed in between
  for (const std::uint8_t n : interrupts) {
    const std::uint32_t bit = 1U << (n % 32U);
    // Without a handler it stays pending after its source was dealt with. A source that still asks keeps it
    // so.
    reg(kNvicClearPending + n / 32U * 4U) = bit;
    reg(kNvicEnable + n / 32U * 4U) = bit;
  }
  asm volatile("dsb\nwfi" ::: "memory");
  for (const std::uint8_t n : interrupts) reg(kNvicDisable + n / 32U * 4U) = 1U << (n % 32U);
  asm volatile("dsb\nisb" ::: "memory");  // before interrupts are let in again: these have no handlers
}

}  // namespace godwit::boards

extern "C" void SysTick_Handler();
extern "C" void SysTick_Handler() { godwit::boards::intervals = godwit::boards::intervals + 1; }
