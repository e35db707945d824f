// SPDX-License-Identifier: Apache-2.0
// The Ethernet controller of the LM3S6965 (data sheet, chapter 17). Its interrupt is pending while a frame
// waits.
#pragma once

#include "boards/common/net/ethernet.h"
#include "boards/common/net/word_fifo.h"

namespace godwit::boards {

class StellarisEthernet final : public Ethernet {
 public:
  static constexpr std::uint8_t kInterrupt = 42;

  StellarisEthernet();

  void start() override;
  [[nodiscard]] Address address() const override;
  // Always: QEMU's model has no PHY that could be asked.
  [[nodiscard]] bool link_up() override { return true; }

  std::size_t begin_receive() override;
  void read(MutableBytes out) override;
  void end_receive() override;
  bool begin_transmit(std::size_t size) override;
  void write(Bytes in) override { writer_.write(in); }
  void end_transmit() override;
  [[nodiscard]] std::uint32_t errors() const override { return errors_; }

 private:
  WordReader reader_;
  WordWriter writer_;
  std::size_t unread_ = 0;  // bytes of the present frame that are still in the FIFO, its checksum included
  std::uint32_t errors_ = 0;
};

}  // namespace godwit::boards
