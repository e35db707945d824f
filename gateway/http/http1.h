// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 (RFC 9112) on one connection: bytes to requests, responses to bytes. Strict where two programs
// could disagree about where a request ends.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "gateway/http/config.h"
#include "gateway/http/service.h"
#include "gateway/http/signal.h"
#include "gateway/http/tls_stream.h"

namespace godwit::http {

// What server and transport know of a connection.
struct Connection {
  std::shared_ptr<TlsStream> stream;
  Signal signal;
  std::string remote_address;
  bool idle = true;  // no request under way: may be closed at any time
  bool stopping = false;
};

// Written by the server's thread, read by any.
struct TransportCounters {
  std::atomic<std::uint64_t> requests = 0;
  std::atomic<std::uint64_t> subscribers = 0;  // at present
  std::atomic<std::uint64_t> slow_subscribers = 0;
};

// Until the peer ends it, a deadline passes, or Connection::stopping. Does not close the stream.
boost::asio::awaitable<void> serve_http1(Connection& connection, Service& service, const Limits& limits,
                                         TransportCounters& counters);

}  // namespace godwit::http
