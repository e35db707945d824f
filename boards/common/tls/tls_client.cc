// SPDX-License-Identifier: Apache-2.0
#include "boards/common/tls/tls_client.h"

#include <mbedtls/error.h>
#include <mbedtls/platform.h>
#include <mbedtls/x509.h>

#include <algorithm>
#include <charconv>

#include "boards/common/tls/tls_arena.h"
#include "proto/base/assert.h"
#include "proto/base/crc32.h"

extern "C" void godwit_expect_max_fragment(mbedtls_ssl_context* ssl);  // max_fragment.c

namespace godwit::boards {
namespace {

int stream_read(void* stream, unsigned char* out, std::size_t size) {
  const auto count = static_cast<ByteStream*>(stream)->read({out, size});
  if (count.has_value()) return static_cast<int>(*count);
  return count.error() == Status::kBusy ? MBEDTLS_ERR_SSL_WANT_READ : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

int stream_write(void* stream, const unsigned char* in, std::size_t size) {
  const auto count = static_cast<ByteStream*>(stream)->write({in, size});
  if (count.has_value()) return static_cast<int>(*count);
  return count.error() == Status::kBusy ? MBEDTLS_ERR_SSL_WANT_WRITE : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

bool wants_more(int result) {
  return result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE;
}

constexpr TlsClient::Version kNewest =
#if defined(MBEDTLS_SSL_PROTO_TLS1_3)
    TlsClient::Version::kTls13;
#else
    TlsClient::Version::kTls12;
#endif

mbedtls_ssl_protocol_version protocol_version(TlsClient::Version version) {
  return version == TlsClient::Version::kTls12 ? MBEDTLS_SSL_VERSION_TLS1_2 : MBEDTLS_SSL_VERSION_TLS1_3;
}

// RFC 8446, section 6.2. Empty: the alert is not about our certificate.
std::string_view certificate_alert(std::uint8_t alert) {
  switch (alert) {
    case 42:
      return "it calls it bad";
    case 43:
      return "its kind is not supported";
    case 44:
      return "it has been revoked";
    case 45:
      return "it has expired";
    case 46:
      return "it is not acceptable";
    case 48:
      return "its authority is not known there";
    case 49:
      return "access denied";
    case 116:
      return "none was given, and one is required";
    default:
      return {};
  }
}

constexpr std::size_t kCheckSize = sizeof(std::uint32_t);  // before an exported session

struct Cause {
  std::uint32_t flag;
  std::string_view text;
};
// In order of importance: the first that applies is told.
constexpr Cause kCertificateCauses[] = {
    {MBEDTLS_X509_BADCERT_EXPIRED, "server certificate has expired"},
    {MBEDTLS_X509_BADCERT_FUTURE, "server certificate is not yet valid: check the clock of this device"},
    {MBEDTLS_X509_BADCERT_NOT_TRUSTED,
     "server certificate not trusted: it does not come from the given authority"},
    {MBEDTLS_X509_BADCERT_CN_MISMATCH, "host name mismatch: the server certificate is not for "},
    {MBEDTLS_X509_BADCERT_EXT_KEY_USAGE, "server certificate is not meant for servers"},
    {MBEDTLS_X509_BADCERT_KEY_USAGE, "server certificate is not meant for this use"},
    {MBEDTLS_X509_BADCERT_BAD_KEY | MBEDTLS_X509_BADCERT_BAD_PK | MBEDTLS_X509_BADCERT_BAD_MD,
     "server certificate uses a key or hash that is too weak or not supported"},
    {MBEDTLS_X509_BADCERT_REVOKED, "server certificate has been revoked"},
};

}  // namespace

TlsClient::TlsClient(TlsContext& context, const TrustAnchors& trust, const ClientIdentity* identity,
                     const Options& options)
    : context_(context),
      trust_(trust),
      identity_(identity),
      options_(options),
      config_{},
      ssl_{},
      session_{} {
  mbedtls_ssl_config_init(&config_);
  mbedtls_ssl_init(&ssl_);
  mbedtls_ssl_session_init(&session_);
}

TlsClient::~TlsClient() {
  mbedtls_ssl_free(&ssl_);
  mbedtls_ssl_session_free(&session_);
  mbedtls_ssl_config_free(&config_);
}

Status TlsClient::init() {
  if (configured_) return Status::kOk;
  if (mbedtls_ssl_config_defaults(&config_, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                  MBEDTLS_SSL_PRESET_DEFAULT) != 0) {
    return Status::kFull;
  }
  offered_ = std::min({options_.version_first, options_.version_max, kNewest});
  if (options_.version_min > offered_) return Status::kUnsupported;
  mbedtls_ssl_conf_min_tls_version(&config_, protocol_version(options_.version_min));
  mbedtls_ssl_conf_max_tls_version(&config_, protocol_version(offered_));
  // Not mbedtls_ssl_conf_max_frag_len(): it refuses what is more than our own records hold. What goes is
  // bounded by MBEDTLS_SSL_OUT_CONTENT_LEN all the same.
  config_.MBEDTLS_PRIVATE(mfl_code) = static_cast<std::uint8_t>(options_.max_record);
  mbedtls_ssl_conf_authmode(&config_, MBEDTLS_SSL_VERIFY_REQUIRED);
  // mbedTLS takes these by pointer to non-const, but only reads them.
  mbedtls_ssl_conf_ca_chain(&config_, const_cast<mbedtls_x509_crt*>(&trust_.chain()), nullptr);
  mbedtls_ssl_conf_verify(&config_, &check_certificate, this);
  mbedtls_ssl_conf_rng(&config_, &TlsContext::random, &context_);
#if defined(MBEDTLS_SSL_SESSION_TICKETS)
  mbedtls_ssl_conf_session_tickets(&config_, options_.tls12_tickets ? MBEDTLS_SSL_SESSION_TICKETS_ENABLED
                                                                    : MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
#endif
#if defined(MBEDTLS_SSL_PROTO_TLS1_3)
  mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
      &config_, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
#endif
  if (identity_ != nullptr &&
      mbedtls_ssl_conf_own_cert(&config_, const_cast<mbedtls_x509_crt*>(&identity_->chain()),
                                const_cast<mbedtls_pk_context*>(&identity_->key())) != 0) {
    return Status::kFull;
  }
  configured_ = true;
  return Status::kOk;
}

Status TlsClient::start(ByteStream& stream) {
  stop();
  error_size_ = 0;
  certificate_checked_ = false;
  received_any_ = false;
  pending_write_ = 0;
  memory_failures_ = TlsArena::failures();
  if (const Status status = init(); status != Status::kOk) return status;
  if (mbedtls_ssl_setup(&ssl_, &config_) != 0 || mbedtls_ssl_set_hostname(&ssl_, options_.server_name) != 0) {
    // A setup that fails forgets the configuration, but freeing what it leaves needs it.
    ssl_.MBEDTLS_PRIVATE(conf) = &config_;
    stop();
    return fail(MBEDTLS_ERR_SSL_ALLOC_FAILED);
  }
  if (have_session_ && mbedtls_ssl_set_session(&ssl_, &session_) != 0) forget_session();  // expired, perhaps
  mbedtls_ssl_set_bio(&ssl_, &stream, &stream_write, &stream_read, nullptr);
  started_ = true;
  return Status::kOk;
}

void TlsClient::stop() {
  started_ = false;
  computing_ = false;
  mbedtls_ssl_free(&ssl_);
  mbedtls_ssl_init(&ssl_);
}

Status TlsClient::handshake() {
  if (!started_) return Status::kState;
  computing_ = false;
  while (mbedtls_ssl_is_handshake_over(&ssl_) == 0) {
    if (computing_) return Status::kBusy;
    if (ssl_.MBEDTLS_PRIVATE(state) == MBEDTLS_SSL_ENCRYPTED_EXTENSIONS &&
        options_.max_record != MaxRecord::kAny) {
      godwit_expect_max_fragment(&ssl_);
    }
    const int result = mbedtls_ssl_handshake_step(&ssl_);
    if (wants_more(result)) return Status::kBusy;
    if (result != 0 && result != MBEDTLS_ERR_SSL_CRYPTO_IN_PROGRESS) {
      const Status status = fail(result);
      // If the session was the reason, or its memory is short, the next attempt does without. A link that
      // broke says nothing about it.
      if (status != Status::kIo) forget_session();
      return status;
    }
    forget_certificate();
    computing_ = context_.takes_turns();
  }
  computing_ = false;
  // A TLS 1.3 session comes later, in tickets; one resumed by its id stays what it is.
  if (mbedtls_ssl_get_version_number(&ssl_) == MBEDTLS_SSL_VERSION_TLS1_2 &&
      (!resumed() || options_.tls12_tickets)) {
    keep_session();
  }
  return Status::kOk;
}

// Once the handshake no longer needs the server's certificates, mbedTLS would keep them for those who want to
// look at them, in RAM and in each copy of the session: 1 KB for each.
void TlsClient::forget_certificate() {
#if defined(MBEDTLS_SSL_KEEP_PEER_CERTIFICATE)
  const int state = ssl_.MBEDTLS_PRIVATE(state);
  // What follows the server's last signature: in TLS 1.3 its Finished, in TLS 1.2 our certificate.
  if (state != MBEDTLS_SSL_SERVER_FINISHED && state != MBEDTLS_SSL_CLIENT_CERTIFICATE) return;
  mbedtls_x509_crt*& certificate = ssl_.MBEDTLS_PRIVATE(session_negotiate)->MBEDTLS_PRIVATE(peer_cert);
  mbedtls_x509_crt_free(certificate);
  mbedtls_free(certificate);
  certificate = nullptr;
#endif
}

std::expected<std::size_t, Status> TlsClient::read(MutableBytes out) {
  if (!started_) return std::unexpected(Status::kState);
  for (;;) {
    const int result = mbedtls_ssl_read(&ssl_, out.data(), out.size());
    if (result > 0) {
      received_any_ = true;
      return static_cast<std::size_t>(result);
    }
    if (result == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) {
      keep_session();
      continue;
    }
    if (wants_more(result)) {
      if (mbedtls_ssl_check_pending(&ssl_) != 0)
        continue;  // it holds a ticket and does not wait for the stream
      return std::unexpected(Status::kBusy);
    }
    if (result == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) return 0;
    return std::unexpected(fail(result == 0 ? MBEDTLS_ERR_SSL_CONN_EOF : result));
  }
}

std::expected<std::size_t, Status> TlsClient::write(Bytes in) {
  if (!started_) return std::unexpected(Status::kState);
  // When the stream is busy mbedTLS keeps the record that it has made and must be called with the same size
  // again.
  if (pending_write_ != 0) {
    GODWIT_ASSERT(in.size() >= pending_write_);
    in = in.first(pending_write_);
  }
  const std::size_t record_max =
      static_cast<std::size_t>(std::max(mbedtls_ssl_get_max_out_record_payload(&ssl_), 1));
  in = in.first(std::min(in.size(), record_max));
  int result = mbedtls_ssl_write(&ssl_, in.data(), in.size());
  while (result == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) {  // one that a read had begun
    keep_session();
    result = mbedtls_ssl_write(&ssl_, in.data(), in.size());
  }
  if (result >= 0) {
    pending_write_ = 0;
    return static_cast<std::size_t>(result);
  }
  if (wants_more(result)) {
    pending_write_ = in.size();
    return std::unexpected(Status::kBusy);
  }
  return std::unexpected(fail(result));
}

Status TlsClient::close_notify() {
  if (!started_) return Status::kState;
  const int result = mbedtls_ssl_close_notify(&ssl_);
  if (wants_more(result)) return Status::kBusy;
  return result == 0 ? Status::kOk : fail(result);
}

// Without room for it the next handshake is a full one: no reason to fail.
void TlsClient::keep_session() {
  forget_session();
  have_session_ = mbedtls_ssl_get_session(&ssl_, &session_) == 0;
  session_changed_ = have_session_;
  memory_failures_ = TlsArena::failures();
}

void TlsClient::forget_session() {
  mbedtls_ssl_session_free(&session_);
  mbedtls_ssl_session_init(&session_);
  have_session_ = session_changed_ = false;
}

// An exported session is this check, 4 bytes, little-endian, and what mbedTLS makes of a session. mbedTLS
// believes what it reads, so damage must be found before it does. A session also stands for a server whose
// certificate was accepted: it is good only where the same would be accepted again, and so this counts too.
std::uint32_t TlsClient::session_check(Bytes session) const {
  // Records of another size cannot be asked for when it is resumed (RFC 6066, section 4).
  const std::array<std::uint8_t, 3> bounds{static_cast<std::uint8_t>(options_.version_min),
                                           static_cast<std::uint8_t>(options_.version_max),
                                           static_cast<std::uint8_t>(options_.max_record)};
  std::uint32_t crc = crc32(bounds);
  crc = crc32(as_bytes(options_.server_name), crc);
  for (const mbedtls_x509_crt* anchor = &trust_.chain(); anchor != nullptr; anchor = anchor->next) {
    crc = crc32({anchor->raw.p, anchor->raw.len}, crc);
  }
  if (identity_ != nullptr) crc = crc32({identity_->chain().raw.p, identity_->chain().raw.len}, crc);
  return crc32(session, crc);
}

std::expected<std::size_t, Status> TlsClient::export_session(MutableBytes out) {
  session_changed_ = false;
  if (!have_session_) return std::unexpected(Status::kNotFound);
  if (out.size() < kCheckSize) return std::unexpected(Status::kFull);
  const MutableBytes session = out.subspan(kCheckSize);
  std::size_t size = 0;
  if (mbedtls_ssl_session_save(&session_, session.data(), session.size(), &size) != 0) {
    return std::unexpected(Status::kFull);
  }
  store_le(out.data(), session_check(session.first(size)));
  return kCheckSize + size;
}

Status TlsClient::import_session(Bytes exported) {
  if (started_) return Status::kState;
  forget_session();
  if (exported.size() < kCheckSize) return Status::kCorrupt;
  const Bytes session = exported.subspan(kCheckSize);
  if (load_le<std::uint32_t>(exported.data()) != session_check(session)) return Status::kCorrupt;
  const std::uint32_t failures = TlsArena::failures();
  if (mbedtls_ssl_session_load(&session_, session.data(), session.size()) != 0) {
    forget_session();
    return TlsArena::failures() != failures ? Status::kFull : Status::kCorrupt;
  }
  have_session_ = true;
  return Status::kOk;
}

// Called for each certificate of the server's chain, and not at all when a session is resumed.
int TlsClient::check_certificate(void* self, mbedtls_x509_crt*, int, std::uint32_t* flags) {
  auto& client = *static_cast<TlsClient*>(self);
  client.certificate_checked_ = true;
  // Expired is held against the earliest time then, and stands.
  if (!client.context_.time_known()) *flags &= ~std::uint32_t{MBEDTLS_X509_BADCERT_FUTURE};
  return 0;
}

Status TlsClient::fail(int error) {
  error_size_ = 0;
  // Without memory mbedTLS fails in many ways: for example, a certificate that it cannot check is not
  // trusted.
  if (TlsArena::failures() != memory_failures_) error = MBEDTLS_ERR_SSL_ALLOC_FAILED;
  switch (error) {
    case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
      return fail_certificate();
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
      return fail_alert();
    case MBEDTLS_ERR_SSL_CONN_EOF:
      say(received_any_ ? "the broker closed the connection without a goodbye"
                        : "the broker closed the connection before it answered");
      return Status::kIo;
    case MBEDTLS_ERR_SSL_INTERNAL_ERROR:  // what the stream functions above report
      say("the connection broke");
      return Status::kIo;
    case MBEDTLS_ERR_SSL_ALLOC_FAILED:
    case MBEDTLS_ERR_X509_ALLOC_FAILED:
      say("out of memory for a TLS connection");
      return Status::kFull;
    case MBEDTLS_ERR_SSL_BAD_CERTIFICATE:
      if (mbedtls_ssl_get_verify_result(&ssl_) != 0) return fail_certificate();
      say("server certificate cannot be read or is of an unsupported kind");
      return Status::kDenied;
    case MBEDTLS_ERR_SSL_BAD_INPUT_DATA:  // it does not fit the buffer
      return fail_size();
    case MBEDTLS_ERR_SSL_INVALID_RECORD:
      if (mbedtls_ssl_is_handshake_over(&ssl_) != 0) return fail_size();
      [[fallthrough]];
    case MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION:
      say("the peer does not speak TLS 1.2 or 1.3 here: is this the broker's TLS port?");
      break;
    default:
      say("TLS failed");
      break;
  }
  say_code(error);
  return Status::kMalformed;
}

Status TlsClient::fail_size() {
  say("the broker sends more at once than fits: give it a smaller certificate, or use one that knows "
      "max_fragment_length (RFC 6066)");
  return Status::kMalformed;
}

Status TlsClient::fail_certificate() {
  const std::uint32_t flags = mbedtls_ssl_get_verify_result(&ssl_);
  const auto* cause =
      std::ranges::find_if(kCertificateCauses, [&](const Cause& c) { return (c.flag & flags) != 0; });
  if (cause == std::end(kCertificateCauses)) {
    say("server certificate not trusted");
    return Status::kDenied;
  }
  say(cause->text);
  if (cause->flag == MBEDTLS_X509_BADCERT_CN_MISMATCH) say(options_.server_name);
  return Status::kDenied;
}

Status TlsClient::fail_alert() {
  // mbedTLS has no accessor for the alert: it is the second byte of the last message.
  const std::uint8_t alert = ssl_.MBEDTLS_PRIVATE(in_msg)[1];
  const std::string_view about_certificate = certificate_alert(alert);
  if (!about_certificate.empty()) {
    say("client certificate refused by the broker: ");
    say(about_certificate);
    return Status::kDenied;
  }
  if (alert == MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE && identity_ == nullptr) {
    say("the broker refused the handshake: it may require a client certificate");  // how TLS 1.2 says so
    return Status::kDenied;
  }
  const Version version_max = std::min(options_.version_max, kNewest);
  if (alert == MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION && offered_ < version_max) {
    offered_ = version_max;
    mbedtls_ssl_conf_max_tls_version(&config_, protocol_version(offered_));
    say("the broker refuses TLS 1.2: the next attempt offers TLS 1.3");
    return Status::kUnsupported;
  }
  say("the broker ended TLS with alert ");
  std::array<char, 4> digits{};
  const auto end = std::to_chars(digits.begin(), digits.end(), unsigned{alert});
  say({digits.data(), end.ptr});
  return Status::kMalformed;
}

void TlsClient::say(std::string_view text) {
  const std::size_t size = std::min(text.size(), error_.size() - error_size_);
  std::copy_n(text.begin(), size, error_.begin() + static_cast<std::ptrdiff_t>(error_size_));
  error_size_ += size;
}

void TlsClient::say_code(int error) {
  std::array<char, 8> digits{};
  const auto end = std::to_chars(digits.begin(), digits.end(), static_cast<unsigned>(-error), 16);
  say(" (mbedTLS -0x");
  say({digits.data(), end.ptr});
  say(")");
}

}  // namespace godwit::boards
