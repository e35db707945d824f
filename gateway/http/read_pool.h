// SPDX-License-Identifier: Apache-2.0
// Threads for what may touch the disk, so that no client waits for another one's read. Bounded: when too much
// waits, the caller is told at once.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>

#include "gateway/http/config.h"
#include "gateway/http/signal.h"
#include "proto/base/status.h"

namespace godwit::http {

class ReadPool {
 public:
  // `io` runs on the server's one thread and must outlive the pool's last read, see join().
  ReadPool(boost::asio::io_context& io, const Limits& limits);

  // Runs `work`, which must not throw, on a thread of the pool and waits for it on `signal`. kOk: it has run.
  // kFull: too much waits, it will not run. kTimeout, kCancelled: it may run still, so it must own all that
  // it touches.
  boost::asio::awaitable<Status> run(Signal& signal, std::function<void()> work);

  // Waits under way end with kCancelled when their signals are notified, and so do all later ones.
  void cancel() { cancelled_ = true; }
  // Blocks until no thread reads any more. Call after the server's thread has ended.
  void join();

 private:
  boost::asio::io_context& io_;
  const std::size_t waiting_max_;
  const milliseconds timeout_;
  std::size_t waiting_ = 0;
  bool cancelled_ = false;
  boost::asio::thread_pool threads_;
};

}  // namespace godwit::http
