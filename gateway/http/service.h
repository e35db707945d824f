// SPDX-License-Identifier: Apache-2.0
// What every request goes through, whatever transport carried it: target, key, rate, route, handler, and the
// headers that every response has. Server's thread only.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <optional>
#include <string>

#include "gateway/http/api_keys.h"
#include "gateway/http/event_stream.h"
#include "gateway/http/message.h"
#include "gateway/http/rate_limit.h"
#include "gateway/http/read_pool.h"
#include "gateway/http/router.h"
#include "gateway/http/server.h"
#include "gateway/log/live_feed.h"

namespace godwit::http {

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
  boost::asio::awaitable<Result> run(const Route& route, const std::string& caller, Request& request,
                                     Signal& signal);
  // The one that the request shows; nullptr: none, or an unknown one.
  [[nodiscard]] const ApiKey* key_of(const Request& request) const;
  // Who asks, for the limits; a problem if a key is needed and not there.
  std::expected<std::string, Problem> admit(const Request& request, Access access);

  const Limits& limits_;
  const ApiKeys keys_;
  const gateway::LogSink log_sink_;
  gateway::LiveFeed& live_;
  ReadPool& reads_;
  const Router router_;
  RateLimiter rate_;
};

}  // namespace godwit::http
