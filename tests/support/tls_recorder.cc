// SPDX-License-Identifier: Apache-2.0
#include "tests/support/tls_recorder.h"

#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

#include "tests/support/loopback.h"

namespace godwit::test {
namespace {

constexpr int kPollMs = 50;
// A board takes TLS records of 2 KB at most.
constexpr std::size_t kPieceSize = 1'024;

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

void limit_waiting(int fd) {
  const timeval limit{.tv_sec = 60, .tv_usec = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

}  // namespace

TlsRecorder::Context TlsRecorder::context(const Options& options, const Identity& identity,
                                          const SSL_METHOD* method) {
  Context context(SSL_CTX_new(method), &SSL_CTX_free);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_clear_mode(context.get(), SSL_MODE_AUTO_RETRY);  // a read never waits for more than one TLS record
  if (SSL_CTX_load_verify_locations(context.get(), options.ca.c_str(), nullptr) != 1 ||
      SSL_CTX_use_certificate_file(context.get(), identity.certificate.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_use_PrivateKey_file(context.get(), identity.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    throw std::runtime_error("TLS recorder: cannot use " + identity.certificate.string());
  }
  return context;
}

TlsRecorder::TlsRecorder(const Options& options)
    : to_client_(context(options, options.server, TLS_server_method())),
      to_server_(context(options, options.client, TLS_client_method())),
      target_port_(options.target_port) {
  const std::string_view name = "recorder";
  SSL_CTX_set_session_id_context(to_client_.get(), reinterpret_cast<const unsigned char*>(name.data()),
                                 static_cast<unsigned>(name.size()));
  const Listener listener = listen_on_loopback();
  listener_ = listener.fd;
  port_ = listener.port;
  thread_ = std::thread([this] { run(); });
}

TlsRecorder::~TlsRecorder() {
  stopped_ = true;
  thread_.join();
  for (std::thread& worker : workers_) worker.join();
  ::close(listener_);
}

std::vector<TlsRecorder::Connection> TlsRecorder::connections() const {
  const std::lock_guard lock(mutex_);
  return {connections_.begin(), connections_.end()};
}

void TlsRecorder::run() {
  while (!stopped_) {
    pollfd ready{listener_, POLLIN, 0};
    if (::poll(&ready, 1, kPollMs) <= 0) continue;
    const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    const std::lock_guard lock(mutex_);
    Connection& connection = connections_.emplace_back();
    workers_.emplace_back([this, client, &connection] { serve(client, connection); });
  }
}

void TlsRecorder::serve(int client_fd, Connection& connection) {
  const Socket client_socket(client_fd);
  const Socket server_socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in target = loopback(target_port_);
  if (::connect(server_socket.get(), reinterpret_cast<const sockaddr*>(&target), sizeof(target)) != 0) return;
  limit_waiting(client_socket.get());
  limit_waiting(server_socket.get());
  const Tls client(SSL_new(to_client_.get()), &SSL_free);
  const Tls server(SSL_new(to_server_.get()), &SSL_free);
  SSL_set_fd(client.get(), client_socket.get());
  SSL_set_fd(server.get(), server_socket.get());
  if (SSL_accept(client.get()) == 1 && SSL_connect(server.get()) == 1) {
    pass(*client, *server, connection);
    SSL_shutdown(client.get());
    SSL_shutdown(server.get());
  }
  ERR_clear_error();
}

void TlsRecorder::pass(SSL& client, SSL& server, Connection& connection) {
  while (!stopped_) {
    std::array<pollfd, 2> sides{pollfd{SSL_get_fd(&client), POLLIN, 0},
                                pollfd{SSL_get_fd(&server), POLLIN, 0}};
    const bool pending = SSL_pending(&client) > 0 || SSL_pending(&server) > 0;
    if (::poll(sides.data(), sides.size(), pending ? 0 : kPollMs) < 0) return;
    if ((sides[0].revents != 0 || SSL_pending(&client) > 0) && !pass_one(client, server, connection.sent))
      return;
    if ((sides[1].revents != 0 || SSL_pending(&server) > 0) &&
        !pass_one(server, client, connection.received)) {
      return;
    }
  }
}

bool TlsRecorder::pass_one(SSL& from, SSL& to, std::string& record) {
  std::array<char, kPieceSize> piece{};
  const int size = SSL_read(&from, piece.data(), static_cast<int>(piece.size()));
  if (size <= 0) return SSL_get_error(&from, size) == SSL_ERROR_WANT_READ;  // such as a session ticket
  {
    const std::lock_guard lock(mutex_);
    record.append(piece.data(), static_cast<std::size_t>(size));
  }
  return SSL_write(&to, piece.data(), size) == size;
}

}  // namespace godwit::test
