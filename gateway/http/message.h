// SPDX-License-Identifier: Apache-2.0
// A request and its response as plain values: what handlers see, whatever carried them (HTTP/1.1 now).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/domain/reader.h"
#include "gateway/http/target.h"
#include "gateway/log/feed.h"

namespace godwit::http {

// In order, names in any case.
using Headers = std::vector<std::pair<std::string, std::string>>;

// The value of the first header of that name; nullopt: there is none.
[[nodiscard]] std::optional<std::string_view> find_header(const Headers& headers, std::string_view name);

struct Request {
  // Filled in by the transport.
  std::string method;
  std::string target;  // as on the wire
  Headers headers;
  std::string body;
  std::string remote_address;  // without port

  // Filled in on the way to the handler.
  std::string path;  // decoded
  Query query;
  std::vector<std::string> path_values;  // what stood in the route's {..}
  std::string trace_id;                  // 32 hexadecimal digits, of the traceparent header if there is one
};

// What an event stream shows: everything from there on that passes the filter.
struct Subscription {
  gateway::LogStart start;
  gateway::LogReader::Filter filter;
};

struct Response {
  int status = 200;
  Headers headers;
  std::string body;
  std::optional<Subscription> events;  // instead of a body: an endless text/event-stream
  // Of its caller's share, until it is sent, or its stream has ended; see Shares.
  std::shared_ptr<const void> held;
};

[[nodiscard]] std::string_view reason_phrase(int status);

}  // namespace godwit::http
