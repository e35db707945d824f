// SPDX-License-Identifier: Apache-2.0
// A serial peripheral interface with one device on it: mode 0, eight bits, the most significant first. A
// board implements it on its registers; calls take as long as their bytes take on the wire.
#pragma once

#include <cstdint>

#include "proto/base/bytes.h"

namespace godwit::boards {

class Spi {
 public:
  // Yields the clock that it has become, at most `hz_max` where the hardware goes that low.
  virtual std::uint32_t set_clock(std::uint32_t hz_max) = 0;
  virtual void select() = 0;
  virtual void deselect() = 0;
  // What comes back meanwhile is dropped.
  virtual void send(Bytes out) = 0;
  // Sends 0xFF meanwhile.
  virtual void receive(MutableBytes in) = 0;

 protected:
  ~Spi() = default;
};

}  // namespace godwit::boards
