// SPDX-License-Identifier: Apache-2.0
// A TCP proxy on a free port of 127.0.0.1 that passes everything on to another port there, until told to
// misbehave. One thread of its own.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace godwit::test {

class TcpProxy {
 public:
  explicit TcpProxy(std::uint16_t target_port);
  ~TcpProxy();
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::size_t connections() const { return connections_; }

  // Resets each connection, the present one included, once so many more bytes have passed in both directions
  // together, `times` times; then behaves.
  void cut_after(std::size_t bytes, std::size_t times = 1);
  // Resets every connection now.
  void cut();
  // Passes nothing on while stalled; connections stay open and new ones are accepted.
  void set_stalled(bool stalled) { stalled_ = stalled; }
  // So many bytes a second and direction of each connection; 0: as fast as it goes.
  void set_rate(std::size_t bytes_per_s) { rate_ = bytes_per_s; }

 private:
  struct Pair;
  void run();
  void accept_one();
  bool pass(Pair& pair);

  std::uint16_t target_port_;
  std::uint16_t port_ = 0;
  int listener_ = -1;
  std::atomic<bool> stopped_ = false;
  std::atomic<bool> stalled_ = false;
  std::atomic<bool> cut_now_ = false;
  std::atomic<std::size_t> rate_ = 0;
  std::atomic<std::size_t> connections_ = 0;
  std::mutex mutex_;
  std::size_t cut_bytes_ = 0;
  std::size_t cut_times_ = 0;
  std::size_t cut_left_ = 0;  // bytes until the next cut, while cut_times_ > 0
  std::vector<std::unique_ptr<Pair>> pairs_;
  std::thread thread_;
};

}  // namespace godwit::test
