// SPDX-License-Identifier: Apache-2.0
// The SMSC LAN9118 Ethernet controller of the MPS2 board (Microchip, "LAN9118 data sheet"). Its interrupt is
// pending while a frame waits.
#pragma once

#include "boards/common/net/ethernet.h"
#include "boards/common/net/word_fifo.h"

namespace godwit::boards {

class Lan9118 final : public Ethernet {
 public:
  static constexpr std::uint8_t kInterrupt = 13;

  Lan9118();

  void start() override;
  [[nodiscard]] Address address() const override;
  [[nodiscard]] bool link_up() override;

  std::size_t begin_receive() override;
  void read(MutableBytes out) override;
  void end_receive() override;
  bool begin_transmit(std::size_t size) override;
  void write(Bytes in) override { writer_.write(in); }
  void end_transmit() override { writer_.end(); }
  [[nodiscard]] std::uint32_t errors() const override { return errors_; }

 private:
  WordReader reader_;
  WordWriter writer_;
  std::size_t unread_ = 0;  // bytes of the present frame that are still in the FIFO, its checksum included
  std::uint32_t errors_ = 0;
};

}  // namespace godwit::boards
