// SPDX-License-Identifier: Apache-2.0
// The gateway's HTTPS server: REST and the live feed over one log. TLS 1.2 and 1.3, HTTP/1.1. One thread runs
// all connections; reads of the database and the encoding of events have threads of their own. No call blocks
// on a client.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/domain/log.h"
#include "gateway/domain/reader.h"
#include "gateway/http/api_keys.h"
#include "gateway/http/config.h"

namespace godwit::http {

struct Check {
  std::string name;  // e.g. "broker", "database"
  bool ok = false;
  std::string detail;  // in words, for the operator; shown to anyone who asks
};

// What the server shows. Called from threads of the server, must be safe from any thread, and all but the log
// must not block.
struct Sources {
  const gateway::LogReader* log = nullptr;  // must outlive the server
  std::function<void()> interrupt_reads;    // when it stops: reads of the log end now; empty: in their time
  std::function<std::vector<Check>()> readiness;  // /readyz; empty: always ready
  // /metrics in Prometheus text format, on the server's thread; empty: no such path.
  std::function<std::string()> metrics;
  gateway::LogSink log_sink;  // empty: silent
};

// Since the start. Any thread.
struct Counters {
  std::uint64_t connections = 0;
  std::uint64_t connections_refused = 0;  // over a limit
  std::uint64_t connections_open = 0;     // at present
  std::uint64_t requests = 0;
  std::uint64_t subscribers = 0;       // at present
  std::uint64_t slow_subscribers = 0;  // cut off because nothing drained for write_timeout
};

class Server {
 public:
  Server(ServerConfig config, ApiKeys keys, Sources sources);
  ~Server();  // stops
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Listens and returns. Throws std::runtime_error that says what to do: certificate, key, address or port
  // unusable.
  void start();
  // The port listened on. Precondition: started.
  [[nodiscard]] std::uint16_t port() const;

  // Events just committed, in the order of the log, none left out. Any one thread at a time, also before
  // start() and after stop(). Copied. Never blocks on clients; what does not fit the feed's memory is read
  // from the log later.
  void publish(std::span<const gateway::Event> events);

  // No new connections; event streams end; requests under way have Limits::stop_timeout. Blocks until all is
  // closed. A second call does nothing.
  void stop();

  // From any thread.
  [[nodiscard]] Counters counters() const;
  // How many events lie in front of the event stream that is furthest behind. Only within Sources::metrics.
  [[nodiscard]] std::int64_t lag_max() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace godwit::http
