// SPDX-License-Identifier: Apache-2.0
// The network of a board: lwIP over its Ethernet controller, with an address from DHCP and the time from
// SNTP. It moves frames, runs lwIP's timers and follows the cable; TcpStream and HostLookup bring what is
// above.
//
// RAM: this object, 0.4 KB, and lwIP's static pools (lwipopts.h). lwIP keeps its state in globals, so there
// is one network at a time. Main loop only; nothing waits.
#pragma once

#include <lwip/dhcp.h>
#include <lwip/netif.h>

#include <array>
#include <cstdint>
#include <optional>

#include "boards/common/net/ethernet.h"
#include "boards/common/net/sntp_client.h"
#include "firmware/ports/entropy.h"
#include "proto/base/status.h"
#include "proto/base/time.h"

namespace godwit::boards {

class Network {
 public:
  struct Options {
    const char* hostname = "godwit";  // as the DHCP server is told; borrowed
    SntpClient::Server sntp{};        // none: no time is asked for
  };
  // Counted since the start.
  struct Stats {
    std::uint64_t rx_bytes = 0;
    std::uint64_t tx_bytes = 0;
    std::uint32_t rx_frames = 0;
    std::uint32_t tx_frames = 0;
    std::uint32_t rx_errors = 0;            // damaged, or more than the controller could hold
    std::uint32_t rx_dropped = 0;           // no buffer was free
    std::uint32_t tx_dropped = 0;           // the controller had no room; TCP tries again
    std::uint32_t tcp_retransmissions = 0;  // segments whose bytes had been sent before
    std::uint32_t cable_outs = 0;
    // Highest use of lwIP's memory.
    std::uint16_t buffers_used_max = 0;  // of BOARD_NET_BUFFERS
    std::uint16_t heap_used_max = 0;     // of BOARD_NET_HEAP_SIZE
  };
  using Ipv4 = std::array<std::uint8_t, 4>;

  // Both must outlive the network.
  Network(Ethernet& ethernet, ports::Entropy& entropy, const Options& options);
  ~Network();
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  // Call once. kIo: no randomness, without which nobody should speak.
  Status start(Instant now);
  // Does all that can be done now. Call after an interrupt of the controller and at next_deadline().
  void poll(Instant now);
  [[nodiscard]] Instant next_deadline(Instant now) const;

  // A cable is in.
  [[nodiscard]] bool cable() const { return netif_is_link_up(&netif_) != 0; }
  // There is an address to speak from.
  [[nodiscard]] bool up() const { return cable() && !ip4_addr_isany_val(*netif_ip4_addr(&netif_)); }
  // 0.0.0.0: none yet.
  [[nodiscard]] Ipv4 address() const;
  // An answer of the time server that came since the last call.
  [[nodiscard]] std::optional<SntpClient::Answer> take_time() { return sntp_.take_answer(); }
  [[nodiscard]] Stats stats() const;

  // For lwIP.
  [[nodiscard]] std::uint32_t now_ms() const;
  [[nodiscard]] std::uint32_t random();

 private:
  static err_t init_netif(netif* interface);
  static err_t transmit(netif* interface, pbuf* frame);
  void follow_cable();
  void receive();
  void count_retransmission(Bytes head);

  Ethernet& ethernet_;
  ports::Entropy& entropy_;
  Options options_;
  SntpClient sntp_;
  netif netif_{};
  dhcp dhcp_{};
  Instant now_{};
  bool started_ = false;
  bool more_frames_ = false;           // than one poll() takes
  std::optional<Instant> cable_seen_;  // when it was looked at last
  std::uint16_t sent_port_ = 0;        // the TCP connection that was sent on last,
  std::uint32_t sent_end_ = 0;         // and how far
  Stats stats_;
};

}  // namespace godwit::boards
