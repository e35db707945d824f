// SPDX-License-Identifier: Apache-2.0
// Keeps a device connected: moves bytes between it and its link, and obeys its wishes about the link. The
// loop around it waits on epoll until next_deadline() and calls run() with the tag that an event brings, or
// when the deadline has come; the same for one device or for thousands in one loop.
//
// One thread; nothing waits.
#pragma once

#include <cstdint>
#include <optional>

#include "boards/host/host_link.h"
#include "firmware/agent/device.h"
#include "firmware/ports/log.h"
#include "proto/base/time.h"

namespace godwit::boards {

class Connection {
 public:
  // Device and log must outlive the connection. Its address is the tag of its epoll events.
  Connection(agent::Device& device, ports::Log& log, int epoll_fd, HostLink::Options options)
      : device_(device), log_(log), link_(epoll_fd, this, std::move(options)) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Does all that can be done now. Call after an event of the link, at next_deadline(), and after any call to
  // the device that is not const.
  void run(Instant now);
  [[nodiscard]] std::optional<Instant> next_deadline() const;

  // Cuts the link as a failing network does; the device learns of it.
  void cut(Instant now);
  // The link stays open but carries nothing.
  void set_stalled(bool stalled) { link_.set_stalled(stalled); }

  [[nodiscard]] const HostLink& link() const { return link_; }

 private:
  void open(Instant now);
  void receive(Instant now);
  void send(Instant now);
  void lost(Instant now, std::string_view event);

  agent::Device& device_;
  ports::Log& log_;
  HostLink link_;
};

}  // namespace godwit::boards
