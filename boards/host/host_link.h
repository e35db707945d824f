// SPDX-License-Identifier: Apache-2.0
// One TCP connection, with TLS or without, that never waits: one for a process, or thousands in one epoll
// loop. It registers itself with the epoll instance of its owner; after each event, and at deadline(), the
// owner calls advance() until the link is open, and read() and write() from then on. It can be opened again
// after it has closed; TLS sessions are then resumed.
//
// A name with several addresses: attempts start kStagger apart, or as soon as all others have failed, and the
// first that is answered wins (RFC 8305, section 5). The address that was good last goes first, the one whose
// TLS handshake failed last goes last. One look-up at a time, however often the link is opened.
//
// Allocates; see TlsClient for the memory of TLS. One thread.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "boards/common/byte_stream.h"
#include "boards/common/link.h"
#include "boards/common/tls/tls_client.h"
#include "boards/host/address.h"
#include "boards/host/files.h"
#include "proto/base/time.h"

namespace godwit::boards {

class HostLink final : public Link {
 public:
  static constexpr Millis kStagger{250};

  struct Tls {
    TlsContext& context;
    const TrustAnchors& trust;
    const ClientIdentity* identity = nullptr;  // none: anonymous
    std::string server_name = {};              // empty: that of the host
    TlsClient::Version version_max = TlsClient::Version::kTls13;
  };
  struct Options {
    std::string host;  // a numeric address costs no look-up
    std::uint16_t port = 0;
    std::optional<Tls> tls = {};  // none: plain TCP
    Millis open_timeout{15'000};  // look-up, connecting and TLS handshake together
  };

  // Both must outlive the link. `tag` comes back in epoll_event::data.ptr.
  HostLink(int epoll_fd, void* tag, Options options);
  ~HostLink();
  HostLink(const HostLink&) = delete;
  HostLink& operator=(const HostLink&) = delete;

  void open(Instant now) override;
  // Fails with kNotFound: no such host; kTimeout; kDenied: a certificate was refused; kIo: nobody answers or
  // the connection broke; others as TlsClient::handshake(). kState: it is closed.
  Status advance(Instant now) override;
  [[nodiscard]] std::optional<Instant> deadline() const override;
  std::expected<std::size_t, Status> read(MutableBytes out) override;
  std::expected<std::size_t, Status> write(Bytes in) override;
  void close() override;
  // Tells the peer that nothing follows; what it still sends can be read.
  void finish_writing();
  // With a TCP reset, as a power cut does.
  void abort() override;
  // While stalled nothing is read or written and time does not count: a half-open connection.
  void set_stalled(bool stalled);

  [[nodiscard]] bool is_closed() const override { return state_ == State::kClosed; }
  [[nodiscard]] bool is_open() const override { return state_ == State::kOpen; }
  [[nodiscard]] bool stalled() const { return stalled_; }
  [[nodiscard]] bool resumed() const override { return tls_ && tls_->resumed(); }
  [[nodiscard]] std::string_view error() const override { return error_; }

 private:
  enum class State : std::uint8_t { kClosed, kLookingUp, kConnecting, kHandshaking, kOpen };
  class Socket final : public ByteStream {
   public:
    std::expected<std::size_t, Status> read(MutableBytes out) override;
    std::expected<std::size_t, Status> write(Bytes in) override;
    UniqueFd fd;
    bool write_blocked = false;
  };

  // A connection on its way.
  struct Attempt {
    UniqueFd fd;
    Address address;
  };

  Status step(Instant now);
  Status take_addresses(Instant now);
  Status connect(Instant now);
  void start_attempt(Instant now);
  bool take_connected();
  Status begin();
  Status handshake();
  Status open_now();
  Status fail(Status status, std::string cause);
  void drop();
  void watch(int fd);
  [[nodiscard]] std::uint32_t wanted_events() const;

  int epoll_fd_;
  void* tag_;
  Options options_;
  State state_ = State::kClosed;
  bool stalled_ = false;
  Instant deadline_{};
  std::optional<AddressLookup> lookup_;
  std::vector<Address> addresses_;  // those still to be tried, the next one last
  std::vector<Attempt> attempts_;
  Instant next_attempt_{};
  Address peer_;                 // of socket_
  std::optional<Address> good_;  // where the link stood open last
  std::optional<Address> bad_;   // where the last handshake failed
  Socket socket_;
  std::optional<TlsClient> tls_;
  int watched_fd_ = -1;
  std::uint32_t watched_events_ = 0;
  std::string error_;
};

}  // namespace godwit::boards
