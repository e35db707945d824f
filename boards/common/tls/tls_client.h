// SPDX-License-Identifier: Apache-2.0
// The client's end of one TLS 1.3 or 1.2 connection over a ByteStream, with mutual authentication. It can be
// started again and again; later connections resume the session of an earlier one where the server agrees,
// which saves the public-key work and most of the bytes. It knows neither sockets nor clocks, and no call
// waits.
//
// RAM: sizeof(TlsClient), 0.8 KB on a board and 1.4 KB on a host, and mbedTLS's allocations. While connected
// these are the two record buffers of mbedtls_config.h and with TLS 1.2 1.5 KB, with TLS 1.3 5 KB (hosts: 3
// and 10 KB); during a handshake some 3 KB more. README.md has figures. What resumption needs stays while it
// is not connected: nothing to speak of with TLS 1.2 and session ids, and otherwise the size of a ticket.
//
// An exported session takes up to 148 bytes with TLS 1.2 and without tickets. A ticket is as long as the
// server likes: those of OpenSSL hold our certificate, and are about 270 bytes longer than it.
//
// No call waits. One thread, that of the TlsContext.
#pragma once

#include <mbedtls/ssl.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <string_view>

#include "boards/common/byte_stream.h"
#include "boards/common/tls/tls_context.h"
#include "proto/base/bytes.h"
#include "proto/base/status.h"

namespace godwit::boards {

class TlsClient {
 public:
  enum class Version : std::uint8_t { kTls12, kTls13 };
  // What RFC 6066, section 4 lets a client ask for. The codes are its.
  enum class MaxRecord : std::uint8_t { kAny, k512, k1024, k2048, k4096 };
  // What this build has room for.
  static constexpr MaxRecord kMaxRecord = MBEDTLS_SSL_IN_CONTENT_LEN >= 16'384  ? MaxRecord::kAny
                                          : MBEDTLS_SSL_IN_CONTENT_LEN >= 4'096 ? MaxRecord::k4096
                                          : MBEDTLS_SSL_IN_CONTENT_LEN >= 2'048 ? MaxRecord::k2048
                                          : MBEDTLS_SSL_IN_CONTENT_LEN >= 1'024 ? MaxRecord::k1024
                                                                                : MaxRecord::k512;

  struct Options {
    // The name or numeric address that the server's certificate must hold. Borrowed.
    const char* server_name = "";
    // Of these the versions that the build has; kUnsupported from start() if it has none of them.
    Version version_min = Version::kTls12;
    Version version_max = Version::kTls13;
    // Offered as the newest until a server has refused it; from then on version_max is. For boards that
    // compute in pieces, which TLS 1.3 does not let them.
    Version version_first = Version::kTls13;
    // Whether a TLS 1.2 server may hand out its session as a ticket. Without, sessions are resumed by the id
    // under which the server remembers them: 600 bytes less in each resumed handshake and 1 KB less RAM, but
    // the server must not have forgotten. (TLS 1.3 knows tickets only.)
    bool tls12_tickets = true;
    // The server is asked to send no larger records, unless TLS 1.2 is not offered at all. Not every server
    // knows how to (OpenSSL does): where a larger one comes, the connection ends with kMalformed, and
    // last_error() says so.
    MaxRecord max_record = kMaxRecord;
  };

  // Everything must outlive the client. `identity` may be null: then the client stays anonymous.
  TlsClient(TlsContext& context, const TrustAnchors& trust, const ClientIdentity* identity,
            const Options& options);
  ~TlsClient();
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  // Begins a connection over `stream`, which is borrowed until stop(). kFull: out of memory.
  Status start(ByteStream& stream);
  // Call until it is not kBusy, each time the stream may have become ready. After anything but kOk and kBusy
  // the connection is over and last_error() says why. kDenied: one side refused the other's certificate. kIo:
  // the stream broke or ended. kMalformed: the peer broke the protocol. kFull: out of memory. kUnsupported:
  // the server refuses version_first; the next attempt offers version_max.
  Status handshake();
  // handshake() was kBusy only to let others have a turn (TlsContext::Options::public_key_steps_max): call it
  // again soon, there is nothing to wait for.
  [[nodiscard]] bool computing() const { return computing_; }
  // As ByteStream; further kDenied (a TLS 1.3 server tells only now that it refuses our certificate) and
  // kMalformed. After kBusy from write(), offer the same bytes again; more may follow them.
  std::expected<std::size_t, Status> read(MutableBytes out);
  std::expected<std::size_t, Status> write(Bytes in);
  // Tells the peer that nothing follows. kBusy: call again.
  Status close_notify();
  // Ends the connection here and frees its memory; the session is kept for resumption.
  void stop();

  // The session that the next connection will try to resume, to be kept over a restart of the program; it
  // holds keys. Yields how many bytes of the front of `out` were written. kNotFound: there is none. kFull:
  // `out` is too small. See above for sizes.
  std::expected<std::size_t, Status> export_session(MutableBytes out);
  // There is a session that export_session() has not been asked for, with or without success. Every full
  // handshake makes one, and every ticket.
  [[nodiscard]] bool session_changed() const { return session_changed_; }
  // Takes over what was exported. kCorrupt: damaged, or of a client with another server name, trust anchors,
  // identity, versions or build: then, as with kFull, there is no session and the next handshake is a full
  // one. kState: a connection is started.
  Status import_session(Bytes exported);

  // This connection resumed an earlier session. Known once the handshake is done.
  [[nodiscard]] bool resumed() const { return !certificate_checked_; }
  // The cause of the last failure in words for an operator; empty: none.
  [[nodiscard]] std::string_view last_error() const { return {error_.data(), error_size_}; }

 private:
  Status init();
  [[nodiscard]] std::uint32_t session_check(Bytes session) const;
  void forget_certificate();
  void keep_session();
  void forget_session();
  Status fail(int error);
  Status fail_alert();
  Status fail_certificate();
  Status fail_size();
  void say(std::string_view text);
  void say_code(int error);
  static int check_certificate(void* self, mbedtls_x509_crt* certificate, int depth, std::uint32_t* flags);

  TlsContext& context_;
  const TrustAnchors& trust_;
  const ClientIdentity* identity_;
  Options options_;
  Version offered_{};  // the newest, as version_first says
  bool started_ = false;
  bool configured_ = false;
  bool computing_ = false;
  bool have_session_ = false;
  bool session_changed_ = false;
  bool certificate_checked_ = false;
  bool received_any_ = false;
  std::uint32_t memory_failures_ = 0;  // of the arena when this connection began
  std::size_t pending_write_ = 0;      // bytes that mbedTLS has taken but not yet reported as written
  std::size_t error_size_ = 0;
  mbedtls_ssl_config config_;
  mbedtls_ssl_context ssl_;
  mbedtls_ssl_session session_;
  std::array<char, 160> error_{};
};

}  // namespace godwit::boards
