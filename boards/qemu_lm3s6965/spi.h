// SPDX-License-Identifier: Apache-2.0
// The SPI of the SD card: SSI0 of the LM3S6965, chip select on port D, pin 0. Data sheet: "Stellaris LM3S6965
// Microcontroller", chapters 8 (GPIO) and 14 (SSI).
#pragma once

#include "boards/common/storage/spi.h"

namespace godwit::boards {

class Ssi0 final : public Spi {
 public:
  // Takes the pins A2, A4, A5 and D0. `system_hz`: the processor's clock.
  explicit Ssi0(std::uint32_t system_hz);

  std::uint32_t set_clock(std::uint32_t hz_max) override;
  void select() override;
  void deselect() override;
  void send(Bytes out) override;
  void receive(MutableBytes in) override;

 private:
  std::uint32_t system_hz_;
};

}  // namespace godwit::boards
