// SPDX-License-Identifier: Apache-2.0
// A time server (SNTP, RFC 4330) on a free UDP port of 127.0.0.1 that tells the time it is told to. One
// thread of its own.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>

namespace godwit::test {

class SntpServer {
 public:
  SntpServer();
  ~SntpServer();
  SntpServer(const SntpServer&) = delete;
  SntpServer& operator=(const SntpServer&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  // How far its answers are ahead of this machine's clock.
  void set_ahead(std::chrono::milliseconds ahead) { ahead_ = ahead; }
  // It gives no answer.
  void set_silent(bool silent) { silent_ = silent; }
  // It has been asked so many times.
  [[nodiscard]] std::size_t requests() const { return requests_; }

 private:
  void run();

  int socket_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopped_ = false;
  std::atomic<bool> silent_ = false;
  std::atomic<std::chrono::milliseconds> ahead_{};
  std::atomic<std::size_t> requests_ = 0;
  std::thread thread_;
};

}  // namespace godwit::test
