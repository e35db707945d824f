// SPDX-License-Identifier: Apache-2.0
#include "tests/support/sntp_server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <system_error>

namespace godwit::test {
namespace {

constexpr std::size_t kPacketSize = 48;
constexpr std::uint64_t kSecondsFrom1900To1970 = 2'208'988'800;
using Packet = std::array<std::uint8_t, kPacketSize>;

// Seconds since 1900 and 2^-32 of a second.
void put_time(Packet& packet, std::size_t at, std::chrono::milliseconds unix_time) {
  const auto ms = static_cast<std::uint64_t>(unix_time.count());
  const std::uint64_t seconds = ms / 1'000 + kSecondsFrom1900To1970;
  const std::uint64_t time = (seconds << 32U) | (((ms % 1'000) << 32U) / 1'000);
  for (std::size_t i = 0; i < 8; ++i) packet[at + i] = static_cast<std::uint8_t>(time >> (56 - 8 * i));
}

Packet answer_to(const Packet& request, std::chrono::milliseconds ahead) {
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
                       std::chrono::system_clock::now().time_since_epoch()) +
                   ahead;
  Packet answer{};
  answer[0] = static_cast<std::uint8_t>((request[0] & 0x38U) | 4U);  // their version, a server
  answer[1] = 1;                                                     // stratum
  answer[2] = 6;
  answer[3] = 0xEC;
  std::ranges::copy(std::span(request).subspan(40, 8), answer.begin() + 24);  // originate
  for (const std::size_t at : {16U, 32U, 40U}) put_time(answer, at, now);
  return answer;
}

}  // namespace

SntpServer::SntpServer() {
  socket_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (socket_ < 0 || ::bind(socket_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::system_error(errno, std::generic_category(), "SNTP server");
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { run(); });
}

SntpServer::~SntpServer() {
  stopped_ = true;
  thread_.join();
  ::close(socket_);
}

void SntpServer::run() {
  while (!stopped_) {
    pollfd ready{socket_, POLLIN, 0};
    if (::poll(&ready, 1, 50) <= 0) continue;
    Packet request{};
    sockaddr_in from{};
    socklen_t size = sizeof(from);
    const ssize_t received =
        ::recvfrom(socket_, request.data(), request.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
    if (received != static_cast<ssize_t>(kPacketSize)) continue;
    ++requests_;
    if (silent_) continue;
    const Packet answer = answer_to(request, ahead_);
    ::sendto(socket_, answer.data(), answer.size(), 0, reinterpret_cast<const sockaddr*>(&from), size);
  }
}

}  // namespace godwit::test
