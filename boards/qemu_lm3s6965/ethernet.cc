// SPDX-License-Identifier: Apache-2.0
#include "boards/qemu_lm3s6965/ethernet.h"

#include <algorithm>
#include <array>

#include "boards/common/cortex_m/registers.h"
#include "boards/qemu_lm3s6965/clock_gates.h"

namespace godwit::boards {
namespace {

// System control.
constexpr std::uint32_t kGateEthernet = 1U << 28 | 1U << 30;  // in clock gate 2
constexpr std::uintptr_t kUser0 = 0x400F'E1E0;                // the address, three bytes in each
constexpr std::uintptr_t kUser1 = 0x400F'E1E4;

// The controller.
constexpr std::uintptr_t kMac = 0x4004'8000;
constexpr std::uintptr_t kInterruptStatus = kMac;  // writing acknowledges
constexpr std::uintptr_t kInterruptMask = kMac + 0x04;
constexpr std::uintptr_t kReceiveControl = kMac + 0x08;
constexpr std::uintptr_t kTransmitControl = kMac + 0x0C;
constexpr std::uintptr_t kData = kMac + 0x10;
constexpr std::uintptr_t kAddress0 = kMac + 0x14;
constexpr std::uintptr_t kAddress1 = kMac + 0x18;
constexpr std::uintptr_t kThreshold = kMac + 0x1C;
constexpr std::uintptr_t kFramesReceived = kMac + 0x34;
constexpr std::uintptr_t kTransmitRequest = kMac + 0x38;

constexpr std::uint32_t kReceived = 1U << 0;  // an interrupt
constexpr std::uint32_t kReceiveError = 1U << 4;
constexpr std::uint32_t kAllInterrupts = 0x7F;
constexpr std::uint32_t kReceiveOn = 1U << 0;
constexpr std::uint32_t kDropBadFrames = 1U << 3;
constexpr std::uint32_t kResetFifo = 1U << 4;
constexpr std::uint32_t kTransmitOn =
    1U << 0 | 1U << 1 | 1U << 2 | 1U << 4;    // padded, with checksum, full duplex
constexpr std::uint32_t kWholeFrames = 0x3F;  // a frame is sent when it is complete

// Both FIFOs begin a frame with two bytes of length: received, that of these and all that follows; sent, that
// of the payload alone.
constexpr std::size_t kLengthSize = 2;
constexpr std::size_t kChecksumSize = 4;
constexpr std::size_t kHeaderSize = 14;
constexpr std::size_t kFrameSizeMax = 1514;

}  // namespace

StellarisEthernet::StellarisEthernet() : reader_(reg(kData)), writer_(reg(kData)) {}

void StellarisEthernet::start() {
  open_gate(kClockGate2, kGateEthernet);
  reg(kInterruptMask) = 0;
  reg(kReceiveControl) = kResetFifo;
  reg(kInterruptStatus) = kAllInterrupts;
  const Address address = this->address();
  reg(kAddress0) = load_le<std::uint32_t>(address.data());
  reg(kAddress1) = load_le<std::uint16_t>(&address[4]);
  reg(kThreshold) = kWholeFrames;
  reg(kTransmitControl) = kTransmitOn;
  reg(kReceiveControl) = kReceiveOn | kDropBadFrames;
  reg(kInterruptMask) = kReceived;
  unread_ = 0;
  errors_ = 0;
}

Ethernet::Address StellarisEthernet::address() const {
  const std::uint32_t low = reg(kUser0);
  const std::uint32_t high = reg(kUser1);
  const auto byte = [](std::uint32_t word, unsigned index) {
    return static_cast<std::uint8_t>(word >> (8 * index));
  };
  return {byte(low, 0), byte(low, 1), byte(low, 2), byte(high, 0), byte(high, 1), byte(high, 2)};
}

std::size_t StellarisEthernet::begin_receive() {
  if ((reg(kInterruptStatus) & kReceiveError) != 0) {  // damaged, or the FIFO overflowed
    reg(kInterruptStatus) = kReceiveError;
    ++errors_;
  }
  while (true) {
    if (reg(kFramesReceived) == 0) {
      reg(kInterruptStatus) = kReceived;
      if (reg(kFramesReceived) == 0)
        return 0;  // a frame that came in between has its interrupt acknowledged too
    }
    const std::uint32_t first = reg(kData);
    const std::size_t length = first & 0xFFFF;
    unread_ = length - std::min(length, kLengthSize);
    reader_.begin(first, sizeof(first) - kLengthSize);
    const std::size_t size = unread_ - std::min(unread_, kChecksumSize);
    if (size >= kHeaderSize && size <= kFrameSizeMax) return size;
    end_receive();
    ++errors_;
  }
}

void StellarisEthernet::read(MutableBytes out) {
  reader_.read(out);
  unread_ -= out.size();
}

void StellarisEthernet::end_receive() {
  std::array<std::uint8_t, 64> dropped;
  while (unread_ > 0) read(MutableBytes(dropped).first(std::min(unread_, dropped.size())));
}

bool StellarisEthernet::begin_transmit(std::size_t size) {
  // The FIFO takes one frame; the one before is on the wire for at most 1.3 ms.
  constexpr int kTriesMax = 20'000;
  for (int tries = 0; (reg(kTransmitRequest) & 1U) != 0; ++tries) {
    if (tries == kTriesMax) return false;
  }
  std::array<std::uint8_t, kLengthSize> length;
  store_le(length.data(), static_cast<std::uint16_t>(size - kHeaderSize));
  writer_.write(length);
  return true;
}

void StellarisEthernet::end_transmit() {
  writer_.end();
  reg(kTransmitRequest) = 1;
}

}  // namespace godwit::boards
