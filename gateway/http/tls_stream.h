// SPDX-License-Identifier: Apache-2.0
// The server's end of one TLS connection: OpenSSL on the raw non-blocking socket. asio::ssl::stream would
// keep 78 KB per idle connection; this keeps 17 KB (docs/adr/0005-http.md). Every wait has a deadline. One
// thread; at most one coroutine inside at a time.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "gateway/http/signal.h"
#include "proto/base/bytes.h"
#include "proto/base/status.h"

struct ssl_ctx_st;  // OpenSSL's SSL_CTX and SSL
struct ssl_st;

namespace godwit::http {

struct TlsContextFree {
  void operator()(ssl_ctx_st* context) const;
};
using TlsContext = std::unique_ptr<ssl_ctx_st, TlsContextFree>;

// TLS 1.2 and 1.3, no renegotiation, ALPN. Throws std::runtime_error naming the file that cannot be used.
TlsContext make_tls_context(const std::string& certificate_file, const std::string& private_key_file);

// Made with make_shared: timer callbacks may outlast the connection.
class TlsStream : public std::enable_shared_from_this<TlsStream> {
 public:
  TlsStream(boost::asio::ip::tcp::socket socket, ssl_ctx_st* context);
  ~TlsStream();
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  // All: kTimeout the deadline passed, kCancelled abort() was called, kIo the peer or the network ended it.
  boost::asio::awaitable<Status> handshake(SteadyTime deadline);
  // Appends what has arrived, at least a byte, at most 4 KiB. kIo also at the end of the stream.
  boost::asio::awaitable<Status> read(std::string& buffer, SteadyTime deadline);
  // All of `text`, which is borrowed until the end of the wait.
  boost::asio::awaitable<Status> write(std::string_view text, SteadyTime deadline);
  // Ends our half, then discards what the peer still sends until it ends its half: closing with unread input
  // would reset the connection, and the peer might lose our last response.
  boost::asio::awaitable<void> close(SteadyTime deadline);

  // From now on reads in the background, and calls `on_end` once when the peer has ended the connection or
  // sent anything. For responses without an end. No read() afterwards.
  void watch_for_end(std::function<void()> on_end);

  // Every wait ends with kCancelled, now and later.
  void abort();

 private:
  enum class Want { kRead, kWrite };
  struct Step {     // of an OpenSSL call that could not go on
    Status status;  // kBusy: wait for `want`
    Want want;
  };

  [[nodiscard]] Step explain(int result);
  [[nodiscard]] Step read_some(std::string& buffer);
  boost::asio::awaitable<Status> wait(Want want, SteadyTime deadline);
  void arm(SteadyTime deadline);
  void on_timer();
  void on_background_input();

  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer timer_;
  SteadyTime deadline_ = SteadyTime::max();  // of the wait under way
  // When the timer fires; seldom set anew, since that costs more than a wait.
  SteadyTime armed_for_ = SteadyTime::max();
  struct Free {
    void operator()(ssl_st* ssl) const;
  };
  std::unique_ptr<ssl_st, Free> ssl_;
  std::function<void()> on_end_;
  bool established_ = false;
  bool timed_out_ = false;
  bool aborted_ = false;
};

}  // namespace godwit::http
