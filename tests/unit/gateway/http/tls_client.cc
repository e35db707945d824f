// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/gateway/http/tls_client.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>
#include <utility>

namespace godwit::http {
namespace {

constexpr int kPatienceSeconds = 20;  // for a server that has stopped to answer

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error("client: " + what); }

void trust(SSL_CTX* context, const std::string& pem) {
  const std::unique_ptr<BIO, int (*)(BIO*)> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())),
                                                BIO_free);
  const std::unique_ptr<X509, void (*)(X509*)> certificate(
      PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), X509_free);
  if (!certificate || X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate.get()) != 1)
    fail("bad CA");
}

}  // namespace

void TlsClient::Free::operator()(ssl_st* ssl) const { SSL_free(ssl); }

TlsClient::TlsClient(std::uint16_t port, const Options& options)
    : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
  const timeval patience{.tv_sec = kPatienceSeconds, .tv_usec = 0};
  setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (options.receive_buffer > 0) {
    setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &options.receive_buffer, sizeof options.receive_buffer);
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    ::close(std::exchange(socket_, -1));
    fail("cannot connect");
  }
  const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  trust(context.get(), options.ca);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  if (options.tls12) SSL_CTX_set_max_proto_version(context.get(), TLS1_2_VERSION);
  if (!options.ciphers.empty() && SSL_CTX_set_cipher_list(context.get(), options.ciphers.c_str()) != 1) {
    ::close(std::exchange(socket_, -1));
    throw std::invalid_argument("OpenSSL has none of " + options.ciphers);
  }
  ssl_.reset(SSL_new(context.get()));
  SSL_set1_host(ssl_.get(), "localhost");
  if (!options.alpn.empty()) {
    const std::string list = static_cast<char>(options.alpn.size()) + options.alpn;
    SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char*>(list.data()),
                        static_cast<unsigned>(list.size()));
  }
  SSL_set_fd(ssl_.get(), socket_);
  ERR_clear_error();
  if (SSL_connect(ssl_.get()) != 1) {
    ::close(std::exchange(socket_, -1));
    fail("no TLS connection");
  }
}

TlsClient::TlsClient(TlsClient&& other) noexcept
    : socket_(std::exchange(other.socket_, -1)),
      ssl_(std::move(other.ssl_)),
      buffer_(std::move(other.buffer_)) {}

TlsClient::~TlsClient() { cut(); }

void TlsClient::cut() {
  if (socket_ < 0) return;
  ::close(std::exchange(socket_, -1));
  ssl_.reset();
}

std::string TlsClient::version() const { return SSL_get_version(ssl_.get()); }

void TlsClient::send(std::string_view bytes) {
  sigset_t blocked;  // a server that has closed shall be an error here, not a signal
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
  while (!bytes.empty()) {
    ERR_clear_error();
    const int sent = SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
    if (sent <= 0) fail("cannot send");
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

std::optional<std::string> TlsClient::receive() {
  std::string piece(16 * 1024, '\0');
  ERR_clear_error();
  errno = 0;
  const int got = SSL_read(ssl_.get(), piece.data(), static_cast<int>(piece.size()));
  if (got <= 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) fail("waited too long");
    return std::nullopt;
  }
  piece.resize(static_cast<std::size_t>(got));
  return piece;
}

void TlsClient::need(std::size_t size) {
  while (buffer_.size() < size) {
    const auto piece = receive();
    if (!piece) fail("the connection ended within a response");
    buffer_ += *piece;
  }
}

std::string TlsClient::take_line() {
  for (;;) {
    const std::size_t end = buffer_.find("\r\n");
    if (end == std::string::npos) {
      need(buffer_.size() + 1);
      continue;
    }
    std::string line = buffer_.substr(0, end);
    buffer_.erase(0, end + 2);
    return line;
  }
}

Reply TlsClient::stream_head() {
  Reply reply;
  const std::string status_line = take_line();
  if (!status_line.starts_with("HTTP/1.1 ")) fail("not a status line: " + status_line);
  reply.status = std::stoi(status_line.substr(9, 3));
  for (std::string line = take_line(); !line.empty(); line = take_line()) {
    const std::size_t colon = line.find(": ");
    if (colon == std::string::npos) fail("not a header: " + line);
    reply.headers.emplace_back(line.substr(0, colon), line.substr(colon + 2));
  }
  return reply;
}

Reply TlsClient::reply(bool head) {
  Reply reply = stream_head();
  if (head || reply.status == 100 || reply.status == 204 || reply.status == 304) return reply;
  const auto length = find_header(reply.headers, "Content-Length");
  if (!length) fail("no Content-Length");
  const std::size_t size = std::stoul(std::string(*length));
  need(size);
  reply.body = buffer_.substr(0, size);
  buffer_.erase(0, size);
  return reply;
}

std::optional<std::string> TlsClient::chunk() {
  const std::size_t size = std::stoul(take_line(), nullptr, 16);
  need(size + 2);
  std::string text = buffer_.substr(0, size);
  if (buffer_.compare(size, 2, "\r\n") != 0) fail("a chunk does not end with CRLF");
  buffer_.erase(0, size + 2);
  if (size == 0) return std::nullopt;
  return text;
}

std::optional<StreamEvent> EventReader::next() {
  auto block = next_block();
  while (block && block->data.empty()) block = next_block();
  return block;
}

std::optional<StreamEvent> EventReader::next_block() {
  for (;;) {
    const std::size_t end = text_.find("\n\n");
    if (end == std::string::npos) {
      const auto chunk = client_.chunk();
      if (!chunk) return std::nullopt;
      text_ += *chunk;
      continue;
    }
    const std::string block = text_.substr(0, end + 1);
    text_.erase(0, end + 2);
    StreamEvent event;
    for (std::size_t begin = 0; begin < block.size();) {
      const std::size_t line_end = block.find('\n', begin);
      const std::string line = block.substr(begin, line_end - begin);
      begin = line_end + 1;
      if (line.starts_with("retry: ")) ++retries_;
      if (line.starts_with("id: ")) last_id_ = event.id = line.substr(4);
      if (line.starts_with("event: ")) event.type = line.substr(7);
      if (line.starts_with("data: ")) event.data = line.substr(6);
    }
    return event;
  }
}

}  // namespace godwit::http
