// SPDX-License-Identifier: Apache-2.0
#include "boards/host/address.h"

#include <netdb.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <mutex>
#include <system_error>
#include <thread>

#include "boards/host/files.h"

namespace godwit::boards {
namespace {

std::expected<std::vector<Address>, std::string> look_up(const std::string& host, std::uint16_t port,
                                                         int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int result = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (result != 0) return std::unexpected("cannot find the host " + host + ": " + ::gai_strerror(result));
  std::vector<Address> addresses;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    Address address;
    address.size = entry->ai_addrlen;
    std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
    addresses.push_back(address);
  }
  ::freeaddrinfo(list);
  return addresses;
}

}  // namespace

std::optional<HostPort> parse_host_port(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc{} || end != digits.data() + digits.size() || port == 0) return std::nullopt;
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.contains(':')) {
    return std::nullopt;  // which colon is meant?
  }
  if (host.empty()) return std::nullopt;
  return HostPort{std::string(host), port};
}

std::optional<Address> numeric_address(const std::string& host, std::uint16_t port) {
  const auto addresses = look_up(host, port, AI_NUMERICHOST);
  if (!addresses || addresses->empty()) return std::nullopt;
  return addresses->front();
}

struct AddressLookup::Shared {
  UniqueFd done{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::mutex mutex;
  std::optional<std::expected<std::vector<Address>, std::string>> result;

  void finish(std::expected<std::vector<Address>, std::string> with) {
    const std::lock_guard lock(mutex);
    result = std::move(with);
    ::eventfd_write(done.get(), 1);
  }
};

AddressLookup::AddressLookup(const std::string& host, std::uint16_t port)
    : shared_(std::make_shared<Shared>()) {
  // Detached, because the C library's resolver cannot be interrupted; it holds its own share of the state.
  try {
    std::thread([shared = shared_, host, port] {
      shared->finish(look_up(host, port, AI_ADDRCONFIG));
    }).detach();
  } catch (const std::system_error& error) {
    shared_->finish(std::unexpected("cannot look up the host " + host + ": no thread for it: " +
                                    error.code().message() + "; allow this process more threads or memory"));
  }
}

int AddressLookup::fd() const { return shared_->done.get(); }

std::optional<std::expected<std::vector<Address>, std::string>> AddressLookup::result() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->result;
}

}  // namespace godwit::boards
