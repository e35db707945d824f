// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/tls_stream.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <climits>
#include <new>
#include <stdexcept>

namespace godwit::http {
namespace {

using boost::asio::awaitable;
using boost::asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t kReadSize = 4096;
constexpr std::size_t kDiscardMax = 256 * 1024;  // of what a peer sends after our last response

std::string openssl_reason() {
  std::array<char, 256> text{};
  ERR_error_string_n(ERR_get_error(), text.data(), text.size());
  ERR_clear_error();
  return text.data();
}

// The seam for HTTP/2: its name goes to the front of this list together with a transport that speaks it.
int select_protocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
                    unsigned int in_size, void*) {
  static constexpr std::array<unsigned char, 9> kSupported{8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  unsigned char* selected = nullptr;
  const int result =
      SSL_select_next_proto(&selected, out_size, kSupported.data(), kSupported.size(), in, in_size);
  if (result != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;  // RFC 7301, 3.2
  *out = selected;
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace

void TlsContextFree::operator()(ssl_ctx_st* context) const { SSL_CTX_free(context); }

TlsContext make_tls_context(const std::string& certificate_file, const std::string& private_key_file) {
  TlsContext context(SSL_CTX_new(TLS_server_method()));
  if (!context) throw std::bad_alloc();
  SSL_CTX* raw = context.get();
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  // RFC 7540, appendix A forbids the rest of what TLS 1.2 has: no forward secrecy, or CBC.
  SSL_CTX_set_cipher_list(raw, "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(
      raw, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);  // tickets resume sessions without memory here
  SSL_CTX_set_alpn_select_cb(raw, select_protocol, nullptr);
  if (SSL_CTX_use_certificate_chain_file(raw, certificate_file.c_str()) != 1) {
    throw std::runtime_error(certificate_file + ": not usable as the HTTPS certificate: " + openssl_reason());
  }
  if (SSL_CTX_use_PrivateKey_file(raw, private_key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(raw) != 1) {
    throw std::runtime_error(private_key_file + ": not usable as the key of " + certificate_file + ": " +
                             openssl_reason());
  }
  return context;
}

void TlsStream::Free::operator()(ssl_st* ssl) const { SSL_free(ssl); }

TlsStream::TlsStream(tcp::socket socket, ssl_ctx_st* context)
    : socket_(std::move(socket)), timer_(socket_.get_executor()), ssl_(SSL_new(context)) {
  if (!ssl_) throw std::bad_alloc();
  error_code ignored;  // a socket that is dead already fails at the first use
  socket_.non_blocking(true, ignored);
  socket_.set_option(tcp::no_delay(true), ignored);
  SSL_set_fd(ssl_.get(), socket_.native_handle());
  SSL_set_accept_state(ssl_.get());
}

TlsStream::~TlsStream() = default;

TlsStream::Step TlsStream::explain(int result) {
  const int error = SSL_get_error(ssl_.get(), result);
  if (error == SSL_ERROR_WANT_READ) return {Status::kBusy, Want::kRead};
  if (error == SSL_ERROR_WANT_WRITE) return {Status::kBusy, Want::kWrite};
  if (error == SSL_ERROR_SSL || error == SSL_ERROR_SYSCALL)
    established_ = false;  // no SSL_shutdown after these
  ERR_clear_error();
  return {Status::kIo, Want::kRead};
}

awaitable<Status> TlsStream::handshake(SteadyTime deadline) {
  for (;;) {
    // OpenSSL's queue is per thread: another connection's error must not be taken for ours.
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_.get());
    if (result == 1) break;
    const Step step = explain(result);
    if (step.status != Status::kBusy) co_return step.status;
    const Status status = co_await wait(step.want, deadline);
    if (status != Status::kOk) co_return status;
  }
  established_ = true;
  co_return Status::kOk;
}

TlsStream::Step TlsStream::read_some(std::string& buffer) {
  std::array<char, kReadSize> piece;
  ERR_clear_error();
  const int result = SSL_read(ssl_.get(), piece.data(), static_cast<int>(piece.size()));
  if (result <= 0) return explain(result);
  buffer.append(piece.data(), static_cast<std::size_t>(result));
  return {Status::kOk, Want::kRead};
}

awaitable<Status> TlsStream::read(std::string& buffer, SteadyTime deadline) {
  for (;;) {
    const Step step = read_some(buffer);
    if (step.status != Status::kBusy) co_return step.status;
    const Status status = co_await wait(step.want, deadline);
    if (status != Status::kOk) co_return status;
  }
}

awaitable<Status> TlsStream::write(std::string_view text, SteadyTime deadline) {
  while (!text.empty()) {
    if (aborted_) co_return Status::kCancelled;
    ERR_clear_error();
    const int result =
        SSL_write(ssl_.get(), text.data(), static_cast<int>(std::min<std::size_t>(text.size(), INT_MAX)));
    if (result > 0) {
      text.remove_prefix(static_cast<std::size_t>(result));
      continue;
    }
    const Step step = explain(result);
    if (step.status != Status::kBusy) co_return step.status;
    const Status status = co_await wait(step.want, deadline);
    if (status != Status::kOk) co_return status;
  }
  co_return Status::kOk;
}

awaitable<void> TlsStream::close(SteadyTime deadline) {
  ERR_clear_error();
  if (established_) SSL_shutdown(ssl_.get());  // one try: whoever does not read us now gets no close_notify
  ERR_clear_error();
  error_code ignored;
  socket_.shutdown(tcp::socket::shutdown_send, ignored);
  std::array<char, kReadSize> discarded;
  for (std::size_t total = 0; total < kDiscardMax;) {
    error_code error;
    const std::size_t size = socket_.read_some(boost::asio::buffer(discarded), error);
    total += size;
    if (!error) continue;
    if (error != boost::asio::error::would_block) break;
    const Status status = co_await wait(Want::kRead, deadline);
    if (status != Status::kOk) break;
  }
  socket_.close(ignored);
}

void TlsStream::watch_for_end(std::function<void()> on_end) {
  on_end_ = std::move(on_end);
  on_background_input();
}

void TlsStream::on_background_input() {
  std::string input;
  if (aborted_ || read_some(input).status != Status::kBusy) {
    const auto on_end = std::exchange(on_end_, nullptr);
    if (on_end) on_end();
    return;
  }
  socket_.async_wait(tcp::socket::wait_read, [weak = weak_from_this()](error_code error) {
    const auto self = weak.lock();
    if (!error && self) self->on_background_input();
  });
}

void TlsStream::abort() {
  aborted_ = true;
  error_code ignored;
  socket_.cancel(ignored);
}

awaitable<Status> TlsStream::wait(Want want, SteadyTime deadline) {
  if (aborted_) co_return Status::kCancelled;
  arm(deadline);
  timed_out_ = false;
  error_code error;
  const auto type = want == Want::kRead ? tcp::socket::wait_read : tcp::socket::wait_write;
  co_await socket_.async_wait(type, boost::asio::redirect_error(boost::asio::use_awaitable, error));
  deadline_ = SteadyTime::max();
  if (aborted_) co_return Status::kCancelled;
  if (timed_out_) co_return Status::kTimeout;
  co_return error ? Status::kIo : Status::kOk;
}

// The timer is left running when a wait ends: a later deadline only moves deadline_, and on_timer() looks
// again.
void TlsStream::arm(SteadyTime deadline) {
  deadline_ = deadline;
  if (armed_for_ <= deadline) return;
  armed_for_ = deadline;
  timer_.expires_at(deadline);
  timer_.async_wait([weak = weak_from_this()](error_code error) {
    const auto self = weak.lock();
    if (!error && self) self->on_timer();
  });
}

void TlsStream::on_timer() {
  armed_for_ = SteadyTime::max();
  if (deadline_ == SteadyTime::max()) return;
  if (deadline_ > std::chrono::steady_clock::now()) {
    arm(deadline_);
    return;
  }
  timed_out_ = true;
  error_code ignored;
  socket_.cancel(ignored);
}

}  // namespace godwit::http
