// SPDX-License-Identifier: Apache-2.0
// What every request goes through, whatever transport carried it: target, key, rate, route, handler, and the
// headers that every response has. Server's thread only.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <exception>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "gateway/domain/log.h"
#include "gateway/http/api_keys.h"
#include "gateway/http/event_stream.h"
#include "gateway/http/message.h"
#include "gateway/http/rate_limit.h"
#include "gateway/http/read_pool.h"
#include "gateway/http/router.h"
#include "gateway/http/server.h"
#include "gateway/http/shares.h"
#include "gateway/log/live_feed.h"

namespace godwit::http {

// The boundary where exceptions of handlers end. The log's own text goes to the operator, a line per 10 s and
// cause, not to the client. From any thread.
class Failures {
 public:
  explicit Failures(gateway::LogSink log_sink) : log_sink_(std::move(log_sink)) {}

  Result call(const Handler& handler, const Request& request);

 private:
  void report(gateway::LogLimit& limit, const Request& request, const std::exception& error);

  const gateway::LogSink log_sink_;
  std::mutex mutex_;  // of the two below
  gateway::LogLimit database_{seconds(10)};
  gateway::LogLimit others_{seconds(10)};
};

class Service {
 public:
  // All but the keys must outlive the service.
  Service(const Limits& limits, ApiKeys keys, const Sources& sources, gateway::LiveFeed& live,
          ReadPool& reads);

  // Always gives a response, complete but for the framing headers of the transport. Response::body of a HEAD
  // request is that of the GET; the transport leaves it out.
  boost::asio::awaitable<Response> respond(Request request, Signal& signal);
  // Why the body of this request is not even read: its path needs a key, and it shows no valid one.
  [[nodiscard]] std::optional<Problem> refuse_unread(const Request& head) const;
  // A response to a request that could not be read.
  [[nodiscard]] Response refuse(const Problem& problem);

  // The body of a response that has `events`.
  boost::asio::awaitable<Status> stream(Subscription subscription, Signal& signal, const bool& stopping,
                                        BodyWriter& writer);

 private:
  boost::asio::awaitable<Result> answer(Request& request, Signal& signal);
  // A large one counts for its caller from now on.
  Result within_share(Response response, const std::string& caller);
  boost::asio::awaitable<Result> run(const Route& route, const std::string& caller, Request& request,
                                     Signal& signal);
  // The one that the request shows; nullptr: none, or an unknown one.
  [[nodiscard]] const ApiKey* key_of(const Request& request) const;
  // Who asks, for the limits; a problem if a key is needed and not there.
  std::expected<std::string, Problem> admit(const Request& request, Access access);

  const Limits& limits_;
  const ApiKeys keys_;
  Failures failures_;
  gateway::LiveFeed& live_;
  ReadPool& reads_;
  const Router router_;
  RateLimiter rate_;
  Shares streams_;
  Shares response_bytes_;
};

}  // namespace godwit::http
