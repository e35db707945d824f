// SPDX-License-Identifier: Apache-2.0
// From one host's name to its address over lwIP's DNS client, which remembers answers for as long as they
// say. A numeric address costs no look-up. Main loop only; nothing waits.
#pragma once

#include <lwip/ip_addr.h>

#include "proto/base/status.h"

namespace godwit::boards {

class HostLookup {
 public:
  // Must stay where it is for ever: lwIP cannot be told to forget a question. `host` is borrowed.
  explicit HostLookup(const char* host) : host_(host) {}
  HostLookup(const HostLookup&) = delete;
  HostLookup& operator=(const HostLookup&) = delete;

  // Asks, unless an answer is already awaited.
  void begin();
  // kOk: address() is known. kBusy: no answer yet. kNotFound: no such host, or no name service.
  [[nodiscard]] Status status() const { return status_; }
  [[nodiscard]] const ip_addr_t& address() const { return address_; }

 private:
  static void found(const char* host, const ip_addr_t* address, void* self);

  const char* host_;
  Status status_ = Status::kNotFound;
  ip_addr_t address_{};
};

}  // namespace godwit::boards
