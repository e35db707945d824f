// SPDX-License-Identifier: Apache-2.0
// The broker's link of a board: look-up, TCP over lwIP and TLS, one after the other, without waiting. As long
// as the network is down it waits for it, without a deadline: nobody else can help. It can be opened again
// after it has closed; TLS sessions are then resumed (see TlsClient). Main loop only.
#pragma once

#include <cstdint>

#include "boards/common/link.h"
#include "boards/common/net/host_lookup.h"
#include "boards/common/net/network.h"
#include "boards/common/net/tcp_stream.h"
#include "boards/common/tls/tls_client.h"

namespace godwit::boards {

class McuLink final : public Link {
 public:
  struct Options {
    const char* host = "";  // a numeric address costs no look-up; borrowed
    std::uint16_t port = 8883;
    Millis open_timeout{30'000};  // from a network that is up to an open link
  };

  // Network and client must outlive the link.
  McuLink(Network& network, TlsClient& tls, const Options& options)
      : network_(network), tls_(tls), options_(options), lookup_(options.host) {}
  McuLink(const McuLink&) = delete;
  McuLink& operator=(const McuLink&) = delete;

  void open(Instant now) override;
  // Fails with kNotFound: no such host; kTimeout; kIo: the broker refuses or the connection broke; kDenied: a
  // certificate was refused; others as TlsClient::handshake(). kState: it is closed.
  Status advance(Instant now) override;
  // While TLS computes, which it does in pieces, this is in the past.
  [[nodiscard]] std::optional<Instant> deadline() const override;
  std::expected<std::size_t, Status> read(MutableBytes out) override;
  std::expected<std::size_t, Status> write(Bytes in) override;
  void close() override;
  void abort() override;

  [[nodiscard]] bool is_closed() const override { return state_ == State::kClosed; }
  [[nodiscard]] bool is_open() const override { return state_ == State::kOpen; }
  [[nodiscard]] bool resumed() const override { return tls_.resumed(); }
  [[nodiscard]] std::string_view error() const override { return error_; }

 private:
  enum class State : std::uint8_t {
    kClosed,
    kWaitingForNetwork,
    kLookingUp,
    kConnecting,
    kHandshaking,
    kOpen
  };
  Status step();
  Status look_up();
  Status connect();
  Status finish_connecting();
  Status handshake();
  Status time_out();
  Status fail(Status status, std::string_view cause);
  void end();

  Network& network_;
  TlsClient& tls_;
  Options options_;
  HostLookup lookup_;
  TcpStream stream_;
  State state_ = State::kClosed;
  Instant deadline_{};
  std::string_view error_;
};

}  // namespace godwit::boards
