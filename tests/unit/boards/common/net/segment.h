// SPDX-License-Identifier: Apache-2.0
// The other end of a board's cable, in memory: an Ethernet controller for the code under test, and behind it
// one host that is everything a board talks to - router, DHCP, DNS and time server, and the peer of a TCP
// connection. It parses and makes frames by itself, and answers at once or as a test wants.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "boards/common/net/ethernet.h"

namespace godwit::test {

using Octets = std::vector<std::uint8_t>;
using Ip = std::uint32_t;
constexpr Ip ip(unsigned a, unsigned b, unsigned c, unsigned d) { return a << 24U | b << 16U | c << 8U | d; }

inline constexpr Ip kServerIp = ip(10, 0, 0, 1);
inline constexpr Ip kBoardIp = ip(10, 0, 0, 7);

// What the DHCP server does.
struct DhcpPolicy {
  bool answers = true;
  bool refuses = false;  // says no to every request of an address
  Ip address = kBoardIp;
  std::uint32_t lease_s = 86'400;
  std::string hostname = {};  // as it was told
  int discovers = 0;
  int requests = 0;
};

// The server's end of the last TCP connection that the board made, to any port.
class TcpPeer {
 public:
  enum class Manner : std::uint8_t { kAccepts, kRefuses, kSilent };
  Manner manner = Manner::kAccepts;
  bool acknowledges = true;
  std::uint16_t window = 8'192;          // as we tell the board
  std::size_t segment_size_max = 1'460;  // whatever the board asks for

  // What the board has sent on this connection.
  [[nodiscard]] const std::string& received() const { return received_; }
  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] bool finished_by_board() const { return finished_by_board_; }
  [[nodiscard]] bool reset_by_board() const { return reset_by_board_; }
  [[nodiscard]] std::size_t asked_segment_size() const { return asked_segment_size_; }
  // How much of what was sent the board has not acknowledged, and how much it would take at most.
  [[nodiscard]] std::size_t unacknowledged() const { return unsent_from_; }
  [[nodiscard]] std::size_t board_window() const { return board_window_; }
  [[nodiscard]] int connections() const { return connections_; }

  // Sends as much as the board's window allows, the rest when it opens.
  void send(const std::string& text);
  void finish();
  void reset();
  // Sends all again that is not acknowledged.
  void retransmit();
  // A segment of this connection with whatever flags, options and payload, and a checksum that is right.
  struct Raw {
    std::uint8_t flags = 0;
    std::int32_t sequence_offset = 0;
    std::size_t options_words = 0;  // of four bytes, from the front of the content; the rest is payload
    Octets content;
  };
  void send_segment(const Raw& raw);

 private:
  friend class Segment;
  struct Arrived {
    std::uint16_t board_port, server_port;
    std::uint32_t sequence, acknowledged;
    std::uint8_t flags;
    std::uint16_t window;
    Octets options, payload;
  };
  void handle(const Arrived& segment);
  void pump();
  void emit(std::uint8_t flags, const std::string& payload = {}, std::uint32_t sequence_offset = 0);

  std::function<void(const Octets& tcp)> emit_tcp_;  // set by the segment
  std::uint16_t board_port_ = 0;
  std::uint16_t server_port_ = 0;
  std::uint32_t next_expected_ = 0;
  std::uint32_t first_unacknowledged_ = 0;
  std::string out_;              // from first_unacknowledged_ on
  std::size_t unsent_from_ = 0;  // in out_
  bool finishing_ = false;
  bool finish_sent_ = false;
  bool connected_ = false;
  bool finished_by_board_ = false;
  bool reset_by_board_ = false;
  std::size_t board_window_ = 0;
  std::size_t asked_segment_size_ = 0;
  std::string received_;
  int connections_ = 0;
};

class Segment final : public boards::Ethernet {
 public:
  Segment();

  bool cable = true;
  bool accepts_frames = true;  // what the board sends finds room in its controller
  DhcpPolicy dhcp;
  // Name to address; without: no such host. No answer at all while `dns_answers` is false.
  std::map<std::string, Ip> hosts;
  std::uint32_t dns_ttl_s = 0;
  bool dns_answers = true;
  int dns_questions = 0;
  // Answers of any other UDP port: of the server, its port, and a request. Empty: none.
  std::function<std::optional<Octets>(std::uint16_t port, const Octets& request)> udp;
  TcpPeer tcp;
  // A frame to the board for which this says so is lost.
  std::function<bool(const Octets& frame)> lose;
  // As the board sent them.
  std::vector<Octets> sent;

  // Puts a frame on the cable to the board.
  void deliver(const Octets& frame);
  // A UDP packet from anybody to the board.
  void deliver_udp(Ip from, std::uint16_t from_port, std::uint16_t to_port, const Octets& payload);
  // Answers to the board's last request and last question, right in transaction and port, with this content.
  void answer_dhcp(const Octets& message);
  void answer_dns(const Octets& message);
  // The port from which the board sent its last UDP packet, besides DHCP and DNS.
  [[nodiscard]] std::uint16_t board_udp_port() const { return board_udp_port_; }
  [[nodiscard]] bool has_frames() const { return !to_board_.empty(); }

  // The controller.
  void start() override { started_ = true; }
  [[nodiscard]] Address address() const override { return {0x52, 0x54, 0x00, 0x12, 0x34, 0x56}; }
  [[nodiscard]] bool link_up() override { return cable; }
  std::size_t begin_receive() override;
  void read(MutableBytes out) override;
  void end_receive() override;
  bool begin_transmit(std::size_t size) override;
  void write(Bytes in) override;
  void end_transmit() override;
  [[nodiscard]] std::uint32_t errors() const override { return 0; }

 private:
  void handle(const Octets& frame);
  void handle_arp(const Octets& frame);
  void handle_udp(const Octets& ip_packet);
  void handle_tcp(const Octets& ip_packet);
  void handle_dhcp(const Octets& message);
  void handle_dns(std::uint16_t board_port, const Octets& message);
  void deliver_dhcp(const Octets& message);
  void deliver_ip(Ip from, Ip to, std::uint8_t protocol, const Octets& payload);

  bool started_ = false;
  std::deque<Octets> to_board_;
  std::size_t read_ = 0;
  Octets from_board_;
  std::size_t transmit_size_ = 0;
  Ip board_ip_ = 0;
  std::uint16_t board_udp_port_ = 0;
  std::uint32_t dhcp_transaction_ = 0;
  std::uint16_t dns_transaction_ = 0;
  std::uint16_t board_dns_port_ = 0;
};

}  // namespace godwit::test
