// SPDX-License-Identifier: Apache-2.0
// From a host name to addresses without waiting: the resolver of the C library blocks, so a look-up has a
// thread.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <cstring>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace godwit::boards {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;

  friend bool operator==(const Address& a, const Address& b) {
    return a.size == b.size && std::memcmp(&a.storage, &b.storage, a.size) == 0;
  }
};

struct HostPort {
  std::string host;
  std::uint16_t port = 0;
};
// "name:1883", "192.0.2.1:1883" or "[2001:db8::1]:1883".
[[nodiscard]] std::optional<HostPort> parse_host_port(std::string_view text);

// The address if `host` is numeric; at once.
[[nodiscard]] std::optional<Address> numeric_address(const std::string& host, std::uint16_t port);

// A look-up that goes on by itself; may be dropped at any time, but its thread stays until the resolver gives
// up. Where no thread can be had, the result is an error.
class AddressLookup {
 public:
  AddressLookup(const std::string& host, std::uint16_t port);

  // Becomes readable when result() is there.
  [[nodiscard]] int fd() const;
  // nullopt: not yet. The error is a sentence.
  [[nodiscard]] std::optional<std::expected<std::vector<Address>, std::string>> result() const;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace godwit::boards
