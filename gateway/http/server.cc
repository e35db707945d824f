// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/server.h"

#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <csignal>
#include <optional>
#include <stdexcept>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include "gateway/http/feed_lanes.h"
#include "gateway/http/http1.h"
#include "gateway/http/rate_limit.h"
#include "gateway/http/read_pool.h"
#include "gateway/http/service.h"
#include "gateway/http/tls_stream.h"

namespace godwit::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// Threads started while this lives leave the process's signals to other threads. SIGPIPE is what OpenSSL's
// write to a closed socket would raise; on a thread that blocks it, the write just fails.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t blocked;
    sigemptyset(&blocked);
    for (const int signal : {SIGPIPE, SIGINT, SIGTERM, SIGHUP}) sigaddset(&blocked, signal);
    pthread_sigmask(SIG_BLOCK, &blocked, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

// Whom the limit per address counts as one: an IPv4 address, or an IPv6 /64, which one customer has whole.
std::string limit_key(const asio::ip::address& address) {
  if (address.is_v4()) return address.to_string();
  const auto v6 = address.to_v6();
  if (v6.is_v4_mapped()) return asio::ip::make_address_v4(asio::ip::v4_mapped, v6).to_string();
  auto bytes = v6.to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), std::uint8_t{0});
  return asio::ip::address_v6(bytes).to_string();
}

// What a stalled client may cost in the kernel: unsent bytes up to here, and no longer than the write timeout
// for what it does not acknowledge.
void limit_kernel_memory(tcp::socket& socket, const Limits& limits) {
  const int unsent_max = 128 * 1024;
  const unsigned timeout_ms = static_cast<unsigned>(limits.write_timeout.count());
  // Best effort: without them only the kernel's own, larger limits hold.
  (void)setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_max, sizeof unsent_max);
  (void)setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
}

}  // namespace

class Server::Impl {
 public:
  Impl(ServerConfig config, ApiKeys keys, Sources sources)
      : config_(std::move(config)),
        sources_(std::move(sources)),
        acceptor_(io_),
        timer_(io_),
        handshake_rate_(config_.limits.handshakes_per_second, config_.limits.handshake_burst),
        lanes_(io_, *sources_.log, config_.limits),
        reads_(io_, config_.limits),
        service_(config_.limits, std::move(keys), sources_, lanes_.live(), reads_) {}

  void start() {
    context_ = make_tls_context(config_.certificate_file, config_.private_key_file);
    listen();
    lanes_.live().start(sources_.log->ends().last);
    started_ = true;
    asio::co_spawn(io_, accept_all(), [this](const std::exception_ptr& failure) {
      if (failure) report(failure);
    });
    const SignalsBlocked blocked;
    thread_ = std::jthread([this] { run(); });
  }

  [[nodiscard]] std::uint16_t port() const { return port_; }

  void publish(std::span<const gateway::Event> events) {
    // Always: start() asks the log for its end before the server counts as started.
    lanes_.live().publish(events);
  }

  void stop() {
    if (!started_.exchange(false)) return;
    asio::post(io_, [this] { begin_stop(); });
    thread_.join();
    reads_.join();
    lanes_.join();
  }

  [[nodiscard]] std::int64_t lag_max() { return lanes_.live().feed().lag_max(); }

  [[nodiscard]] Counters counters() const {
    const auto get = [](const std::atomic<std::uint64_t>& counter) {
      return counter.load(std::memory_order_relaxed);
    };
    return {.connections = get(connection_count_),
            .connections_refused = get(refused_count_),
            .connections_open = get(open_count_),
            .requests = get(transport_.requests),
            .subscribers = get(transport_.subscribers),
            .slow_subscribers = get(transport_.slow_subscribers)};
  }

 private:
  void run() {
    for (;;) {
      try {
        io_.run();
        return;
      } catch (const std::exception& error) {  // out of memory in a completion handler: the others go on
        log(gateway::LogLevel::kError, error.what());
      }
    }
  }

  void log(gateway::LogLevel level, std::string_view text) const {
    if (sources_.log_sink) sources_.log_sink(level, text);
  }

  void listen() {
    const std::string where = config_.address + " port " + std::to_string(config_.port);
    const auto check = [&](const error_code& error) {
      if (!error) return;
      std::string text = "cannot listen on " + where + ": " + error.message();
      if (error == asio::error::address_in_use)
        text += "; stop the program that uses it or choose another port";
      if (error == asio::error::access_denied)
        text += "; ports below 1024 need privileges, choose another port";
      throw std::runtime_error(text);
    };
    error_code error;
    const auto address = asio::ip::make_address(config_.address, error);
    if (error) throw std::runtime_error(config_.address + ": not an IPv4 or IPv6 address to listen on");
    const tcp::endpoint endpoint(address, config_.port);
    check(acceptor_.open(endpoint.protocol(), error));
    check(acceptor_.set_option(tcp::acceptor::reuse_address(true), error));
    check(acceptor_.bind(endpoint, error));
    check(acceptor_.listen(asio::socket_base::max_listen_connections, error));
    port_ = acceptor_.local_endpoint().port();
  }

  asio::awaitable<void> accept_all() {
    bool reported = false;
    while (!stopping_) {
      std::string failure;
      try {
        co_await accept_one();
        reported = false;
        continue;
      } catch (const boost::system::system_error& error) {
        failure = error.code().message();
      } catch (const std::exception& error) {
        failure = error.what();
      }
      // Out of descriptors or memory: what is connected goes on, and ends some time. Said once until it is
      // over.
      if (!reported) {
        log(gateway::LogLevel::kError,
            "cannot accept connections: " + failure +
                "; if these are descriptors, raise LimitNOFILE (ulimit -n) or lower "
                "http.connections_max");
        reported = true;
      }
      timer_.expires_after(seconds(1));
      error_code ignored;  // cancelled by begin_stop()
      co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
  }

  asio::awaitable<void> accept_one() {
    tcp::socket socket(io_);
    tcp::endpoint peer;
    error_code error;
    co_await acceptor_.async_accept(socket, peer, asio::redirect_error(asio::use_awaitable, error));
    if (stopping_ || error == asio::error::connection_aborted) co_return;
    if (error) throw boost::system::system_error(error);
    admit(std::move(socket), limit_key(peer.address()));
  }

  // What one address has open.
  struct Peer {
    std::size_t connections = 0;
    std::size_t handshakes = 0;  // of them not yet through TLS
  };

  bool may_connect(const std::string& address) {
    const Limits& limits = config_.limits;
    if (connections_.size() >= limits.connections_max) return false;
    const auto known = peers_.find(address);
    if (known != peers_.end() && (known->second.connections >= limits.connections_per_address_max ||
                                  known->second.handshakes >= limits.handshakes_per_address_max)) {
      return false;
    }
    return !handshake_rate_.take(address, std::chrono::steady_clock::now());
  }

  // Closes the socket if it is one too many, or if it throws.
  void admit(tcp::socket socket, const std::string& address) {
    if (!may_connect(address)) {
      ++refused_count_;
      return;
    }
    ++connection_count_;
    limit_kernel_memory(socket, config_.limits);
    const auto connection = std::make_shared<Connection>(
        std::make_shared<TlsStream>(std::move(socket), context_.get()), Signal(io_), address);
    ++peers_[address].connections;
    try {
      connections_.insert(connection);
      open_count_ = connections_.size();
      asio::co_spawn(io_, serve(connection), [this, connection](const std::exception_ptr& failure) {
        if (failure) report(failure);
        forget(connection);
      });
    } catch (...) {
      forget(connection);
      throw;
    }
  }

  void report(const std::exception_ptr& failure) const {
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& error) {
      log(gateway::LogLevel::kError, error.what());
    }
  }

  // References into an unordered_map stay good while it grows, and a peer with a connection is not erased.
  class HandshakeCount {
   public:
    explicit HandshakeCount(std::size_t& count) : count_(count) { ++count_; }
    ~HandshakeCount() { --count_; }
    HandshakeCount(const HandshakeCount&) = delete;
    HandshakeCount& operator=(const HandshakeCount&) = delete;

   private:
    std::size_t& count_;
  };

  asio::awaitable<void> serve(std::shared_ptr<Connection> connection) {
    using std::chrono::steady_clock;
    TlsStream& stream = *connection->stream;
    {
      const HandshakeCount count(peers_[connection->remote_address].handshakes);
      const Status status = co_await stream.handshake(steady_clock::now() + config_.limits.handshake_timeout);
      if (status != Status::kOk) co_return;
    }
    co_await serve_http1(*connection, service_, config_.limits, transport_);
    const milliseconds linger = connection->stopping ? milliseconds(0) : config_.limits.linger;
    co_await stream.close(steady_clock::now() + linger);
  }

  void forget(const std::shared_ptr<Connection>& connection) {
    const auto peer = peers_.find(connection->remote_address);
    if (--peer->second.connections == 0) peers_.erase(peer);
    connections_.erase(connection);
    open_count_ = connections_.size();
    if (stopping_ && connections_.empty()) timer_.cancel();
  }

  void begin_stop() {
    stopping_ = true;
    error_code ignored;
    acceptor_.close(ignored);
    lanes_.stop();
    for (const auto& connection : connections_) {
      connection->stopping = true;
      connection->signal.notify();
      if (connection->idle) connection->stream->abort();
    }
    timer_.cancel();  // accept_all may sleep on it
    if (connections_.empty()) return;
    timer_.expires_after(config_.limits.stop_timeout);
    timer_.async_wait([this](const error_code& error) {
      if (!error) abort_all();
    });
  }

  void abort_all() {
    reads_.cancel();
    if (sources_.interrupt_reads) sources_.interrupt_reads();
    for (const auto& connection : connections_) {
      connection->stream->abort();
      connection->signal.notify();
    }
  }

  const ServerConfig config_;
  const Sources sources_;
  asio::io_context io_{1};
  tcp::acceptor acceptor_;
  asio::steady_timer timer_;
  RateLimiter handshake_rate_;  // by limit_key()
  TlsContext context_;
  FeedLanes lanes_;
  ReadPool reads_;
  Service service_;
  std::unordered_set<std::shared_ptr<Connection>> connections_;
  std::unordered_map<std::string, Peer> peers_;  // by limit_key(); those with a connection
  TransportCounters transport_;
  std::atomic<std::uint64_t> connection_count_ = 0;
  std::atomic<std::uint64_t> refused_count_ = 0;
  std::atomic<std::uint64_t> open_count_ = 0;
  std::uint16_t port_ = 0;
  bool stopping_ = false;  // server's thread only
  std::atomic<bool> started_ = false;
  std::jthread thread_;
};

Server::Server(ServerConfig config, ApiKeys keys, Sources sources) {
  const SignalsBlocked blocked;  // the threads for reading and encoding start here
  impl_ = std::make_unique<Impl>(std::move(config), std::move(keys), std::move(sources));
}

Server::~Server() { stop(); }

void Server::start() { impl_->start(); }
std::uint16_t Server::port() const { return impl_->port(); }
void Server::publish(std::span<const gateway::Event> events) { impl_->publish(events); }
void Server::stop() { impl_->stop(); }
Counters Server::counters() const { return impl_->counters(); }
std::int64_t Server::lag_max() const { return impl_->lag_max(); }

}  // namespace godwit::http
