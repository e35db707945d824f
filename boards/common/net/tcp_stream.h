// SPDX-License-Identifier: Apache-2.0
// One TCP connection over lwIP, as a stream of bytes without waiting. What has arrived stays in lwIP's
// receive buffers until it is read, and only then is the peer allowed to send more: memory is bounded by the
// window (lwipopts.h). It can be connected again after it was closed. Main loop only.
#pragma once

#include <lwip/ip_addr.h>

#include <cstdint>

#include "boards/common/byte_stream.h"

struct pbuf;
struct tcp_pcb;

namespace godwit::boards {

class TcpStream final : public ByteStream {
 public:
  // kPeerFinished: what the peer sent before can still be read, and written to it. kBroken: read only.
  enum class State : std::uint8_t { kClosed, kConnecting, kOpen, kPeerFinished, kBroken };

  TcpStream() = default;
  ~TcpStream() { abort(); }
  TcpStream(const TcpStream&) = delete;
  TcpStream& operator=(const TcpStream&) = delete;

  // Begins to connect; aborts what was before. kFull: no memory for it. kIo: there is no way to that address
  // now.
  Status connect(const ip_addr_t& address, std::uint16_t port);
  // Changes from kConnecting to kOpen, or to kBroken if nobody is there.
  [[nodiscard]] State state() const { return state_; }
  // In state kBroken: the peer said so itself, and is there.
  [[nodiscard]] bool reset_by_peer() const { return reset_by_peer_; }

  std::expected<std::size_t, Status> read(MutableBytes out) override;
  std::expected<std::size_t, Status> write(Bytes in) override;

  // What was written is still delivered by lwIP, then the connection ends; what is unread is dropped. A peer
  // that acknowledges nothing for 5 s meanwhile is reset.
  void close();
  // Ends it at once, with a reset.
  void abort();

 private:
  static std::int8_t connected(void* self, tcp_pcb* pcb, std::int8_t error);
  static std::int8_t received(void* self, tcp_pcb* pcb, pbuf* data, std::int8_t error);
  static void failed(void* self, std::int8_t error);
  tcp_pcb* release();
  void drop_unread();

  tcp_pcb* pcb_ = nullptr;    // null unless connecting, open or finished by the peer
  pbuf* unread_ = nullptr;    // a chain
  std::uint16_t offset_ = 0;  // of what is unread in its first buffer
  State state_ = State::kClosed;
  bool reset_by_peer_ = false;
};

}  // namespace godwit::boards
