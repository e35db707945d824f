// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/read_pool.h"

#include <atomic>
#include <boost/asio/post.hpp>
#include <memory>

namespace godwit::http {
namespace {

struct Job {
  std::function<void()> work;
  std::atomic<bool> abandoned = false;
  Signal* waiter = nullptr;  // this and `done`: server's thread only
  bool done = false;
};

}  // namespace

ReadPool::ReadPool(boost::asio::io_context& io, const Limits& limits)
    : io_(io),
      waiting_max_(limits.reads_waiting_max + limits.read_threads),
      timeout_(limits.read_timeout),
      threads_(limits.read_threads) {}

boost::asio::awaitable<Status> ReadPool::run(Signal& signal, std::function<void()> work) {
  if (cancelled_) co_return Status::kCancelled;
  if (waiting_ >= waiting_max_) co_return Status::kFull;
  ++waiting_;
  const auto job = std::make_shared<Job>();
  job->work = std::move(work);
  job->waiter = &signal;
  boost::asio::post(threads_, [this, job] {
    if (!job->abandoned) job->work();
    boost::asio::post(io_, [this, job] {
      --waiting_;
      job->done = true;
      if (job->waiter != nullptr) job->waiter->notify();
    });
  });
  const SteadyTime deadline = std::chrono::steady_clock::now() + timeout_;
  while (!job->done && !cancelled_ && std::chrono::steady_clock::now() < deadline)
    co_await signal.wait(deadline);
  job->waiter = nullptr;
  if (job->done) co_return Status::kOk;
  job->abandoned = true;
  co_return cancelled_ ? Status::kCancelled : Status::kTimeout;
}

void ReadPool::join() { threads_.join(); }

}  // namespace godwit::http
