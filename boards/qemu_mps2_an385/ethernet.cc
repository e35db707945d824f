// SPDX-License-Identifier: Apache-2.0
#include "boards/qemu_mps2_an385/ethernet.h"

#include <algorithm>
#include <array>

#include "boards/common/cortex_m/registers.h"

namespace godwit::boards {
namespace {

// Registers on the bus (data sheet, 5.3).
constexpr std::uintptr_t kBase = 0x4020'0000;
constexpr std::uintptr_t kReceiveData = kBase + 0x00;
constexpr std::uintptr_t kTransmitData = kBase + 0x20;
constexpr std::uintptr_t kReceiveStatus = kBase + 0x40;
constexpr std::uintptr_t kTransmitStatus = kBase + 0x48;
constexpr std::uintptr_t kInterruptConfig = kBase + 0x54;
constexpr std::uintptr_t kInterruptStatus = kBase + 0x58;  // writing acknowledges
constexpr std::uintptr_t kInterruptEnable = kBase + 0x5C;
constexpr std::uintptr_t kFifoInterrupt = kBase + 0x68;
constexpr std::uintptr_t kReceiveConfig = kBase + 0x6C;
constexpr std::uintptr_t kTransmitConfig = kBase + 0x70;
constexpr std::uintptr_t kHardwareConfig = kBase + 0x74;
constexpr std::uintptr_t kReceiveFifo = kBase + 0x7C;
constexpr std::uintptr_t kTransmitFifo = kBase + 0x80;
constexpr std::uintptr_t kDropped = kBase + 0xA0;  // frames that did not fit; reading clears it
constexpr std::uintptr_t kMacCommand = kBase + 0xA4;
constexpr std::uintptr_t kMacData = kBase + 0xA8;

constexpr std::uint32_t kInterruptOn = 1U << 8 | 1U << 4 | 1U << 0;  // active high, push-pull
constexpr std::uint32_t kReceiveLevel = 1U << 3;  // an interrupt: the status FIFO is not empty
constexpr std::uint32_t kTransmitOn = 1U << 1;
constexpr std::uint32_t kSoftReset = 1U << 0;
constexpr std::uint32_t kWholeFrames =
    1U << 20 | 5U << 16;                           // a frame is sent when it is complete; 5 KB for sending
constexpr std::uint32_t kFrameDamaged = 1U << 15;  // in a receive status
constexpr std::uint32_t kBusy = 1U << 31;          // in the MAC command
constexpr std::uint32_t kReading = 1U << 30;

// Registers of the MAC (5.4), and one of the PHY behind it (5.5).
constexpr std::uint32_t kMacControl = 1;
constexpr std::uint32_t kMacAddressHigh = 2;
constexpr std::uint32_t kMacAddressLow = 3;
constexpr std::uint32_t kPhyAccess = 6;
constexpr std::uint32_t kPhyData = 7;
constexpr std::uint32_t kFullDuplexOn = 1U << 20 | 1U << 3 | 1U << 2;  // sends and receives
constexpr std::uint32_t kPhyStatus = 1;
constexpr std::uint32_t kPhyLinkUp = 1U << 2;

constexpr std::size_t kChecksumSize = 4;
constexpr std::size_t kHeaderSize = 14;
constexpr std::size_t kFrameSizeMax = 1514;

void wait_for_mac() {
  while ((reg(kMacCommand) & kBusy) != 0) {
  }
}

std::uint32_t read_mac(std::uint32_t index) {
  wait_for_mac();
  reg(kMacCommand) = kBusy | kReading | index;
  wait_for_mac();
  return reg(kMacData);
}

void write_mac(std::uint32_t index, std::uint32_t value) {
  wait_for_mac();
  reg(kMacData) = value;
  reg(kMacCommand) = kBusy | index;
  wait_for_mac();
}

std::uint32_t read_phy(std::uint32_t index) {
  constexpr std::uint32_t kInternalPhy = 1U << 11;
  constexpr std::uint32_t kPhyBusy = 1;
  write_mac(kPhyAccess, kInternalPhy | index << 6U | kPhyBusy);
  while ((read_mac(kPhyAccess) & kPhyBusy) != 0) {
  }
  return read_mac(kPhyData);
}

}  // namespace

Lan9118::Lan9118() : reader_(reg(kReceiveData)), writer_(reg(kTransmitData)) {}

void Lan9118::start() {
  reg(kHardwareConfig) = kSoftReset;  // it then reads its address from its EEPROM
  while ((reg(kHardwareConfig) & kSoftReset) != 0) {
  }
  reg(kInterruptEnable) = 0;
  reg(kInterruptStatus) = ~0U;
  reg(kHardwareConfig) = kWholeFrames;
  reg(kReceiveConfig) = 0;
  reg(kTransmitConfig) = kTransmitOn;
  write_mac(kMacControl, kFullDuplexOn);
  reg(kFifoInterrupt) = 0;  // from the first frame on
  reg(kInterruptConfig) = kInterruptOn;
  reg(kInterruptEnable) = kReceiveLevel;
  unread_ = 0;
  errors_ = 0;
}

Ethernet::Address Lan9118::address() const {
  Address address;
  store_le(address.data(), read_mac(kMacAddressLow));
  store_le(&address[4], static_cast<std::uint16_t>(read_mac(kMacAddressHigh)));
  return address;
}

bool Lan9118::link_up() { return (read_phy(kPhyStatus) & kPhyLinkUp) != 0; }

std::size_t Lan9118::begin_receive() {
  const auto frames = [] { return (reg(kReceiveFifo) >> 16U) & 0xFF; };
  while (true) {
    if (frames() == 0) {
      errors_ += reg(kDropped);
      reg(kInterruptStatus) = kReceiveLevel;
      if (frames() == 0) return 0;  // a frame that came in between has its interrupt acknowledged too
    }
    const std::uint32_t status = reg(kReceiveStatus);
    unread_ = (status >> 16U) & 0x3FFF;
    reader_.begin();
    const std::size_t size = unread_ - std::min(unread_, kChecksumSize);
    if ((status & kFrameDamaged) == 0 && size >= kHeaderSize && size <= kFrameSizeMax) return size;
    end_receive();
    ++errors_;
  }
}

void Lan9118::read(MutableBytes out) {
  reader_.read(out);
  unread_ -= out.size();
}

void Lan9118::end_receive() {
  std::array<std::uint8_t, 64> dropped;
  while (unread_ > 0) read(MutableBytes(dropped).first(std::min(unread_, dropped.size())));
}

bool Lan9118::begin_transmit(std::size_t size) {
  constexpr std::size_t kCommandsSize = 8;
  constexpr std::uint32_t kWholeFrame = 3U << 12;      // first and last piece of it
  while (((reg(kTransmitFifo) >> 16U) & 0xFF) != 0) {  // a full FIFO of statuses would stop it
    [[maybe_unused]] const std::uint32_t status = reg(kTransmitStatus);
  }
  if ((reg(kTransmitFifo) & 0xFFFF) < size + kCommandsSize + sizeof(std::uint32_t)) return false;
  reg(kTransmitData) = kWholeFrame | static_cast<std::uint32_t>(size);
  reg(kTransmitData) = static_cast<std::uint32_t>(size);
  return true;
}

}  // namespace godwit::boards
