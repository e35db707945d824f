// SPDX-License-Identifier: Apache-2.0
// The board as a network adapter of the computer at its USB port (CDC-ECM, which Linux and macOS know): what
// the computer sends over that interface arrives here. tinyusb does the work; it is asked in
// begin_receive(). One at a time, as tinyusb calls back without a context.
#pragma once

#include "boards/common/net/ethernet.h"

namespace godwit::boards {

class UsbNetwork final : public Ethernet {
 public:
  // USB has to be started (serial_port.h shares it).
  void start() override;
  [[nodiscard]] Address address() const override;
  [[nodiscard]] bool link_up() override;

  std::size_t begin_receive() override;
  void read(MutableBytes out) override;
  void end_receive() override;
  bool begin_transmit(std::size_t size) override;
  void write(Bytes in) override;
  void end_transmit() override;
  [[nodiscard]] std::uint32_t errors() const override;
};

// From the chip's number. The adapter that the computer sees needs another one than the board behind it.
[[nodiscard]] Ethernet::Address board_address();
[[nodiscard]] Ethernet::Address adapter_address();

}  // namespace godwit::boards
