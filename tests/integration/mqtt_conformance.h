// SPDX-License-Identifier: Apache-2.0
// godwit-mqtt conformance and the server that it is told to connect to, which is a script: what it sends, and
// which bytes it wants back.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "tests/support/process.h"

namespace godwit::test {

inline constexpr int kTimeoutMs = 10'000;

// One end of a loopback connection; waits with a deadline.
class Peer {
 public:
  explicit Peer(int fd) : fd_(fd) {}
  ~Peer() { ::close(fd_); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  void shut() const { ::shutdown(fd_, SHUT_RDWR); }
  void send(const std::string& bytes) const { ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  // Each byte in a segment of its own, as far as TCP lets one say so.
  void send_byte_by_byte(const std::string& bytes) const {
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    for (const char byte : bytes) send(std::string(1, byte));
  }
  // Exactly so many bytes; fewer if the peer closes or is silent.
  [[nodiscard]] std::string read(std::size_t size) const {
    std::string bytes(size, '\0');
    std::size_t have = 0;
    while (have < size) {
      pollfd source{fd_, POLLIN, 0};
      if (::poll(&source, 1, kTimeoutMs) <= 0) break;
      const ssize_t got = ::recv(fd_, bytes.data() + have, size - have, 0);
      if (got <= 0) break;
      have += static_cast<std::size_t>(got);
    }
    return bytes.substr(0, have);
  }
  [[nodiscard]] std::string read_all() const {
    std::string bytes;
    for (std::string more = read(1); !more.empty(); more = read(1 << 16)) bytes += more;
    return bytes;
  }
  // One MQTT packet of fewer than 128 bytes.
  [[nodiscard]] std::string packet() const {
    std::string bytes = read(2);
    if (bytes.size() == 2) bytes += read(static_cast<unsigned char>(bytes[1]));
    return bytes;
  }

 private:
  int fd_;
};

class ConformanceMode : public testing::Test {
 protected:
  ConformanceMode() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 4) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      throw std::runtime_error("no port");
    }
    port_ = std::to_string(ntohs(address.sin_port));
  }
  ~ConformanceMode() override { ::close(listener_); }

  // Gives an order, and takes the connection that it leads to, up to the CONNECT.
  std::unique_ptr<Peer> order(const std::string& rest) {
    client_.write_stdin(port_ + " " + rest + "\n");
    pollfd source{listener_, POLLIN, 0};
    if (::poll(&source, 1, kTimeoutMs) != 1) throw std::runtime_error("no connection: " + client_.log());
    auto peer = std::make_unique<Peer>(::accept(listener_, nullptr, nullptr));
    connect_ = peer->packet();
    return peer;
  }
  // The line that reports the end of the last connection.
  std::string outcome() {
    const std::size_t from = reported_;
    const auto line = client_.wait_for_line("\n", std::chrono::seconds(10), from);
    const std::string log = client_.log();
    reported_ = log.find('\n', from) + 1;
    return line ? log.substr(from, reported_ - 1 - from) : "nothing";
  }

  int listener_;
  std::string port_;
  Process client_{{GODWIT_MQTT_PROGRAM, "conformance"}};
  std::string connect_;
  std::size_t reported_ = 0;
};

}  // namespace godwit::test
