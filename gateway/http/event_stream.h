// SPDX-License-Identifier: Apache-2.0
// One event stream: from the log until it has caught up, then from the feed, without a seam. It holds an
// offset and at most one batch of text. The stream begins with that offset as an id, and each heartbeat is
// one, so that whoever is cut off comes back with its last id and has lost nothing. A client that takes
// nothing for Limits::write_timeout is cut off.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>
#include <string_view>

#include "gateway/http/feed.h"
#include "gateway/http/message.h"
#include "gateway/http/read_pool.h"
#include "gateway/http/signal.h"

namespace godwit::http {

// Where a body without an end goes: what a transport gives to a stream.
class BodyWriter {
 public:
  virtual ~BodyWriter() = default;
  // Borrowed until the end of the wait. kTimeout: the client takes too little.
  virtual boost::asio::awaitable<Status> write(std::string_view text) = 0;
};

// A piece of the log as event-stream text. Touches the disk.
struct StreamPage {
  std::string text;
  gateway::LogOffset cursor;  // all up to here is in this page or an earlier one, or does not match
};
[[nodiscard]] StreamPage read_stream_page(const gateway::LogReader& log, const Subscription& subscription,
                                          std::size_t bytes_max);

struct StreamContext {
  const gateway::LogReader& log;
  Feed& feed;
  ReadPool& reads;
  const Limits& limits;
  const bool& stopping;  // after a change, the stream's signal is notified
};

// Until the writer fails, the log cannot be read, or `stopping`. kOk: it ended in order.
boost::asio::awaitable<Status> run_event_stream(StreamContext context, Subscription subscription,
                                                Signal& signal, BodyWriter& writer);

}  // namespace godwit::http
