// SPDX-License-Identifier: Apache-2.0
// What a coroutine waits on when it waits for another part of the server, not for its socket. One waiter;
// everything on the server's thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

namespace godwit::http {

using SteadyTime = std::chrono::steady_clock::time_point;

class Signal {
 public:
  explicit Signal(boost::asio::io_context& io) : timer_(io) {}

  // Until notify() or the deadline; at once if notify() was called since the last wait. May also return early
  // for no reason: the caller looks at what it waits for.
  boost::asio::awaitable<void> wait(SteadyTime deadline) {
    if (!notified_) {
      timer_.expires_at(deadline);
      boost::system::error_code ignored;  // both outcomes mean: look again
      co_await timer_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
    }
    notified_ = false;
  }

  void notify() {
    notified_ = true;
    timer_.cancel();
  }

 private:
  boost::asio::steady_timer timer_;
  bool notified_ = false;
};

}  // namespace godwit::http
