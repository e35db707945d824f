// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/read_pool.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

namespace godwit::http {

// Server's thread only, but for `work`, which runs on a thread of the pool.
struct ReadPool::Job {
  std::string caller;
  std::function<void()> work;
  Signal* waiter = nullptr;  // nullptr: nobody waits for it any more
  bool done = false;
};

ReadPool::ReadPool(boost::asio::io_context& io, const Limits& limits)
    : io_(io), limits_(limits), threads_(limits.read_threads) {}

boost::asio::awaitable<Status> ReadPool::run(std::string caller, Signal& signal, std::function<void()> work) {
  if (cancelled_) co_return Status::kCancelled;
  const auto of_caller = std::ranges::count(waiting_, caller, [](const auto& job) { return job->caller; });
  if (waiting_.size() >= limits_.reads_waiting_max ||
      static_cast<std::size_t>(of_caller) >= limits_.reads_waiting_per_caller_max) {
    co_return Status::kFull;
  }
  const auto job = std::make_shared<Job>();
  job->caller = std::move(caller);
  job->work = std::move(work);
  job->waiter = &signal;
  waiting_.push_back(job);
  start_jobs();
  const SteadyTime deadline = std::chrono::steady_clock::now() + limits_.read_timeout;
  while (!job->done && !cancelled_ && std::chrono::steady_clock::now() < deadline)
    co_await signal.wait(deadline);
  job->waiter = nullptr;
  waiting_.remove(job);
  if (job->done) co_return Status::kOk;
  co_return cancelled_ ? Status::kCancelled : Status::kTimeout;
}

void ReadPool::start_jobs() {
  for (auto it = waiting_.begin(); it != waiting_.end() && running_.size() < limits_.read_threads;) {
    const bool busy =
        std::ranges::any_of(running_, [&](const auto& running) { return running->caller == (*it)->caller; });
    if (busy) {
      ++it;
    } else {
      start(*it);
      it = waiting_.erase(it);
    }
  }
}

void ReadPool::start(const std::shared_ptr<Job>& job) {
  running_.push_back(job);
  boost::asio::post(threads_, [this, job] {
    job->work();
    boost::asio::post(io_, [this, job] {
      job->done = true;
      running_.remove(job);
      if (job->waiter != nullptr) job->waiter->notify();
      start_jobs();
    });
  });
}

void ReadPool::join() { threads_.join(); }

}  // namespace godwit::http
