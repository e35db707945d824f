// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/boards/common/net/segment.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace godwit::test {
namespace {

constexpr std::array<std::uint8_t, 6> kServerMac{0x02, 0, 0, 0, 0, 0x01};
constexpr std::uint16_t kTypeIp = 0x0800;
constexpr std::uint16_t kTypeArp = 0x0806;
constexpr std::uint8_t kUdp = 17;
constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kFin = 1;
constexpr std::uint8_t kSyn = 2;
constexpr std::uint8_t kRst = 4;
constexpr std::uint8_t kPsh = 8;
constexpr std::uint8_t kAck = 16;

void put8(Octets& out, unsigned value) { out.push_back(static_cast<std::uint8_t>(value)); }
void put16(Octets& out, unsigned value) {
  put8(out, value >> 8U);
  put8(out, value);
}
void put32(Octets& out, std::uint32_t value) {
  put16(out, value >> 16U);
  put16(out, value & 0xFFFFU);
}
template <typename Range>
void put(Octets& out, const Range& bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}
std::uint16_t get16(const Octets& in, std::size_t at) { return load_be<std::uint16_t>(&in.at(at)); }
std::uint32_t get32(const Octets& in, std::size_t at) { return load_be<std::uint32_t>(&in.at(at)); }
Octets tail(const Octets& in, std::size_t from) {
  return {in.begin() + static_cast<std::ptrdiff_t>(std::min(from, in.size())), in.end()};
}

// RFC 1071.
std::uint16_t checksum(const Octets& bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    sum += static_cast<std::uint32_t>(bytes[i]) << (i % 2 == 0 ? 8U : 0U);
  while (sum > 0xFFFF) sum = (sum & 0xFFFFU) + (sum >> 16U);
  return static_cast<std::uint16_t>(~sum);
}

}  // namespace

void TcpPeer::handle(const Arrived& segment) {
  if ((segment.flags & kSyn) != 0) {
    board_port_ = segment.board_port;
    server_port_ = segment.server_port;
    next_expected_ = segment.sequence + 1;
    first_unacknowledged_ = 0xFFFF'FF00;  // so that it soon wraps
    out_.clear();
    unsent_from_ = 0;
    finishing_ = finish_sent_ = connected_ = finished_by_board_ = reset_by_board_ = false;
    received_.clear();
    board_window_ = segment.window;
    if (segment.options.size() >= 4 && segment.options[0] == 2)
      asked_segment_size_ = get16(segment.options, 2);
    ++connections_;
    if (manner == Manner::kAccepts) emit(kSyn | kAck);
    if (manner == Manner::kRefuses) emit(kRst | kAck);
    return;
  }
  if (segment.board_port != board_port_) return;  // of an earlier connection
  if ((segment.flags & kRst) != 0) {
    reset_by_board_ = true;
    connected_ = false;
    return;
  }
  if (manner != Manner::kAccepts) return;
  if (!connected_ && (segment.flags & kAck) != 0 && !reset_by_board_) {
    connected_ = true;
    ++first_unacknowledged_;  // our SYN
  }
  const std::uint32_t acknowledged = segment.acknowledged - first_unacknowledged_;
  if (acknowledged <= unsent_from_ + (finish_sent_ ? 1 : 0)) {
    const std::size_t bytes = std::min<std::size_t>(acknowledged, unsent_from_);
    out_.erase(0, bytes);
    unsent_from_ -= bytes;
    first_unacknowledged_ += static_cast<std::uint32_t>(bytes);
    board_window_ = segment.window;
  }
  const std::uint32_t known =
      next_expected_ - segment.sequence;  // of its first bytes; huge: there is a gap before it
  const bool finishes = (segment.flags & kFin) != 0;
  if (acknowledges && known <= segment.payload.size() && window >= segment.payload.size() - known) {
    received_.append(segment.payload.begin() + known, segment.payload.end());
    next_expected_ += static_cast<std::uint32_t>(segment.payload.size() - known);
    if (finishes && !finished_by_board_) {
      ++next_expected_;
      finished_by_board_ = true;
    }
  }
  const bool answer = acknowledges && (!segment.payload.empty() || finishes);
  if (answer) emit(kAck);
  pump();
}

void TcpPeer::send(const std::string& text) {
  out_ += text;
  pump();
}

void TcpPeer::finish() {
  finishing_ = true;
  pump();
}

void TcpPeer::reset() {
  emit(kRst | kAck, {}, static_cast<std::uint32_t>(unsent_from_));
  connected_ = false;
}

void TcpPeer::retransmit() {
  unsent_from_ = 0;
  finish_sent_ = false;
  pump();
}

void TcpPeer::pump() {
  if (!connected_) return;
  while (unsent_from_ < out_.size() && unsent_from_ < board_window_) {
    const std::size_t size =
        std::min({out_.size() - unsent_from_, board_window_ - unsent_from_, segment_size_max});
    emit(kAck | kPsh, out_.substr(unsent_from_, size), static_cast<std::uint32_t>(unsent_from_));
    unsent_from_ += size;
  }
  if (finishing_ && !finish_sent_ && unsent_from_ == out_.size()) {
    emit(kFin | kAck, {}, static_cast<std::uint32_t>(unsent_from_));
    finish_sent_ = true;
  }
}

void TcpPeer::send_segment(const Raw& raw) {
  Octets content = raw.content;
  content.resize(std::clamp<std::size_t>(content.size(), raw.options_words * 4, 1'460));
  Octets tcp;
  put16(tcp, server_port_);
  put16(tcp, board_port_);
  put32(tcp, first_unacknowledged_ + static_cast<std::uint32_t>(raw.sequence_offset));
  put32(tcp, next_expected_);
  put8(tcp, static_cast<unsigned>(5 + raw.options_words) << 4U);
  put8(tcp, raw.flags);
  put16(tcp, window);
  put32(tcp, 0);
  put(tcp, content);
  emit_tcp_(tcp);
}

void TcpPeer::emit(std::uint8_t flags, const std::string& payload, std::uint32_t sequence_offset) {
  Octets tcp;
  put16(tcp, server_port_);
  put16(tcp, board_port_);
  put32(tcp, first_unacknowledged_ + sequence_offset);
  put32(tcp, next_expected_);
  put8(tcp, 5U << 4U);
  put8(tcp, flags);
  put16(tcp, window);
  put16(tcp, 0);  // the checksum, by the segment
  put16(tcp, 0);
  put(tcp, payload);
  emit_tcp_(tcp);
}

Segment::Segment() {
  tcp.emit_tcp_ = [this](const Octets& segment) { deliver_ip(kServerIp, board_ip_, kTcp, segment); };
}

void Segment::deliver(const Octets& frame) {
  if (!cable || (lose && lose(frame))) return;
  to_board_.push_back(frame);
}

void Segment::deliver_ip(Ip from, Ip to, std::uint8_t protocol, const Octets& payload) {
  constexpr std::size_t kTcpChecksum = 16;
  Octets body = payload;
  if (protocol == kTcp) {
    Octets covered;
    put32(covered, from);
    put32(covered, to);
    put16(covered, protocol);
    put16(covered, static_cast<unsigned>(payload.size()));
    put(covered, payload);
    store_be(&body[kTcpChecksum], checksum(covered));
  }
  Octets header;
  put16(header, 0x4500);
  put16(header, static_cast<unsigned>(20 + body.size()));
  put32(header, 0);
  put8(header, 64);
  put8(header, protocol);
  put16(header, 0);
  put32(header, from);
  put32(header, to);
  store_be(&header[10], checksum(header));
  Octets frame;
  put(frame, address());
  put(frame, kServerMac);
  put16(frame, kTypeIp);
  put(frame, header);
  put(frame, body);
  deliver(frame);
}

void Segment::deliver_udp(Ip from, std::uint16_t from_port, std::uint16_t to_port, const Octets& payload) {
  Octets udp_packet;
  put16(udp_packet, from_port);
  put16(udp_packet, to_port);
  put16(udp_packet, static_cast<unsigned>(8 + payload.size()));
  put16(udp_packet, 0);  // no checksum
  put(udp_packet, payload);
  deliver_ip(from, board_ip_ != 0 ? board_ip_ : dhcp.address, kUdp, udp_packet);
}

std::size_t Segment::begin_receive() {
  read_ = 0;
  return to_board_.empty() ? 0 : to_board_.front().size();
}

void Segment::read(MutableBytes out) {
  ASSERT_LE(read_ + out.size(), to_board_.front().size());
  std::copy_n(to_board_.front().begin() + static_cast<std::ptrdiff_t>(read_), out.size(), out.begin());
  read_ += out.size();
}

void Segment::end_receive() { to_board_.pop_front(); }

bool Segment::begin_transmit(std::size_t size) {
  if (!accepts_frames) return false;
  EXPECT_TRUE(started_);
  EXPECT_GE(size, 14U);
  EXPECT_LE(size, 1514U);
  from_board_.clear();
  transmit_size_ = size;
  return true;
}

void Segment::write(Bytes in) { put(from_board_, in); }

void Segment::end_transmit() {
  EXPECT_EQ(from_board_.size(), transmit_size_);
  if (!cable) return;
  sent.push_back(from_board_);
  handle(sent.back());
}

void Segment::handle(const Octets& frame) {
  if (get16(frame, 12) == kTypeArp) return handle_arp(frame);
  if (get16(frame, 12) != kTypeIp) return;
  Octets packet = tail(frame, 14);
  packet.resize(get16(packet, 2));
  const Ip from = get32(packet, 12);
  if (from != 0) board_ip_ = from;
  if (packet[9] == kUdp) handle_udp(packet);
  if (packet[9] == kTcp) handle_tcp(packet);
}

// Whoever is asked for on this network is us, but the board itself.
void Segment::handle_arp(const Octets& frame) {
  const Octets arp = tail(frame, 14);
  const Ip sender = get32(arp, 14);
  const Ip target = get32(arp, 24);
  if (get16(arp, 6) != 1 || target == sender || target == dhcp.address) return;
  Octets reply;
  put(reply, address());
  put(reply, kServerMac);
  put16(reply, kTypeArp);
  put16(reply, 1);
  put16(reply, kTypeIp);
  put16(reply, 0x0604);
  put16(reply, 2);
  put(reply, kServerMac);
  put32(reply, target);
  put(reply, address());
  put32(reply, sender);
  deliver(reply);
}

void Segment::handle_udp(const Octets& ip_packet) {
  constexpr std::size_t kUdpAt = 20;
  const std::uint16_t from = get16(ip_packet, kUdpAt);
  const std::uint16_t to = get16(ip_packet, kUdpAt + 2);
  const Octets payload = tail(ip_packet, kUdpAt + 8);
  if (to == 67) return handle_dhcp(payload);
  if (to == 53) return handle_dns(from, payload);
  board_udp_port_ = from;
  if (!udp) return;
  if (const auto answer = udp(to, payload)) deliver_udp(get32(ip_packet, 16), to, from, *answer);
}

void Segment::handle_tcp(const Octets& ip_packet) {
  const Octets segment = tail(ip_packet, 20);
  const std::size_t header = (segment.at(12) >> 4U) * std::size_t{4};
  tcp.handle({.board_port = get16(segment, 0),
              .server_port = get16(segment, 2),
              .sequence = get32(segment, 4),
              .acknowledged = get32(segment, 8),
              .flags = segment.at(13),
              .window = get16(segment, 14),
              .options = Octets(segment.begin() + 20, segment.begin() + static_cast<std::ptrdiff_t>(header)),
              .payload = tail(segment, header)});
}

// RFC 2131 and 2132.
void Segment::handle_dhcp(const Octets& message) {
  constexpr std::size_t kOptions = 240;
  constexpr std::uint8_t kMessageType = 53, kHostname = 12, kEnd = 255;
  constexpr std::uint8_t kDiscover = 1, kOffer = 2, kRequest = 3, kAckType = 5, kNak = 6;
  std::uint8_t type = 0;
  for (std::size_t at = kOptions; at + 1 < message.size() && message[at] != kEnd;
       at += 2U + message[at + 1]) {
    if (message[at] == kMessageType) type = message[at + 2];
    if (message[at] == kHostname) dhcp.hostname.assign(&message[at + 2], &message[at + 2] + message[at + 1]);
  }
  dhcp_transaction_ = get32(message, 4);
  dhcp.discovers += type == kDiscover ? 1 : 0;
  dhcp.requests += type == kRequest ? 1 : 0;
  if (!dhcp.answers || (type != kDiscover && type != kRequest)) return;
  const bool refused = type == kRequest && dhcp.refuses;
  Octets reply(message.begin(), message.begin() + kOptions);
  reply[0] = 2;
  store_be(&reply[16], refused ? Ip{0} : dhcp.address);
  const auto option = [&](unsigned code, std::uint32_t value) {
    put8(reply, code);
    put8(reply, 4);
    put32(reply, value);
  };
  put8(reply, kMessageType);
  put8(reply, 1);
  put8(reply, type == kDiscover ? kOffer : refused ? kNak : kAckType);
  option(54, kServerIp);
  if (!refused) {
    option(51, dhcp.lease_s);
    option(1, ip(255, 255, 255, 0));
    option(3, kServerIp);
    option(6, kServerIp);
  }
  put8(reply, kEnd);
  deliver_dhcp(reply);
}

void Segment::deliver_dhcp(const Octets& message) {
  Octets udp_packet;
  put16(udp_packet, 67);
  put16(udp_packet, 68);
  put16(udp_packet, static_cast<unsigned>(8 + message.size()));
  put16(udp_packet, 0);
  put(udp_packet, message);
  deliver_ip(kServerIp, ip(255, 255, 255, 255), kUdp, udp_packet);
}

void Segment::answer_dhcp(const Octets& message) {
  constexpr std::size_t kTransaction = 4, kHardwareAddress = 28;
  Octets answer = message;
  answer.resize(std::min<std::size_t>(answer.size(), 1'400));
  if (answer.size() >= kHardwareAddress + 6) {
    store_be(&answer[kTransaction], dhcp_transaction_);
    std::ranges::copy(address(), answer.begin() + kHardwareAddress);
  }
  deliver_dhcp(answer);
}

void Segment::answer_dns(const Octets& message) {
  Octets answer = message;
  answer.resize(std::min<std::size_t>(answer.size(), 1'400));
  if (answer.size() >= 2) store_be(answer.data(), dns_transaction_);
  deliver_udp(kServerIp, 53, board_dns_port_, answer);
}

// RFC 1035, one question of type A.
void Segment::handle_dns(std::uint16_t board_port, const Octets& message) {
  ++dns_questions;
  dns_transaction_ = get16(message, 0);
  board_dns_port_ = board_port;
  if (!dns_answers) return;
  std::string name;
  std::size_t at = 12;
  for (; message.at(at) != 0; at += 1U + message[at]) {
    if (!name.empty()) name += '.';
    name.append(&message[at + 1], &message[at + 1] + message[at]);
  }
  const auto host = hosts.find(name);
  const bool known = host != hosts.end();
  Octets reply(message.begin(), message.begin() + static_cast<std::ptrdiff_t>(at + 5));
  store_be(&reply[2], static_cast<std::uint16_t>(known ? 0x8180 : 0x8183));
  store_be(&reply[6], static_cast<std::uint16_t>(known ? 1 : 0));
  if (known) {
    put16(reply, 0xC00C);
    put16(reply, 1);
    put16(reply, 1);
    put32(reply, dns_ttl_s);
    put16(reply, 4);
    put32(reply, host->second);
  }
  deliver_udp(kServerIp, 53, board_port, reply);
}

}  // namespace godwit::test
