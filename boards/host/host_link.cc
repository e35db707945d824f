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
               TlsClient::Options{.server_name = tls.server_name.c_str(), .version_max = tls.version_max});
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
    if (lookup_ && lookup_->result()) lookup_.reset();  // what it says is of the attempt before
    if (!lookup_) lookup_.emplace(options_.host, options_.port);
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
      return lookup_ ? take_addresses(now) : connect(now);
    case State::kConnecting:
      return connect(now);
    case State::kHandshaking:
      return handshake();
    case State::kClosed:
    case State::kOpen:
      break;
  }
  return Status::kState;
}

Status HostLink::take_addresses(Instant now) {
  auto result = lookup_->result();
  if (!result) return Status::kBusy;
  watched_fd_ = -1;  // the descriptor goes, and its registration with it
  ::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, lookup_->fd(), nullptr);
  lookup_.reset();
  if (!*result) return fail(Status::kNotFound, result->error());
  addresses_ = std::move(**result);
  std::ranges::reverse(addresses_);
  std::ranges::stable_partition(addresses_, [this](const Address& address) { return address == bad_; });
  std::ranges::stable_partition(addresses_, [this](const Address& address) { return address != good_; });
  return connect(now);
}

Status HostLink::connect(Instant now) {
  state_ = State::kConnecting;
  for (;;) {
    if (take_connected()) return begin();
    if (addresses_.empty()) break;
    if (!attempts_.empty() && now < next_attempt_) return Status::kBusy;
    start_attempt(now);
  }
  if (!attempts_.empty()) return Status::kBusy;
  return fail(Status::kIo, "cannot connect to " + options_.host + " port " + std::to_string(options_.port) +
                               ": " + error_);
}

void HostLink::start_attempt(Instant now) {
  const Address address = addresses_.back();
  addresses_.pop_back();
  next_attempt_ = now + kStagger;
  UniqueFd fd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) {
    error_ = "no socket: " + reason(errno);
    return;
  }
  const int on = 1;  // packets are made whole before they are sent: nothing is gained by holding them back
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0 &&
      errno != EINPROGRESS) {
    error_ = reason(errno);
    return;
  }
  epoll_event event{.events = EPOLLOUT, .data = {.ptr = tag_}};
  if (!stalled_) ::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd.get(), &event);
  attempts_.push_back({.fd = std::move(fd), .address = address});
}

// Ends the attempts that have failed, or, when one has come through, all others.
bool HostLink::take_connected() {
  std::erase_if(attempts_, [this](const Attempt& attempt) {
    int error = 0;
    socklen_t size = sizeof(error);
    ::getsockopt(attempt.fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) error_ = reason(error);
    return error != 0;
  });
  const auto connected = std::ranges::find_if(attempts_, [](const Attempt& attempt) {
    sockaddr_storage peer{};
    socklen_t size = sizeof(peer);
    return ::getpeername(attempt.fd.get(), reinterpret_cast<sockaddr*>(&peer), &size) == 0;
  });
  if (connected == attempts_.end()) return false;
  peer_ = connected->address;
  socket_.fd = std::move(connected->fd);
  socket_.write_blocked = false;
  watched_fd_ = socket_.fd.get();  // as start_attempt() did
  watched_events_ = EPOLLOUT;
  attempts_.clear();
  addresses_.clear();
  return true;
}

Status HostLink::begin() {
  if (!tls_) return open_now();
  state_ = State::kHandshaking;
  if (const Status status = tls_->start(socket_); status != Status::kOk) {
    return fail(status, std::string(tls_->last_error()));
  }
  return handshake();
}

Status HostLink::handshake() {
  const Status status = tls_->handshake();
  if (status == Status::kBusy) return status;
  if (status != Status::kOk) return fail(status, std::string(tls_->last_error()));
  return open_now();
}

Status HostLink::open_now() {
  state_ = State::kOpen;
  good_ = peer_;
  bad_.reset();
  watch(socket_.fd.get());
  return Status::kOk;
}

std::optional<Instant> HostLink::deadline() const {
  if (stalled_ || state_ == State::kClosed || state_ == State::kOpen) return std::nullopt;
  if (state_ == State::kConnecting && !addresses_.empty()) return std::min(deadline_, next_attempt_);
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
  epoll_event event{.events = EPOLLOUT, .data = {.ptr = tag_}};
  for (const Attempt& attempt : attempts_) {
    ::epoll_ctl(epoll_fd_, stalled ? EPOLL_CTL_DEL : EPOLL_CTL_ADD, attempt.fd.get(), &event);
  }
}

Status HostLink::fail(Status status, std::string cause) {
  if (state_ == State::kHandshaking) {
    bad_ = peer_;
    if (good_ == bad_) good_.reset();
  }
  drop();
  error_ = std::move(cause);
  return status;
}

void HostLink::drop() {
  state_ = State::kClosed;
  if (watched_fd_ >= 0) ::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, watched_fd_, nullptr);
  watched_fd_ = -1;
  addresses_.clear();
  attempts_.clear();
  if (tls_) tls_->stop();
  socket_.fd.reset();
  socket_.write_blocked = false;
}

std::uint32_t HostLink::wanted_events() const {
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
