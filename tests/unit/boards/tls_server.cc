// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/boards/tls_server.h"

#include <openssl/pem.h>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace godwit::test {
namespace {

void must(bool condition, const char* what) {
  if (!condition) throw std::runtime_error(std::string("test TLS server: ") + what);
}

using Bio = std::unique_ptr<BIO, int (*)(BIO*)>;
Bio memory(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), BIO_free};
}

}  // namespace

TlsServerContext::TlsServerContext(const PemIdentity& identity, const std::string& client_ca,
                                   const Options& options)
    : context_(SSL_CTX_new(TLS_server_method()), SSL_CTX_free) {
  SSL_CTX* const context = context_.get();
  must(context != nullptr, "context");
  SSL_CTX_set_min_proto_version(context, options.version_min);
  SSL_CTX_set_max_proto_version(context, options.version_max);
  const std::unique_ptr<X509, void (*)(X509*)> certificate(
      PEM_read_bio_X509(memory(identity.certificate).get(), nullptr, nullptr, nullptr), X509_free);
  const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key(
      PEM_read_bio_PrivateKey(memory(identity.key).get(), nullptr, nullptr, nullptr), EVP_PKEY_free);
  must(SSL_CTX_use_certificate(context, certificate.get()) == 1, "certificate");
  must(SSL_CTX_use_PrivateKey(context, key.get()) == 1, "key");
  const std::unique_ptr<X509, void (*)(X509*)> ca(
      PEM_read_bio_X509(memory(client_ca).get(), nullptr, nullptr, nullptr), X509_free);
  must(X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca.get()) == 1, "authority");
  if (options.client_certificate_required) {
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  if (!options.tickets) SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  static constexpr std::array<unsigned char, 4> kSessionContext{'t', 'e', 's', 't'};
  SSL_CTX_set_session_id_context(context, kSessionContext.data(), kSessionContext.size());
}

TlsServer::TlsServer(const TlsServerContext& context, std::size_t chunk_size, std::size_t fail_at)
    : chunk_size_(chunk_size),
      fail_at_(fail_at),
      in_(BIO_new(BIO_s_mem())),
      out_(BIO_new(BIO_s_mem())),
      ssl_(SSL_new(context.get()), SSL_free) {
  must(ssl_ != nullptr, "connection");
  BIO_set_mem_eof_return(in_, -1);
  SSL_set_bio(ssl_.get(), in_, out_);
  SSL_set_accept_state(ssl_.get());
}

std::expected<std::size_t, Status> TlsServer::read(MutableBytes out) {
  if (calls_++ >= fail_at_) return std::unexpected(Status::kIo);
  if (chunk_size_ != kNever && (busy_read_ = !busy_read_)) return std::unexpected(Status::kBusy);
  const int size = BIO_read(out_, out.data(), static_cast<int>(std::min(out.size(), chunk_size_)));
  if (size > 0) return static_cast<std::size_t>(size);
  if (closed_) return 0;
  return std::unexpected(Status::kBusy);
}

std::expected<std::size_t, Status> TlsServer::write(Bytes in) {
  if (calls_++ >= fail_at_) return std::unexpected(Status::kIo);
  if (chunk_size_ != kNever && (busy_write_ = !busy_write_)) return std::unexpected(Status::kBusy);
  const int size = BIO_write(in_, in.data(), static_cast<int>(std::min(in.size(), chunk_size_)));
  must(size > 0, "write");
  return static_cast<std::size_t>(size);
}

bool TlsServer::step() { return SSL_do_handshake(ssl_.get()) == 1; }

void TlsServer::send(const std::string& text) {
  must(SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())) == static_cast<int>(text.size()),
       "send");
}

std::string TlsServer::receive() {
  std::string text;
  std::array<char, 4096> buffer{};
  for (int size = 0; (size = SSL_read(ssl_.get(), buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<std::size_t>(size));
  }
  return text;
}

void TlsServer::close() {
  SSL_shutdown(ssl_.get());
  closed_ = true;
}

std::string TlsServer::requested_name() const {
  const char* name = SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name);
  return name == nullptr ? "" : name;
}

}  // namespace godwit::test
