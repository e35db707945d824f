// SPDX-License-Identifier: Apache-2.0
// Packets from the server: strict, because a server that breaks the protocol cannot be trusted with its
// state. Everything that is wrong ends the connection with the reason code that 4.13 and the packet's section
// name.
#include <algorithm>
#include <cstring>

#include "firmware/mqtt/codec.h"
#include "firmware/mqtt/session.h"

namespace godwit::mqtt {
namespace {

constexpr ReasonCode kOk = ReasonCode::kSuccess;
constexpr ReasonCode kMalformed = ReasonCode::kMalformedPacket;
constexpr ReasonCode kProtocol = ReasonCode::kProtocolError;

constexpr std::size_t kHeaderSizeMax = 5;
constexpr std::uint8_t kPubackByte = 0x40;
constexpr std::uint8_t kPubrecByte = 0x50;
constexpr std::uint8_t kPubrelByte = 0x62;
constexpr std::uint8_t kPubcompByte = 0x70;

std::uint16_t read_id(Reader& reader) {
  const std::uint16_t id = reader.u16();
  if (id == 0) reader.fail(kProtocol);
  return id;
}

}  // namespace

std::size_t Session::handle_bytes(Instant now, Bytes bytes) {
  if (phase_ == Phase::kDown || phase_ == Phase::kClosing) return bytes.size();
  consume_event();
  std::size_t taken = 0;
  while (taken < bytes.size() && event_state_ == EventState::kNone && !end_due_) {
    // The header comes byte by byte: its own bytes tell where it ends.
    const std::size_t wanted = packet_size_ == 0 ? 1 : packet_size_ - receive_size_;
    const std::size_t size = std::min(wanted, bytes.size() - taken);
    std::memcpy(memory_.receive.data() + receive_size_, bytes.data() + taken, size);
    receive_size_ += size;
    taken += size;
    last_received_ = now;
    ReasonCode wrong = packet_size_ == 0 ? take_header() : kOk;
    if (wrong == kOk && receive_size_ == packet_size_) {
      wrong = receive_packet(now);
      if (event_state_ == EventState::kNone) {
        receive_size_ = 0;
      }
      packet_size_ = 0;
    }
    if (wrong != kOk) end(now, wrong);
    if (phase_ == Phase::kClosing) return bytes.size();
  }
  return taken;
}

// Looks at the header so far; sets packet_size_ once it is whole.
ReasonCode Session::take_header() {
  if (receive_size_ == 1) return check_first_byte(memory_.receive[0]);
  const bool ends = memory_.receive[receive_size_ - 1] < 0x80;
  if (!ends) return receive_size_ == kHeaderSizeMax ? kMalformed : kOk;
  Reader reader(memory_.receive.subspan(1, receive_size_ - 1));
  const std::size_t remaining = reader.varint();
  if (!reader.ok()) return kMalformed;
  packet_size_ = receive_size_ + remaining;
  return packet_size_ > memory_.receive.size() ? ReasonCode::kPacketTooLarge : kOk;
}

// 2.1.2, 2.1.3: what may come from a server at all, and now, and with which flags.
ReasonCode Session::check_first_byte(std::uint8_t first) const {
  const unsigned flags = first & 0x0FU;
  const auto type = static_cast<PacketType>(first >> 4);
  unsigned expected_flags = 0;
  switch (type) {
    case PacketType::kPublish:
      if ((flags & 0x06) == 0x06) return kMalformed;  // QoS 3
      if ((flags & 0x0E) == 0x08) return kMalformed;  // DUP at QoS 0
      expected_flags = flags;
      break;
    case PacketType::kPubrel:
      expected_flags = 2;
      break;
    case PacketType::kConnect:
    case PacketType::kSubscribe:
    case PacketType::kUnsubscribe:
    case PacketType::kPingreq:
    case PacketType::kAuth:  // only after we asked for it (4.12.0-6), which we never do
      return kProtocol;
    default:
      if (first < 0x10) return kMalformed;
      break;
  }
  if (flags != expected_flags) return kMalformed;
  const bool expected = (type == PacketType::kConnack) == (phase_ == Phase::kConnecting);
  return expected ? kOk : kProtocol;
}

ReasonCode Session::receive_packet(Instant now) {
  const std::uint8_t first = memory_.receive[0];
  const auto type = static_cast<PacketType>(first >> 4);
  Properties properties;
  if (const ReasonCode wrong = read_packet(first, properties); wrong != kOk) return wrong;
  switch (type) {
    case PacketType::kConnack:
      return receive_connack(now, properties);
    case PacketType::kPublish:
      return receive_publish(properties);
    case PacketType::kPubrel:
      return receive_pubrel();
    case PacketType::kPingresp:
      answer_deadline_ = Instant::max();
      return kOk;
    case PacketType::kDisconnect:
      event_.by_server = true;
      return receive_end(EventType::kDisconnected);
    default:
      return receive_ack(now, type);
  }
}

// Takes the packet in the receive memory apart, into event_ and `properties`: all that can be checked without
// knowing what is under way.
ReasonCode Session::read_packet(std::uint8_t first, Properties& properties) {
  const auto type = static_cast<PacketType>(first >> 4);
  Reader body(memory_.receive.first(packet_size_).subspan(1));
  body.varint();
  set_event({}, 0, kOk);
  std::uint8_t code = 0;
  switch (type) {
    case PacketType::kConnack: {
      const std::uint8_t flags = body.u8();
      if (flags > 1) body.fail(kMalformed);
      event_.session_present = flags != 0;
      code = body.u8();
      properties.read(body, type);
      break;
    }
    case PacketType::kPublish:
      read_publish(first, body, properties);
      break;
    case PacketType::kSuback:
    case PacketType::kUnsuback:
      event_.id = read_id(body);
      properties.read(body, type);
      // One filter was asked for, so there is one answer (3.8.4-6, 3.10.4-5).
      if (body.rest().size() != 1) body.fail(kProtocol);
      code = body.u8();
      break;
    case PacketType::kPingresp:
      break;
    default:
      event_.id = read_id(body);
      [[fallthrough]];
    case PacketType::kDisconnect:
      // The reason code may be left out, and the properties (3.4.2.1, 3.14.2.1).
      if (!body.rest().empty()) code = body.u8();
      if (!body.rest().empty()) properties.read(body, type);
      if (type == PacketType::kDisconnect && properties.has(PropertyId::kSessionExpiry)) {
        body.fail(kProtocol);  // 3.14.2-2
      }
  }
  if (!body.rest().empty()) body.fail(kMalformed);
  if (!is_reason_of(type, code)) body.fail(kProtocol);
  event_.reason = static_cast<ReasonCode>(code);
  event_.reason_string = properties.text(PropertyId::kReasonString);
  event_.server_reference = properties.text(PropertyId::kServerReference);
  return body.wrong();
}

void Session::read_publish(std::uint8_t first, Reader& body, Properties& properties) {
  Message& message = event_.message;
  message.topic = as_text(body.string());
  message.qos = static_cast<Qos>((first >> 1) & 3);
  if (message.qos != Qos::kAtMostOnce) event_.id = read_id(body);
  properties.read(body, PacketType::kPublish);
  message.payload = body.bytes(body.rest().size());
  message.retain = (first & 0x01) != 0;
  message.duplicate = (first & 0x08) != 0;
  message.properties = properties.raw();
  if (properties.has(PropertyId::kResponseTopic) &&
      !is_topic_name(properties.text(PropertyId::kResponseTopic))) {
    body.fail(kProtocol);
  }
  if (properties.has(PropertyId::kTopicAlias)) body.fail(ReasonCode::kTopicAliasInvalid);  // our maximum is 0
  if (!is_topic_name(message.topic)) body.fail(message.topic.empty() ? kProtocol : kMalformed);  // 3.3.2-2
}

// The server ends the connection.
ReasonCode Session::receive_end(EventType type) {
  drop_transmit();
  close();
  event_.type = type;
  event_state_ = EventState::kWaiting;
  return kOk;
}

ReasonCode Session::receive_connack(Instant now, const Properties& properties) {
  const bool accepted = event_.reason == kOk;
  // A session where we asked for none, or beside an error (3.2.2-2, 3.2.2-4, 3.2.2-6).
  if (event_.session_present && !(resumable_ && accepted)) return kProtocol;
  if (!accepted) return receive_end(EventType::kRefused);
  // 3.2.2.3.7: only to a client without one.
  if (properties.has(PropertyId::kAssignedClientId) && !options_.client_id.empty()) return kProtocol;
  server_ = {
      .maximum_packet_size = properties.number(PropertyId::kMaximumPacketSize, kPacketSizeMax),
      .receive_maximum = static_cast<std::uint16_t>(properties.number(PropertyId::kReceiveMaximum, 0xFFFF)),
      .topic_alias_maximum = static_cast<std::uint16_t>(properties.number(PropertyId::kTopicAliasMaximum, 0)),
      .maximum_qos = static_cast<std::uint8_t>(properties.number(PropertyId::kMaximumQos, 2)),
      .retain = properties.number(PropertyId::kRetainAvailable, 1) != 0};
  const std::uint32_t keep_alive_s = properties.number(PropertyId::kServerKeepAlive, options_.keep_alive_s);
  silence_max_ = Millis{keep_alive_s * 875};  // the last eighth is for the PINGREQ to reach the server
  resumable_ = properties.number(PropertyId::kSessionExpiry, options_.session_expiry_s) != 0;

  phase_ = Phase::kConnected;
  answer_deadline_ = Instant::max();
  last_received_ = now;
  quota_ = server_.receive_maximum;
  resume_requests(event_.session_present);
  pump();
  event_.type = EventType::kConnected;
  event_state_ = EventState::kWaiting;
  return kOk;
}

// The PUBLISH in event_ becomes an event, or is answered at once.
ReasonCode Session::receive_publish(const Properties& properties) {
  const Message& message = event_.message;
  const Qos qos = message.qos;
  const std::uint16_t id = event_.id;
  const std::uint8_t ack = qos == Qos::kAtLeastOnce   ? kPubackByte
                           : qos == Qos::kExactlyOnce ? kPubrecByte
                                                      : 0;
  if (ack != 0 && std::ranges::find(received(), id) != received().end()) {
    // A repetition of what was delivered already (4.3.3). As QoS 1 it means that the server has lost track.
    return answer(ack, qos == Qos::kExactlyOnce ? kOk : ReasonCode::kPacketIdentifierInUse);
  }
  if (properties.number(PropertyId::kPayloadFormat, 0) != 0 && !is_utf8(message.payload)) {
    // 3.3.2.3.2. A negative acknowledgement makes the server forget it; ending the connection would bring it
    // again.
    if (ack == 0) return ReasonCode::kPayloadFormatInvalid;
    return answer(ack, ReasonCode::kPayloadFormatInvalid);
  }
  if (ack != 0) {
    if (!has_reply_room()) return ReasonCode::kMessageRateTooHigh;
    // A message whose PUBACK or PUBCOMP is in the transmit memory no longer counts, even if that has not left
    // yet: Mosquitto 2.0.11 sends a whole window more for each acknowledgement of its oldest message.
    const bool full = qos == Qos::kExactlyOnce && received_count_ == memory_.inbound.size();
    if (full || received_count_ - carried_count_ >= options_.receive_maximum) {
      return ReasonCode::kReceiveMaximumExceeded;
    }
  }
  ack_first_byte_ = ack;
  event_.type = EventType::kMessage;
  event_state_ = EventState::kWaiting;
  return kOk;
}

// PUBACK, PUBREC, PUBCOMP, SUBACK and UNSUBACK.
ReasonCode Session::receive_ack(Instant now, PacketType type) {
  const bool failed = is_error(event_.reason);
  Request* const request = find_request(event_.id);
  if (request == nullptr) {
    // It answers what we have forgotten. Our answer to PUBREC lets the server forget it, too (4.3.3).
    if (type != PacketType::kPubrec || failed) return kOk;
    return answer(kPubrelByte, ReasonCode::kPacketIdentifierNotFound);
  }
  if (!request->sent) return kProtocol;
  if (type == PacketType::kPubrec && !failed &&
      (request->state == RequestState::kPubrec || request->state == RequestState::kPubcomp)) {
    release(*request);
    pump();
    return kOk;
  }
  if (static_cast<PacketType>(request->state) != type) return kProtocol;
  const bool subscribed = type == PacketType::kSuback;
  if (subscribed && !failed && event_.reason > static_cast<ReasonCode>(request->qos)) return kProtocol;

  remove_request(*request);
  event_state_ = EventState::kWaiting;
  if (subscribed || type == PacketType::kUnsuback) {
    event_.type = subscribed ? EventType::kSubscribed : EventType::kUnsubscribed;
    subscribe_deadline_ = count_subscribes() > 0 ? now + options_.ack_timeout : Instant::max();
    return kOk;
  }
  event_.type = EventType::kPublished;
  if (quota_ < server_.receive_maximum) ++quota_;
  pump();
  return kOk;
}

ReasonCode Session::receive_pubrel() {
  const auto found = std::ranges::find(received(), event_.id);
  if (found == received().end()) return answer(kPubcompByte, ReasonCode::kPacketIdentifierNotFound);
  if (found - received().begin() < carried_count_) --carried_count_;
  std::copy(found + 1, received().end(), found);
  --received_count_;
  return answer(kPubcompByte, kOk);
}

// A reply to the packet in event_ that the protocol demands at once. Only a server that does not keep to the
// receive maximum can demand more of them than there is room for: see reserve().
ReasonCode Session::answer(std::uint8_t first_byte, ReasonCode reason) {
  if (!has_reply_room()) return ReasonCode::kMessageRateTooHigh;
  put_ack(first_byte, event_.id, reason);
  return kOk;
}

}  // namespace godwit::mqtt
