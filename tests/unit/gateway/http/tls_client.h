// SPDX-License-Identifier: Apache-2.0
// A raw client: sends any bytes over TLS and reads what comes, with a deadline on everything. Failures throw.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/http/message.h"

struct ssl_st;

namespace godwit::http {

struct Reply {
  int status = 0;
  Headers headers;
  std::string body;
  [[nodiscard]] std::string header(std::string_view name) const {
    return std::string(find_header(headers, name).value_or("(none)"));
  }
};

class TlsClient {
 public:
  struct Options {
    std::string ca;          // PEM; the server must prove to be "localhost"
    std::string alpn;        // e.g. "h2"; empty: none offered
    int receive_buffer = 0;  // SO_RCVBUF; 0: the system's
    bool tls12 = false;      // at most
    std::string ciphers{};   // of TLS 1.2, as OpenSSL names them; empty: its default
  };
  TlsClient(std::uint16_t port, const Options& options);
  ~TlsClient();
  TlsClient(TlsClient&& other) noexcept;

  // "TLSv1.2" or "TLSv1.3", as negotiated.
  [[nodiscard]] std::string version() const;
  void send(std::string_view bytes);
  // What has come, at least a byte; nullopt: the server has ended the connection.
  std::optional<std::string> receive();
  // The next whole response; `head` tells that it has no body.
  Reply reply(bool head = false);
  Reply ask(std::string_view request) {
    send(request);
    return reply();
  }
  // The head of a response whose body is an event stream.
  Reply stream_head();
  // The next piece of a chunked body; nullopt: it ended in order. Throws if the connection ends within.
  std::optional<std::string> chunk();
  // True if the server ends the connection without another byte.
  bool ended() { return buffer_.empty() && !receive(); }
  void cut();  // without any goodbye

 private:
  void need(std::size_t size);
  std::string take_line();

  struct Free {
    void operator()(ssl_st* ssl) const;
  };
  int socket_ = -1;
  std::unique_ptr<ssl_st, Free> ssl_;
  std::string buffer_;
};

// The text/event-stream of a client: events from chunks.
struct StreamEvent {
  std::string id;
  std::string type;
  std::string data;
};
class EventReader {
 public:
  explicit EventReader(TlsClient& client) : client_(client) {}
  // The next event; blocks without data are passed over. nullopt: the stream ended in order.
  std::optional<StreamEvent> next();
  // The next block, with or without data.
  std::optional<StreamEvent> next_block();
  // What a client that connects again sends as Last-Event-ID.
  [[nodiscard]] const std::string& last_id() const { return last_id_; }
  [[nodiscard]] int retries() const { return retries_; }

 private:
  TlsClient& client_;
  std::string text_;
  std::string last_id_;
  int retries_ = 0;
};

}  // namespace godwit::http
