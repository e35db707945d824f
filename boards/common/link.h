// SPDX-License-Identifier: Apache-2.0
// A connection to the broker that never waits and can be opened again and again: what Connection keeps a
// Device connected over. TCP and TLS are behind it: HostLink on Linux, McuLink over lwIP.
#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <string_view>

#include "proto/base/bytes.h"
#include "proto/base/status.h"
#include "proto/base/time.h"

namespace godwit::boards {

class Link {
 public:
  // Begins to open; closes first if necessary.
  virtual void open(Instant now) = 0;
  // Call until it is not kBusy. kOk: open. Otherwise it has failed and is closed, and error() says why.
  virtual Status advance(Instant now) = 0;
  // When advance() must be called even if nothing arrives; nullopt: never.
  [[nodiscard]] virtual std::optional<Instant> deadline() const = 0;

  // As ByteStream, while it is open. After 0, and after an error other than kBusy, it is closed.
  virtual std::expected<std::size_t, Status> read(MutableBytes out) = 0;
  virtual std::expected<std::size_t, Status> write(Bytes in) = 0;

  // Ends the connection in order, as far as that goes without waiting.
  virtual void close() = 0;
  // Drops it as a failing network does.
  virtual void abort() = 0;

  [[nodiscard]] virtual bool is_closed() const = 0;
  [[nodiscard]] virtual bool is_open() const = 0;
  // This connection resumed an earlier TLS session.
  [[nodiscard]] virtual bool resumed() const = 0;
  // Why it closed last, in words for an operator; borrowed until the next call.
  [[nodiscard]] virtual std::string_view error() const = 0;

 protected:
  ~Link() = default;
};

}  // namespace godwit::boards
