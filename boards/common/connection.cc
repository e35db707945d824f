// SPDX-License-Identifier: Apache-2.0
#include "boards/common/connection.h"

#include <algorithm>
#include <array>

namespace godwit::boards {

using agent::LinkRequest;

void Connection::run(Instant now) {
  if (const auto due = device_.next_deadline(); due && *due <= now) device_.handle_timeout(now);
  if (!link_.is_closed() && !link_.is_open()) open(now);
  receive(now);
  send(now);
  if (device_.link_request() == LinkRequest::kClose && device_.transmit().empty() && !link_.is_closed()) {
    link_.close();
    device_.link_down(now);
  }
  if (device_.link_request() == LinkRequest::kConnect && link_.is_closed()) {
    link_.open(now);
    open(now);
  }
}

void Connection::open(Instant now) {
  if (device_.link_request() == LinkRequest::kClose) {  // no longer wanted
    link_.close();
    device_.link_down(now);
    return;
  }
  const Status status = link_.advance(now);
  if (status == Status::kBusy) return;
  if (status != Status::kOk) {
    lost(now, "link_failed");
    return;
  }
  log_.write(ports::LogLevel::kInfo, "link_up", {{.key = "resumed", .number = link_.resumed() ? 1 : 0}});
  device_.link_up(now);
  send(now);
}

void Connection::receive(Instant now) {
  std::array<std::uint8_t, 512> buffer;  // on the stack of a small board
  while (link_.is_open()) {
    const auto size = link_.read(buffer);
    if (!size && size.error() == Status::kBusy) return;
    if (!size || *size == 0) {
      lost(now, "link_lost");
      return;
    }
    device_.handle_bytes(now, Bytes(buffer).first(*size));
    send(now);  // answers make room in the device for what comes next
  }
}

void Connection::send(Instant now) {
  while (link_.is_open() && !device_.transmit().empty()) {
    const auto size = link_.write(device_.transmit());
    if (!size && size.error() == Status::kBusy) return;
    if (!size) {
      lost(now, "link_lost");
      return;
    }
    device_.transmitted(now, *size);
  }
}

void Connection::lost(Instant now, std::string_view event) {
  log_.write(ports::LogLevel::kWarning, event, {{.key = "cause", .text = link_.error()}});
  device_.link_down(now);
}

void Connection::cut(Instant now) {
  if (link_.is_closed()) return;
  link_.abort();
  device_.link_down(now);
}

std::optional<Instant> Connection::next_deadline() const {
  const auto device = device_.next_deadline();
  const auto link = link_.deadline();
  if (device && link) return std::min(*device, *link);
  return device ? device : link;
}

}  // namespace godwit::boards
