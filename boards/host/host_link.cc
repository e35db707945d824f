// SPDX-License-Identifier: Apache-2.0
#include "boards/host/host_link.h"

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

namespace godwit::boards {
namespace {

std::string reason(int error) { return std::generic_category().message(error); }

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

}  // namespace

std::expected<std::size_t, Status> HostLink::Socket::read(MutableBytes out) {
  const ssize_t size = ::recv(fd.get(), out.data(), out.size(), 0);
  if (size >= 0) return static_cast<std::size_t>(size);
  return std::unexpected(would_block(errno) ? Status::kBusy : Status::kIo);
}

std::expected<std::size_t, Status> HostLink::Socket::write(Bytes in) {
  const ssize_t size = ::send(fd.get(), in.data(), in.size(), MSG_NOSIGNAL);
  write_blocked = size < 0 && would_block(errno);
  if (write_blocked) return std::unexpected(Status::kBusy);
  // A peer that has closed may have said why, in bytes that wait to be read. So what cannot be sent counts as
  // lost on the way, and reading tells the end.
  return size < 0 ? in.size() : static_cast<std::size_t>(size);
}

HostLink::HostLink(int epoll_fd, void* tag, Options options)
    : epoll_fd_(epoll_fd), tag_(tag), options_(std::move(options)) {
  if (!options_.tls) return;
  HostLink::Tls& tls = *options_.tls;
  if (tls.server_name.empty()) tls.server_name = options_.host;
  tls_.emplace(tls.context, tls.trust, tls.identity,
               TlsClient::Options{.server_name = tls.server_name.c_str(),
                                  .version_max = tls.version_max,
                                  .max_record = tls.max_record});
}

HostLink::~HostLink() { drop(); }

void HostLink::open(Instant now) {
  drop();
  error_.clear();
  deadline_ = now + options_.open_timeout;
  state_ = State::kLookingUp;
  if (const auto address = numeric_address(options_.host, options_.port)) {
    addresses_ = {*address};
  } else {
    lookup_.emplace(options_.host, options_.port);
    watch(lookup_->fd());
  }
}

Status HostLink::advance(Instant now) {
  if (state_ == State::kOpen) return Status::kOk;
  if (state_ == State::kClosed) return Status::kState;
  if (stalled_) return Status::kBusy;
  const Status status = step(now);
  if (status == Status::kBusy) watch(watched_fd_);
  return status;
}

Status HostLink::step(Instant now) {
  if (now >= deadline_) {
    const char* const what = state_ == State::kLookingUp    ? "no answer from the name service for "
                             : state_ == State::kConnecting ? "no answer from "
                                                            : "TLS handshake not finished in time by ";
    return fail(Status::kTimeout, what + options_.host);
  }
  switch (state_) {
    case State::kLookingUp:
      return lookup_ ? take_addresses() : connect_next();
    case State::kConnecting:
      return finish_connecting();
    case State::kHandshaking:
      return handshake();
    case State::kClosed:
    case State::kOpen:
      break;
  }
  return Status::kState;
}

Status HostLink::take_addresses() {
  auto result = lookup_->result();
  if (!result) return Status::kBusy;
  if (!*result) return fail(Status::kNotFound, result->error());
  addresses_ = std::move(**result);
  std::ranges::reverse(addresses_);
  watched_fd_ = -1;  // the descriptor goes, and its registration with it
  ::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, lookup_->fd(), nullptr);
  lookup_.reset();
  return connect_next();
}

// Tries the addresses in turn until one is on its way.
Status HostLink::connect_next() {
  state_ = State::kConnecting;
  while (!addresses_.empty()) {
    const Address address = addresses_.back();
    addresses_.pop_back();
    watched_fd_ = -1;
    socket_.write_blocked = false;
    socket_.fd = UniqueFd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (socket_.fd.get() < 0) return fail(Status::kFull, "no socket: " + reason(errno));
    const int on = 1;  // packets are made whole before they are sent: nothing is gained by holding them back
    ::setsockopt(socket_.fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (::connect(socket_.fd.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.size) == 0 ||
        errno == EINPROGRESS) {
      watch(socket_.fd.get());
      return finish_connecting();
    }
    error_ = reason(errno);
  }
  return fail(Status::kIo, "cannot connect to " + options_.host + " port " + std::to_string(options_.port) +
                               ": " + error_);
}

Status HostLink::finish_connecting() {
  int error = 0;
  socklen_t size = sizeof(error);
  ::getsockopt(socket_.fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    error_ = reason(error);
    return connect_next();
  }
  sockaddr_storage peer{};
  socklen_t peer_size = sizeof(peer);
  if (::getpeername(socket_.fd.get(), reinterpret_cast<sockaddr*>(&peer), &peer_size) != 0)
    return Status::kBusy;
  addresses_.clear();
  if (!tls_) {
    state_ = State::kOpen;
    watch(socket_.fd.get());
    return Status::kOk;
  }
  if (const Status status = tls_->start(socket_); status != Status::kOk) {
    return fail(status, std::string(tls_->last_error()));
  }
  state_ = State::kHandshaking;
  return handshake();
}

Status HostLink::handshake() {
  const Status status = tls_->handshake();
  if (status == Status::kBusy) return status;
  if (status != Status::kOk) return fail(status, std::string(tls_->last_error()));
  state_ = State::kOpen;
  watch(socket_.fd.get());
  return Status::kOk;
}

std::optional<Instant> HostLink::deadline() const {
  if (stalled_ || state_ == State::kClosed || state_ == State::kOpen) return std::nullopt;
  return deadline_;
}

std::expected<std::size_t, Status> HostLink::read(MutableBytes out) {
  if (state_ != State::kOpen) return std::unexpected(Status::kState);
  if (stalled_) return std::unexpected(Status::kBusy);
  const auto size = tls_ ? tls_->read(out) : socket_.read(out);
  if (!size && size.error() == Status::kBusy) return size;
  if (!size)
    return std::unexpected(fail(size.error(), tls_ ? std::string(tls_->last_error()) : "connection lost"));
  if (*size == 0) ignore(fail(Status::kIo, "closed by the broker"));  // told by the 0
  return size;
}

std::expected<std::size_t, Status> HostLink::write(Bytes in) {
  if (state_ != State::kOpen) return std::unexpected(Status::kState);
  if (stalled_) return std::unexpected(Status::kBusy);
  const auto size = tls_ ? tls_->write(in) : socket_.write(in);
  if (size || size.error() == Status::kBusy) {
    watch(socket_.fd.get());
    return size;
  }
  return std::unexpected(fail(size.error(), tls_ ? std::string(tls_->last_error()) : "connection lost"));
}

void HostLink::close() {
  if (state_ == State::kOpen && !stalled_) {
    finish_writing();
    // Closing while something is unread would reset the connection, and what was sent last might never be
    // read.
    std::array<std::uint8_t, 512> unread;
    for (int rounds = 0; rounds < 64 && socket_.read(unread).value_or(0) > 0; ++rounds) continue;
  }
  drop();
}

void HostLink::finish_writing() {
  if (state_ != State::kOpen || stalled_) return;
  if (tls_) ignore(tls_->close_notify());
  ::shutdown(socket_.fd.get(), SHUT_WR);
}

void HostLink::abort() {
  const linger hard{.l_onoff = 1, .l_linger = 0};
  if (socket_.fd.get() >= 0) ::setsockopt(socket_.fd.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
  drop();
}

void HostLink::set_stalled(bool stalled) {
  stalled_ = stalled;
  watch(watched_fd_);
}

Status HostLink::fail(Status status, std::string cause) {
  drop();
  error_ = std::move(cause);
  return status;
}

void HostLink::drop() {
  state_ = State::kClosed;
  if (watched_fd_ >= 0) ::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, watched_fd_, nullptr);
  watched_fd_ = -1;
  lookup_.reset();
  addresses_.clear();
  if (tls_) tls_->stop();
  socket_.fd.reset();
  socket_.write_blocked = false;
}

std::uint32_t HostLink::wanted_events() const {
  if (state_ == State::kConnecting) return EPOLLOUT;
  return EPOLLIN | (socket_.write_blocked ? std::uint32_t{EPOLLOUT} : 0U);
}

// Keeps the registration of `fd` with epoll equal to what is wanted. A stalled link is taken out altogether:
// epoll would report the peer's hang-up again and again.
void HostLink::watch(int fd) {
  if (fd < 0) return;
  const bool known = fd == watched_fd_;
  const std::uint32_t wanted = stalled_ ? 0 : wanted_events();
  if (known && wanted == watched_events_) return;
  epoll_event event{.events = wanted, .data = {.ptr = tag_}};
  if (wanted == 0) {
    ::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
  } else {
    const bool registered = known && watched_events_ != 0;
    ::epoll_ctl(epoll_fd_, registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
  }
  watched_fd_ = fd;
  watched_events_ = wanted;
}

}  // namespace godwit::boards
