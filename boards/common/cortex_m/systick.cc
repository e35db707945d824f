// SPDX-License-Identifier: Apache-2.0
#include "boards/common/cortex_m/systick.h"

#include "boards/common/cortex_m/registers.h"

namespace godwit::boards {
namespace {

constinit std::uint32_t cycles_per_ms = 0;
constinit std::uint32_t cycles_per_interval = 0;
constinit volatile std::uint32_t intervals = 0;  // wraps after 497 days

struct Reading {
  std::uint32_t intervals;
  std::uint32_t cycles;  // since the last of them
};

Reading read() {
  const InterruptsOff off;
  const std::uint32_t before = reg(kSysTickValue);
  std::uint32_t count = intervals;
  std::uint32_t value = before;
  // The counter may have started anew while its interrupt waits: then this interval is not counted yet.
  if ((reg(kInterruptControl) & kSysTickPending) != 0) {
    value = reg(kSysTickValue);
    ++count;
  }
  return {.intervals = count, .cycles = cycles_per_interval - 1 - value};
}

}  // namespace

void SysTick::start(std::uint32_t clock_hz) {
  cycles_per_ms = clock_hz / 1'000;
  cycles_per_interval = cycles_per_ms * static_cast<std::uint32_t>(kInterval.count());
  reg(kSysTickReload) = cycles_per_interval - 1;
  reg(kSysTickValue) = 0;
  reg(kSystemPriority3) = 0xFFU << 24U;  // after everything else, a watchdog's warning above all
  reg(kSysTickControl) = 0b111;          // the processor's clock, interrupt, on
}

Instant SysTick::now() {
  const Reading reading = read();
  return Instant(reading.intervals * kInterval + Millis{reading.cycles / cycles_per_ms});
}

std::uint32_t SysTick::cycles() {
  const Reading reading = read();
  return reading.intervals * cycles_per_interval + reading.cycles;
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
}

}  // namespace godwit::boards

extern "C" void SysTick_Handler();
extern "C" void SysTick_Handler() { godwit::boards::intervals = godwit::boards::intervals + 1; }
