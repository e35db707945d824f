// SPDX-License-Identifier: Apache-2.0
// Threads for requests that may touch the disk. A caller has one read at a time, so that nobody waits longer
// for another one's reads than for one of them on each thread. Bounded: when too much waits, the caller is
// told at once.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "gateway/http/config.h"
#include "gateway/http/signal.h"
#include "proto/base/status.h"

namespace godwit::http {

class ReadPool {
 public:
  // `io` runs on the server's one thread and must outlive the pool's last read, see join().
  ReadPool(boost::asio::io_context& io, const Limits& limits);

  // Runs `work`, which must not throw, on a thread of the pool and waits for it on `signal`. kOk: it has run.
  // kFull: too much of this caller, or of all, waits; it will not run. kTimeout, kCancelled: it may run
  // still, so it must own all that it touches.
  boost::asio::awaitable<Status> run(std::string caller, Signal& signal, std::function<void()> work);

  // Waits under way end with kCancelled when their signals are notified, and so do all later ones.
  void cancel() { cancelled_ = true; }
  // Blocks until no thread reads any more. Call after the server's thread has ended.
  void join();

 private:
  struct Job;

  void start_jobs();
  void start(const std::shared_ptr<Job>& job);

  boost::asio::io_context& io_;
  const Limits& limits_;
  std::list<std::shared_ptr<Job>> waiting_;  // in the order of their coming
  std::list<std::shared_ptr<Job>> running_;
  bool cancelled_ = false;
  boost::asio::thread_pool threads_;
};

}  // namespace godwit::http
