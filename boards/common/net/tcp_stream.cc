// SPDX-License-Identifier: Apache-2.0
#include "boards/common/net/tcp_stream.h"

#include <lwip/pbuf.h>
#include <lwip/tcp.h>

#include <algorithm>

namespace godwit::boards {
namespace {

// Polls of lwIP, which come every 500 ms, until a closed connection is given up if the peer acknowledges
// nothing.
constexpr std::uint8_t kClosingPolls = 10;

err_t give_up(void*, tcp_pcb* pcb) {
  tcp_abort(pcb);
  return ERR_ABRT;
}

}  // namespace

Status TcpStream::connect(const ip_addr_t& address, std::uint16_t port) {
  abort();
  pcb_ = tcp_new();
  if (pcb_ == nullptr) return Status::kFull;
  tcp_arg(pcb_, this);
  tcp_err(pcb_, &failed);
  tcp_recv(pcb_, &received);
  tcp_nagle_disable(
      pcb_);  // packets are made whole before they are sent: nothing is gained by holding them back
  state_ = State::kConnecting;
  reset_by_peer_ = false;
  const err_t result = tcp_connect(pcb_, &address, port, &connected);
  if (result == ERR_OK) return Status::kOk;
  abort();
  return result == ERR_RTE ? Status::kIo : Status::kFull;
}

err_t TcpStream::connected(void* self, tcp_pcb*, err_t) {
  static_cast<TcpStream*>(self)->state_ = State::kOpen;
  return ERR_OK;
}

err_t TcpStream::received(void* self, tcp_pcb*, pbuf* data, err_t) {
  auto& stream = *static_cast<TcpStream*>(self);
  if (data == nullptr) {
    stream.state_ = State::kPeerFinished;
  } else if (stream.unread_ == nullptr) {
    stream.unread_ = data;
  } else {
    pbuf_cat(stream.unread_, data);
  }
  return ERR_OK;
}

void TcpStream::failed(void* self, err_t error) {
  auto& stream = *static_cast<TcpStream*>(self);
  stream.pcb_ = nullptr;  // freed by lwIP
  stream.state_ = State::kBroken;
  stream.reset_by_peer_ = error == ERR_RST;
}

std::expected<std::size_t, Status> TcpStream::read(MutableBytes out) {
  std::size_t size = 0;
  while (unread_ != nullptr && size < out.size()) {
    const std::size_t part = std::min<std::size_t>(unread_->len - offset_, out.size() - size);
    std::copy_n(static_cast<const std::uint8_t*>(unread_->payload) + offset_, part, &out[size]);
    size += part;
    offset_ = static_cast<std::uint16_t>(offset_ + part);
    if (offset_ < unread_->len) break;
    offset_ = 0;
    pbuf* rest = unread_->next;
    if (rest != nullptr) pbuf_ref(rest);
    pbuf_free(unread_);
    unread_ = rest;
  }
  if (size > 0) {
    if (pcb_ != nullptr) tcp_recved(pcb_, static_cast<std::uint16_t>(size));
    return size;
  }
  if (state_ == State::kPeerFinished) return 0;
  return std::unexpected(state_ == State::kBroken || state_ == State::kClosed ? Status::kIo : Status::kBusy);
}

std::expected<std::size_t, Status> TcpStream::write(Bytes in) {
  // A peer that has gone may have said why, in bytes that wait to be read. So what cannot be sent counts as
  // lost on the way, and reading tells the end.
  if (state_ == State::kBroken) return in.size();
  if (state_ == State::kClosed) return std::unexpected(Status::kIo);
  if (state_ == State::kConnecting) return std::unexpected(Status::kBusy);
  const auto size = static_cast<std::uint16_t>(std::min<std::size_t>(in.size(), tcp_sndbuf(pcb_)));
  if (size == 0 || tcp_write(pcb_, in.data(), size, TCP_WRITE_FLAG_COPY) != ERR_OK) {
    return std::unexpected(Status::kBusy);
  }
  tcp_output(pcb_);  // what cannot go out now does so later, by lwIP's timers
  return size;
}

void TcpStream::close() {
  const std::uint16_t unread =
      unread_ != nullptr ? static_cast<std::uint16_t>(unread_->tot_len - offset_) : 0;
  drop_unread();
  tcp_pcb* pcb = release();
  if (pcb == nullptr) return;
  if (unread > 0) tcp_recved(pcb, unread);  // otherwise lwIP resets the connection
  tcp_setprio(pcb, TCP_PRIO_MIN);           // the next connection may have its memory
  // All connections share the segments and the heap. One whose peer has gone would hold its part for minutes.
  tcp_poll(pcb, &give_up, kClosingPolls);
  if (tcp_close(pcb) != ERR_OK) tcp_abort(pcb);
}

void TcpStream::abort() {
  drop_unread();
  if (tcp_pcb* pcb = release()) tcp_abort(pcb);
}

// lwIP's connection, which no longer knows of this object.
tcp_pcb* TcpStream::release() {
  tcp_pcb* pcb = pcb_;
  pcb_ = nullptr;
  state_ = State::kClosed;
  if (pcb != nullptr) {
    tcp_arg(pcb, nullptr);
    tcp_err(pcb, nullptr);
    tcp_recv(pcb, nullptr);
  }
  return pcb;
}

void TcpStream::drop_unread() {
  if (unread_ != nullptr) pbuf_free(unread_);
  unread_ = nullptr;
  offset_ = 0;
}

}  // namespace godwit::boards
