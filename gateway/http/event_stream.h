// SPDX-License-Identifier: Apache-2.0
// One event stream: writes what gateway/log's SseStream gives. A client that takes nothing for
// Limits::write_timeout is cut off; one that reads never is, however far it is behind.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string_view>

#include "gateway/http/config.h"
#include "gateway/http/message.h"
#include "gateway/http/signal.h"
#include "gateway/log/live_feed.h"

namespace godwit::http {

// Where a body without an end goes: what a transport gives to a stream.
class BodyWriter {
 public:
  virtual ~BodyWriter() = default;
  // Borrowed until the end of the wait. kTimeout: the client takes too little.
  virtual boost::asio::awaitable<Status> write(std::string_view text) = 0;
};

// Until the writer fails, or in order (kOk) when the log cannot be read or at `stopping`, after whose change
// the signal is notified.
boost::asio::awaitable<Status> run_event_stream(gateway::LiveFeed& live, const Limits& limits,
                                                Subscription subscription, Signal& signal,
                                                const bool& stopping, BodyWriter& writer);

}  // namespace godwit::http
