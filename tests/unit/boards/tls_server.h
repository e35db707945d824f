// SPDX-License-Identifier: Apache-2.0
// An independent TLS server (OpenSSL) without a network: the other end of the ByteStream that TlsClient gets.
// The stream hands over as many bytes at a time as a test wants, and breaks where a test wants.
#pragma once

#include <openssl/ssl.h>

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "boards/common/byte_stream.h"
#include "tests/support/test_pki.h"

namespace godwit::test {

// Keys, tickets and sessions: what a server process keeps from one connection to the next.
class TlsServerContext {
 public:
  struct Options {
    int version_min = TLS1_2_VERSION;
    int version_max = TLS1_3_VERSION;
    bool client_certificate_required = true;
    bool tickets = true;  // without: TLS 1.2 session ids, as far as the server remembers them
  };
  TlsServerContext(const PemIdentity& identity, const std::string& client_ca, const Options& options);
  [[nodiscard]] SSL_CTX* get() const { return context_.get(); }

 private:
  std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context_;
};

// One connection.
class TlsServer final : public boards::ByteStream {
 public:
  static constexpr std::size_t kNever = std::numeric_limits<std::size_t>::max();

  explicit TlsServer(const TlsServerContext& context, std::size_t chunk_size = kNever,
                     std::size_t fail_at = kNever);

  // The client's end. Every other call of each kind answers "busy" if bytes come in chunks.
  std::expected<std::size_t, Status> read(MutableBytes out) override;
  std::expected<std::size_t, Status> write(Bytes in) override;
  [[nodiscard]] bool failed() const { return calls_ > fail_at_; }

  // Works off what has arrived; true once the handshake is done.
  bool step();
  void send(const std::string& text);
  std::string receive();
  void close();
  [[nodiscard]] bool resumed() const { return SSL_session_reused(ssl_.get()) == 1; }
  [[nodiscard]] std::string version() const { return SSL_get_version(ssl_.get()); }
  [[nodiscard]] std::string requested_name() const;

 private:
  std::size_t chunk_size_;
  std::size_t fail_at_;
  std::size_t calls_ = 0;
  bool busy_read_ = false;
  bool busy_write_ = false;
  bool closed_ = false;
  BIO* in_;   // owned by ssl_
  BIO* out_;  // owned by ssl_
  std::unique_ptr<SSL, void (*)(SSL*)> ssl_;
};

}  // namespace godwit::test
