// SPDX-License-Identifier: Apache-2.0
#include "gateway/app/run.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <ostream>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "gateway/app/check.h"
#include "gateway/app/log.h"
#include "gateway/app/metrics.h"
#include "gateway/app/writer_thread.h"
#include "gateway/http/server.h"
#include "gateway/mqtt/consumer.h"
#include "gateway/store/store.h"

namespace godwit::app {
namespace {

using gateway::Consumer;
using gateway::Intake;
using gateway::LogLevel;
using gateway::Store;
using gateway::Writer;

// SIGTERM and SIGINT, for the thread that waits for them and no other. A second one changes nothing: stopping
// takes seconds at most, and cutting it short would only make devices send again.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGTERM);
    sigaddset(&set_, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);  // inherited by every thread started later
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);  // beyond a limit on file sizes a write fails, as on a full disk
  }
  void wait() const {
    int number = 0;
    sigwait(&set_, &number);
  }

 private:
  sigset_t set_{};
};

Consumer::Options consumer_options(const Config& config) {
  Consumer::Options options;
  options.host = config.mqtt_host;
  options.port = static_cast<std::uint16_t>(config.mqtt_port);
  options.ca_file = config.mqtt_ca.string();
  options.certificate_file = config.mqtt_certificate.string();
  options.key_file = config.mqtt_key.string();
  options.keep_alive_s = static_cast<std::uint16_t>(config.mqtt_keep_alive_s);
  options.receive_max = static_cast<std::uint16_t>(config.mqtt_receive_max);
  return options;
}

// What the database, the broker, the log and the read threads need beside the connections.
constexpr rlim_t kDescriptorsReserved = 64;

// As many descriptors as this process may have. Connections that would take the last ones, so that the
// database could not open a file, are refused at the door instead.
std::size_t affordable_connections(std::size_t wanted, const gateway::LogSink& log) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) (void)getrlimit(RLIMIT_NOFILE, &limit);
  const rlim_t spare = std::max<rlim_t>(limit.rlim_cur, kDescriptorsReserved + 1) - kDescriptorsReserved;
  if (wanted <= spare) return wanted;
  log(LogLevel::kWarning, "http.connections_max is " + std::to_string(wanted) +
                              ", but this process may open only " + std::to_string(limit.rlim_cur) +
                              " files: " + std::to_string(spare) +
                              " connections are served; raise the limit (ulimit -Hn, LimitNOFILE) for more");
  return spare;
}

http::ServerConfig server_config(const Config& config, const gateway::LogSink& log) {
  http::ServerConfig server;
  server.address = config.http_listen;
  server.port = static_cast<std::uint16_t>(config.http_port);
  server.certificate_file = config.http_certificate.string();
  server.private_key_file = config.http_key.string();
  server.limits.connections_max =
      affordable_connections(static_cast<std::size_t>(config.http_connections_max), log);
  server.limits.connections_per_address_max =
      static_cast<std::size_t>(config.http_connections_per_address_max);
  server.limits.subscribers_max = static_cast<std::size_t>(config.http_subscribers_max);
  server.limits.requests_per_second = static_cast<double>(config.http_requests_per_second);
  server.limits.request_burst = 2 * server.limits.requests_per_second;
  return server;
}

Intake::Limits intake_limits(const Config& config) {
  Intake::Limits limits;
  limits.day_bytes = static_cast<std::uint64_t>(config.store_device_megabytes_per_day) << 20U;
  // Some more than the rules take, so that these are asked, and say that it is too many.
  limits.devices = static_cast<std::size_t>(config.store_devices_max) + 1000;
  return limits;
}

Writer::Options writer_options(const Config& config) {
  Writer::Options options;
  options.limits.devices_max = static_cast<std::size_t>(config.store_devices_max);
  options.gather = std::chrono::milliseconds(config.store_gather_ms);
  options.disk_reserve_percent = static_cast<unsigned>(config.store_disk_reserve_percent);
  return options;
}

std::string url(const std::string& address, std::uint16_t port) {
  std::string host = address;
  if (host == "0.0.0.0" || host == "::") host = "localhost";
  if (host.find(':') != std::string::npos) host = "[" + host + "]";
  return "https://" + host + ":" + std::to_string(port);
}

gateway::Term draw_term() {
  std::uint32_t value = 0;
  do {
    if (::getentropy(&value, sizeof value) != 0)
      throw std::runtime_error("the system gives no random numbers");
  } while (value == 0);
  return {value};
}

// The parts and what they call of each other. Nothing calls anything before start() or after stop().
class Gateway {
 public:
  // Throws if the database or a file cannot be used.
  explicit Gateway(const Config& config)
      : store_(config.store_directory, draw_term()),
        consumer_(consumer_options(config),
                  {.message = [this](gateway::Message message) { writer_.push(std::move(message)); },
                   .session_started = [this] { writer_.session_started(); }},
                  stderr_log(config.log_level, "mqtt")),
        writer_(store_, intake_limits(config), writer_options(config),
                {.acks = [this](std::span<const gateway::AckTo> acks) { consumer_.send(acks); },
                 .feed = [this](std::span<const gateway::Event> events) { server_.publish(events); },
                 .damaged =
                     [this] {
                       damaged_ = true;
                       (void)::kill(::getpid(), SIGTERM);
                     }},
                stderr_log(config.log_level, "store")),
        server_(server_config(config, stderr_log(config.log_level, "http")),
                http::ApiKeys::load(config.http_api_keys),
                {.log = &store_.reader(),
                 .interrupt_reads = [this] { store_.interrupt_reads(); },
                 .readiness = [this] { return readiness(); },
                 .metrics =
                     [this] {
                       return metrics({.consumer = consumer_.stats(),
                                       .dropped = writer_.dropped(),
                                       .load = writer_.load(),
                                       .writer = writer_.stats(),
                                       .store = store_.sizes(),
                                       .http = server_.counters(),
                                       .feed_lag = server_.lag_max()});
                     },
                 .log_sink = stderr_log(config.log_level, "http")}) {}
  ~Gateway() { stop(); }
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  // Returns the port of the REST API.
  std::uint16_t start() {
    server_.start();  // first: it is the one that may find its address taken
    writer_.start();
    consumer_.start();
    return server_.port();
  }

  // It had to stop: see the log.
  [[nodiscard]] bool damaged() const { return damaged_; }

  void stop() {
    writer_.stop();    // takes no more, commits what it has and hands over the acks ...
    consumer_.stop();  // ... which leave before the connection is closed
    server_.stop();
  }

 private:
  std::vector<http::Check> readiness() {
    const bool connected = consumer_.stats().connected;
    const gateway::WriterStats database = writer_.stats();
    return {{"broker", connected, connected ? "connected" : "not connected"},
            {"database", database.writable, database_state(database)}};
  }

  std::atomic<bool> damaged_ = false;
  Store store_;
  Consumer consumer_;
  WriterThread writer_;
  http::Server server_;
};

}  // namespace

void run(const Config& config, std::ostream& ready) {
  const StopSignals signals;
  const gateway::LogSink log = stderr_log(config.log_level, "app");
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  for (const std::string& warning : check(config, now)) log(LogLevel::kWarning, warning);

  Gateway gateway(config);
  const std::uint16_t port = gateway.start();
  ready << "godwit-gateway ready " << url(config.http_listen, port) << std::endl;
  log(LogLevel::kInfo, "started");
  signals.wait();
  log(LogLevel::kInfo, "stopping");
  gateway.stop();
  if (gateway.damaged()) {
    throw gateway::StoreError("stopped, because the database is damaged: the log and the next start say how");
  }
  log(LogLevel::kInfo, "stopped");
}

}  // namespace godwit::app
