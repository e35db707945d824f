// SPDX-License-Identifier: Apache-2.0
// Keeps a device connected: moves bytes between it and its link, and obeys its wishes about the link. The
// loop around it calls run() when something has arrived for the link or next_deadline() has come; the same
// for a board with one device, or for thousands in one epoll loop.
//
// One thread; nothing waits; no allocation.
#pragma once

#include <cstdint>
#include <optional>

#include "boards/common/link.h"
#include "firmware/agent/device.h"
#include "firmware/ports/log.h"
#include "proto/base/time.h"

namespace godwit::boards {

class Connection {
 public:
  // All three must outlive the connection.
  Connection(agent::Device& device, ports::Log& log, Link& link) : device_(device), log_(log), link_(link) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Does all that can be done now. Call after an event of the link, at next_deadline(), and after any call to
  // the device that is not const.
  void run(Instant now);
  [[nodiscard]] std::optional<Instant> next_deadline() const;

  // Cuts the link as a failing network does; the device learns of it.
  void cut(Instant now);

 private:
  void open(Instant now);
  void receive(Instant now);
  void send(Instant now);
  void lost(Instant now, std::string_view event);

  agent::Device& device_;
  ports::Log& log_;
  Link& link_;
};

}  // namespace godwit::boards
