// SPDX-License-Identifier: Apache-2.0
// What a network controller does for the stack: one frame at a time, moved in pieces, so that a frame goes
// straight between the controller and the buffers of the stack. Frames are without preamble and checksum,
// 14 to 1,514 bytes. Implemented by each board; knows nothing of lwIP. Main loop only; nothing waits for more
// than the time of one frame.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "proto/base/bytes.h"

namespace godwit::boards {

class Ethernet {
 public:
  using Address = std::array<std::uint8_t, 6>;

  // Resets the controller and starts it.
  virtual void start() = 0;
  [[nodiscard]] virtual Address address() const = 0;
  // A cable is in and the link is up.
  [[nodiscard]] virtual bool link_up() = 0;

  // The size of the oldest frame that has arrived; 0: none. Then read() gives its bytes in order, and
  // end_receive() drops what was not read. Damaged frames are dropped here and counted.
  virtual std::size_t begin_receive() = 0;
  virtual void read(MutableBytes out) = 0;
  virtual void end_receive() = 0;

  // Takes a frame of `size` bytes: write() its bytes in order, then end_transmit(). False: no room now.
  virtual bool begin_transmit(std::size_t size) = 0;
  virtual void write(Bytes in) = 0;
  virtual void end_transmit() = 0;

  // Frames that arrived damaged or did not fit, since start().
  [[nodiscard]] virtual std::uint32_t errors() const = 0;

 protected:
  ~Ethernet() = default;
};

}  // namespace godwit::boards
