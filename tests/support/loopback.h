// SPDX-License-Identifier: Apache-2.0
// TCP on 127.0.0.1.
#pragma once

#include <netinet/in.h>

#include <cstdint>

namespace godwit::test {

[[nodiscard]] sockaddr_in loopback(std::uint16_t port);

struct Listener {
  int fd = -1;  // the caller's to close
  std::uint16_t port = 0;
};
// Listens on a free port. Throws std::system_error if there is none.
[[nodiscard]] Listener listen_on_loopback();

}  // namespace godwit::test
