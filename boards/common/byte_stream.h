// SPDX-License-Identifier: Apache-2.0
// A link that carries bytes in order, such as a TCP connection, without waiting.
#pragma once

#include <cstddef>
#include <expected>

#include "proto/base/bytes.h"
#include "proto/base/status.h"

namespace godwit::boards {

class ByteStream {
 public:
  // Yields how many bytes were read into the front of `out`; 0: the peer has ended the stream. kBusy: nothing
  // is there now. kIo: the link is broken.
  virtual std::expected<std::size_t, Status> read(MutableBytes out) = 0;
  // Yields how many bytes of the front of `in` were taken, at least 1. kBusy: no room now. kIo: the link is
  // broken.
  virtual std::expected<std::size_t, Status> write(Bytes in) = 0;

 protected:
  ~ByteStream() = default;
};

}  // namespace godwit::boards
