// SPDX-License-Identifier: Apache-2.0
#include "boards/common/net/mcu_link.h"

namespace godwit::boards {

void McuLink::open(Instant) {
  abort();
  error_ = {};
  state_ = State::kWaitingForNetwork;
}

Status McuLink::advance(Instant now) {
  if (state_ == State::kClosed) return Status::kState;
  if (state_ == State::kWaitingForNetwork) {
    if (!network_.up()) return Status::kBusy;
    deadline_ = now + options_.open_timeout;
    state_ = State::kLookingUp;
    lookup_.begin();
  }
  if (state_ != State::kOpen && now >= deadline_) return time_out();
  return step();
}

// Each state goes on to the next as soon as it can.
Status McuLink::step() {
  switch (state_) {
    case State::kLookingUp:
      return look_up();
    case State::kConnecting:
      return finish_connecting();
    case State::kHandshaking:
      return handshake();
    case State::kOpen:
      return Status::kOk;
    case State::kClosed:
    case State::kWaitingForNetwork:
      break;
  }
  return Status::kState;
}

Status McuLink::look_up() {
  if (lookup_.status() == Status::kBusy) return Status::kBusy;
  if (lookup_.status() != Status::kOk) {
    return fail(Status::kNotFound, "the name service does not know the broker's host, or does not answer");
  }
  return connect();
}

Status McuLink::connect() {
  const Status status = stream_.connect(lookup_.address(), options_.port);
  if (status == Status::kFull) return fail(status, "out of memory for a TCP connection");
  if (status != Status::kOk) return fail(status, "there is no way to the broker's address");
  state_ = State::kConnecting;
  return Status::kBusy;
}

Status McuLink::finish_connecting() {
  if (stream_.state() == TcpStream::State::kConnecting) return Status::kBusy;
  if (stream_.state() == TcpStream::State::kBroken) {
    if (!stream_.reset_by_peer()) return fail(Status::kTimeout, "cannot connect to the broker: no answer");
    return fail(Status::kIo, "cannot connect to the broker: connection refused");
  }
  if (const Status status = tls_.start(stream_); status != Status::kOk)
    return fail(status, tls_.last_error());
  state_ = State::kHandshaking;
  return handshake();
}

Status McuLink::handshake() {
  const Status status = tls_.handshake();
  if (status == Status::kBusy) return status;
  if (status != Status::kOk) return fail(status, tls_.last_error());
  state_ = State::kOpen;
  return Status::kOk;
}

Status McuLink::time_out() {
  const bool handshaking = state_ == State::kHandshaking;
  const bool connecting = state_ == State::kConnecting;
  stream_.abort();  // who has not answered so far will not take a goodbye
  return fail(Status::kTimeout, handshaking  ? "TLS handshake not finished in time by the broker"
                                : connecting ? "cannot connect to the broker: no answer"
                                             : "no answer from the name service");
}

std::optional<Instant> McuLink::deadline() const {
  if (state_ == State::kHandshaking && tls_.computing()) return Instant{};
  const bool timed =
      state_ == State::kLookingUp || state_ == State::kConnecting || state_ == State::kHandshaking;
  return timed ? std::optional(deadline_) : std::nullopt;
}

std::expected<std::size_t, Status> McuLink::read(MutableBytes out) {
  if (state_ != State::kOpen) return std::unexpected(Status::kState);
  const auto size = tls_.read(out);
  if (!size && size.error() == Status::kBusy) return size;
  if (!size) return std::unexpected(fail(size.error(), tls_.last_error()));
  if (*size == 0) ignore(fail(Status::kIo, "closed by the broker"));  // told by the 0
  return size;
}

std::expected<std::size_t, Status> McuLink::write(Bytes in) {
  if (state_ != State::kOpen) return std::unexpected(Status::kState);
  const auto size = tls_.write(in);
  if (size || size.error() == Status::kBusy) return size;
  return std::unexpected(fail(size.error(), tls_.last_error()));
}

void McuLink::close() {
  if (state_ == State::kOpen) ignore(tls_.close_notify());  // as far as there is room for it
  end();
}

void McuLink::abort() {
  stream_.abort();
  end();
}

Status McuLink::fail(Status status, std::string_view cause) {
  end();
  error_ = cause;
  return status;
}

// In order: an alert of TLS may have to reach the broker yet.
void McuLink::end() {
  state_ = State::kClosed;
  tls_.stop();
  stream_.close();
}

}  // namespace godwit::boards
