// SPDX-License-Identifier: Apache-2.0
#include "boards/qemu_lm3s6965/spi.h"

#include <algorithm>

#include "boards/common/cortex_m/registers.h"
#include "boards/qemu_lm3s6965/clock_gates.h"

namespace godwit::boards {
namespace {

constexpr std::uint32_t kGateSsi0 = 1U << 4;                         // in clock gate 1
constexpr std::uint32_t kGatePortA = 1U << 0, kGatePortD = 1U << 3;  // in 2

// GPIO. A port's data register is mapped once for each mask of pins: the address selects which ones change.
constexpr std::uintptr_t kPortA = 0x4000'4000, kPortD = 0x4000'7000;
constexpr std::uintptr_t kDirection = 0x400, kAlternate = 0x420, kDigital = 0x51C;
constexpr std::uint32_t kSsiPins = 1U << 2 | 1U << 4 | 1U << 5;  // clock, receive, transmit
constexpr std::uint32_t kCardSelect = 1U << 0;
constexpr std::uintptr_t kCardSelectData = kPortD + (kCardSelect << 2);

// SSI.
constexpr std::uintptr_t kSsi0 = 0x4000'8000;
constexpr std::uintptr_t kControl0 = kSsi0, kControl1 = kSsi0 + 4, kData = kSsi0 + 8, kStatus = kSsi0 + 12,
                         kPrescale = kSsi0 + 16;
constexpr std::uint32_t kEightBits = 7;       // in control 0, with mode 0 and a serial clock rate of 0
constexpr std::uint32_t kEnabled = 1U << 1;   // in control 1
constexpr std::uint32_t kReceived = 1U << 2;  // in status: something is in the receive FIFO
constexpr std::size_t kFifoSize = 8;

// A call that yields a reference is not yet a read; C++ drops it even if the reference is volatile.
void read(std::uintptr_t address) { [[maybe_unused]] const std::uint32_t value = reg(address); }

}  // namespace

Ssi0::Ssi0(std::uint32_t system_hz) : system_hz_(system_hz) {
  open_gate(kClockGate1, kGateSsi0);
  open_gate(kClockGate2, kGatePortA | kGatePortD);
  reg(kPortA + kAlternate) |= kSsiPins;
  reg(kPortA + kDigital) |= kSsiPins;
  reg(kPortD + kDirection) |= kCardSelect;
  reg(kPortD + kDigital) |= kCardSelect;
  deselect();
  reg(kControl1) = 0;
  reg(kControl0) = kEightBits;
}

std::uint32_t Ssi0::set_clock(std::uint32_t hz_max) {
  const std::uint32_t halves = (system_hz_ + 2 * hz_max - 1) / (2 * hz_max);
  const std::uint32_t divisor =
      2 * std::clamp(halves, std::uint32_t{1}, std::uint32_t{127});  // even, 2 to 254
  reg(kControl1) = 0;
  reg(kPrescale) = divisor;
  reg(kControl1) = kEnabled;
  return system_hz_ / divisor;
}

void Ssi0::select() { reg(kCardSelectData) = 0; }
void Ssi0::deselect() { reg(kCardSelectData) = kCardSelect; }

// Nothing is in the FIFOs between calls, so a FIFO's worth of bytes can be written without looking.
void Ssi0::send(Bytes out) {
  while (!out.empty()) {
    const std::size_t size = std::min(out.size(), kFifoSize);
    for (const std::uint8_t byte : out.first(size)) reg(kData) = byte;
    for (std::size_t i = 0; i < size; ++i) {
      while ((reg(kStatus) & kReceived) == 0) {
      }
      read(kData);
    }
    out = out.subspan(size);
  }
}

void Ssi0::receive(MutableBytes in) {
  while (!in.empty()) {
    const std::size_t size = std::min(in.size(), kFifoSize);
    for (std::size_t i = 0; i < size; ++i) reg(kData) = 0xFF;
    for (std::uint8_t& byte : in.first(size)) {
      while ((reg(kStatus) & kReceived) == 0) {
      }
      byte = static_cast<std::uint8_t>(reg(kData));
    }
    in = in.subspan(size);
  }
}

}  // namespace godwit::boards
