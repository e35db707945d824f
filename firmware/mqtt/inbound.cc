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

// What acknowledgements and DISCONNECT have in front of their end: a reason code and properties, both of
// which may be left out, the properties only with nothing behind (3.4.2.1, 3.14.2.1).
struct Reason {
  ReasonCode code = ReasonCode::kSuccess;
  Bytes properties;
};

ReasonCode read_reason(Reader& reader, PacketType type, Reason& out) {
  if (reader.done()) return kOk;
  const std::uint8_t code = reader.u8();
  if (!reader.rest().empty()) {
    if (const ReasonCode wrong = read_properties(reader, type, out.properties); wrong != kOk) return wrong;
  }
  if (!reader.done()) return kMalformed;
  if (!is_reason_of(type, code)) return kProtocol;
  out.code = static_cast<ReasonCode>(code);
  return kOk;
}

ReasonCode read_message_properties(Bytes properties, Message& message) {
  Reader reader(properties);
  while (const auto property = next_property(reader)) {
    const std::string_view text = as_text(property->bytes);
    switch (property->id) {
      case PropertyId::kPayloadFormat:
        message.text_payload = property->number != 0;
        break;
      case PropertyId::kMessageExpiry:
        message.expiry_s = property->number;
        break;
      case PropertyId::kContentType:
        message.content_type = text;
        break;
      case PropertyId::kResponseTopic:
        if (!is_topic_name(text)) return kProtocol;
        message.response_topic = text;
        break;
      case PropertyId::kCorrelationData:
        message.correlation_data = property->bytes;
        break;
      case PropertyId::kTopicAlias:  // our Topic Alias Maximum is 0
        return ReasonCode::kTopicAliasInvalid;
      default:
        break;
    }
  }
  return kOk;
}

}  // namespace

std::size_t Session::handle_bytes(Instant now, Bytes bytes) {
  if (phase_ == Phase::kDown || phase_ == Phase::kClosing) return bytes.size();
  consume_event();
  std::size_t taken = 0;
  while (taken < bytes.size() && event_state_ == EventState::kNone && !ended_) {
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
      if (event_state_ == EventState::kNone) receive_size_ = 0;
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
  switch (type) {
    case PacketType::kPublish:
      if ((flags & 0x06) == 0x06) return kMalformed;  // QoS 3
      if ((flags & 0x0E) == 0x08) return kMalformed;  // DUP at QoS 0
      break;
    case PacketType::kPubrel:
      if (flags != 2) return kMalformed;
      break;
    case PacketType::kConnack:
    case PacketType::kPuback:
    case PacketType::kPubrec:
    case PacketType::kPubcomp:
    case PacketType::kSuback:
    case PacketType::kUnsuback:
    case PacketType::kPingresp:
    case PacketType::kDisconnect:
      if (flags != 0) return kMalformed;
      break;
    case PacketType::kConnect:
    case PacketType::kSubscribe:
    case PacketType::kUnsubscribe:
    case PacketType::kPingreq:
    case PacketType::kAuth:  // only after we asked for it (4.12.0-6), which we never do
      return kProtocol;
    default:
      return kMalformed;
  }
  const bool expected = (type == PacketType::kConnack) == (phase_ == Phase::kConnecting);
  return expected ? kOk : kProtocol;
}

ReasonCode Session::receive_packet(Instant now) {
  Reader body(memory_.receive.first(packet_size_).subspan(1));
  body.varint();
  const auto type = static_cast<PacketType>(memory_.receive[0] >> 4);
  switch (type) {
    case PacketType::kConnack:
      return receive_connack(now, body);
    case PacketType::kPublish:
      return receive_publish(body);
    case PacketType::kSuback:
    case PacketType::kUnsuback:
      return receive_suback(now, type, body);
    case PacketType::kPingresp:
      ping_deadline_ = Instant::max();
      return body.done() ? kOk : kMalformed;
    case PacketType::kDisconnect:
      return receive_disconnect(body);
    default:
      return receive_ack(type, body);
  }
}

ReasonCode Session::receive_connack(Instant now, Reader body) {
  const std::uint8_t flags = body.u8();
  const std::uint8_t code = body.u8();
  Bytes properties;
  if (const ReasonCode wrong = read_properties(body, PacketType::kConnack, properties); wrong != kOk)
    return wrong;
  if (!body.done() || flags > 1) return kMalformed;
  const bool session_present = flags != 0;
  if (!is_reason_of(PacketType::kConnack, code)) return kProtocol;
  // A session where we asked for none, or beside an error (3.2.2-2, 3.2.2-4, 3.2.2-6).
  if (session_present && (!resumable_ || code != 0)) return kProtocol;
  if (code != 0) {
    drop_transmit();
    close({EventType::kRefused, static_cast<ReasonCode>(code), false, reason_string(properties)});
    return kOk;
  }
  if (const ReasonCode wrong = apply_connack(properties); wrong != kOk) return wrong;
  phase_ = Phase::kConnected;
  phase_deadline_ = Instant::max();
  last_received_ = now;
  quota_ = server_.receive_maximum;
  resume_requests(session_present);
  pump();
  new_event(EventType::kConnected, properties).session_present = session_present;
  return kOk;
}

ReasonCode Session::apply_connack(Bytes properties) {
  std::uint32_t keep_alive_s = options_.keep_alive_s;
  std::uint32_t session_expiry_s = options_.session_expiry_s;
  Reader reader(properties);
  while (const auto property = next_property(reader)) {
    const std::uint32_t number = property->number;
    switch (property->id) {
      case PropertyId::kSessionExpiry:
        session_expiry_s = number;
        break;
      case PropertyId::kReceiveMaximum:
        server_.receive_maximum = static_cast<std::uint16_t>(number);
        break;
      case PropertyId::kMaximumQos:
        server_.maximum_qos = static_cast<Qos>(number);
        break;
      case PropertyId::kRetainAvailable:
        server_.retain = number != 0;
        break;
      case PropertyId::kMaximumPacketSize:
        server_.maximum_packet_size = std::min(number, kPacketSizeMax);
        break;
      case PropertyId::kTopicAliasMaximum:
        server_.topic_alias_maximum = static_cast<std::uint16_t>(number);
        break;
      case PropertyId::kWildcardAvailable:
        server_.wildcard = number != 0;
        break;
      case PropertyId::kSharedAvailable:
        server_.shared = number != 0;
        break;
      case PropertyId::kServerKeepAlive:
        keep_alive_s = number;
        break;
      case PropertyId::kAssignedClientId:  // 3.2.2.3.7: only to a client without one
        if (!options_.client_id.empty()) return kProtocol;
        break;
      default:
        break;
    }
  }
  keep_alive_ = Millis{keep_alive_s * 1'000LL};
  resumable_ = session_expiry_s != 0;
  return kOk;
}

ReasonCode Session::receive_publish(Reader body) {
  const std::uint8_t first = memory_.receive[0];
  const auto qos = static_cast<Qos>((first >> 1) & 3);
  const std::string_view topic = as_text(body.string());
  const std::uint16_t id = qos != Qos::kAtMostOnce ? body.u16() : std::uint16_t{0};
  if (!body.ok()) return kMalformed;
  Bytes properties;
  if (const ReasonCode wrong = read_properties(body, PacketType::kPublish, properties); wrong != kOk)
    return wrong;
  if (qos != Qos::kAtMostOnce && id == 0) return kProtocol;

  Event& event = new_event(EventType::kMessage, properties);
  event_state_ = EventState::kNone;  // until it is accepted
  event.id = id;
  Message& message = event.message;
  message.topic = topic;
  message.payload = body.rest();
  message.qos = qos;
  message.retain = (first & 0x01) != 0;
  message.duplicate = (first & 0x08) != 0;
  if (const ReasonCode wrong = read_message_properties(properties, message); wrong != kOk) return wrong;
  if (topic.empty()) return kProtocol;
  if (!is_topic_name(topic)) return kMalformed;  // 3.3.2-2
  return accept();
}

// The PUBLISH in event_ is well formed: it becomes an event, or is answered at once.
ReasonCode Session::accept() {
  const Message& message = event_.message;
  const Qos qos = message.qos;
  const std::uint16_t id = event_.id;
  const std::uint8_t ack = qos == Qos::kAtLeastOnce   ? kPubackByte
                           : qos == Qos::kExactlyOnce ? kPubrecByte
                                                      : 0;
  if (ack != 0 && std::ranges::find(received(), id) != received().end()) {
    // A repetition of what was delivered already (4.3.3). As QoS 1 it means that the server has lost track.
    return answer(ack, id, qos == Qos::kExactlyOnce ? kOk : ReasonCode::kPacketIdentifierInUse);
  }
  if (message.text_payload && !is_utf8(message.payload)) {
    // 3.3.2.3.2. A negative acknowledgement makes the server forget it; ending the connection would bring it
    // again.
    if (ack == 0) return ReasonCode::kPayloadFormatInvalid;
    return answer(ack, id, ReasonCode::kPayloadFormatInvalid);
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
  event_state_ = EventState::kWaiting;
  return kOk;
}

ReasonCode Session::receive_ack(PacketType type, Reader body) {
  const std::uint16_t id = body.u16();
  if (!body.ok()) return kMalformed;
  Reason reason;
  if (const ReasonCode wrong = read_reason(body, type, reason); wrong != kOk) return wrong;
  if (id == 0) return kProtocol;
  if (type == PacketType::kPubrel) {
    return receive_pubrel(id);
  }
  const bool failed = is_error(reason.code);
  Request* const request = find_request(id);
  if (request == nullptr) {
    // It answers what we have forgotten. Our answer to PUBREC lets the server forget it, too (4.3.3).
    if (type != PacketType::kPubrec || failed) return kOk;
    return answer(kPubrelByte, id, ReasonCode::kPacketIdentifierNotFound);
  }
  switch (request->state) {
    case RequestState::kPuback:
      if (type != PacketType::kPuback || !request->sent) return kProtocol;
      break;
    case RequestState::kPubrec:
      if (type != PacketType::kPubrec || !request->sent) return kProtocol;
      if (failed) break;
      release(*request);
      pump();
      return kOk;
    case RequestState::kPubcomp:
      if (type == PacketType::kPubcomp) break;
      if (type != PacketType::kPubrec || failed) return kProtocol;
      request->due = true;
      pump();
      return kOk;
    default:
      return kProtocol;
  }
  remove_request(*request);
  if (quota_ < server_.receive_maximum) ++quota_;
  Event& event = new_event(EventType::kPublished, reason.properties);
  event.id = id;
  event.reason = reason.code;
  pump();
  return kOk;
}

ReasonCode Session::receive_pubrel(std::uint16_t id) {
  const auto found = std::ranges::find(received(), id);
  if (found == received().end()) return answer(kPubcompByte, id, ReasonCode::kPacketIdentifierNotFound);
  if (found - received().begin() < carried_count_) --carried_count_;
  std::copy(found + 1, received().end(), found);
  --received_count_;
  return answer(kPubcompByte, id, kOk);
}

// A reply that the protocol demands at once. Only a server that does not keep to the receive maximum can
// demand more of them than there is room for: see reserve().
ReasonCode Session::answer(std::uint8_t first_byte, std::uint16_t id, ReasonCode reason) {
  if (!has_reply_room()) return ReasonCode::kMessageRateTooHigh;
  put_ack(first_byte, id, reason);
  return kOk;
}

ReasonCode Session::receive_suback(Instant now, PacketType type, Reader body) {
  const std::uint16_t id = body.u16();
  if (!body.ok()) return kMalformed;
  Bytes properties;
  if (const ReasonCode wrong = read_properties(body, type, properties); wrong != kOk) return wrong;
  Request* const request = find_request(id);
  const bool subscribe = type == PacketType::kSuback;
  if (id == 0) return kProtocol;
  if (request == nullptr) return kOk;  // as in receive_ack()
  if (request->state != (subscribe ? RequestState::kSuback : RequestState::kUnsuback)) return kProtocol;
  // One filter was asked for, so there is one answer (3.8.4-6, 3.10.4-5), and no QoS above the one asked for.
  const Bytes codes = body.rest();
  if (codes.size() != 1 || !is_reason_of(type, codes[0])) return kProtocol;
  const auto granted = static_cast<ReasonCode>(codes[0]);
  if (subscribe && !is_error(granted) && codes[0] > static_cast<std::uint8_t>(request->qos)) return kProtocol;
  remove_request(*request);
  subscribe_deadline_ = count_subscribes() > 0 ? now + options_.ack_timeout : Instant::max();
  Event& event = new_event(subscribe ? EventType::kSubscribed : EventType::kUnsubscribed, properties);
  event.id = id;
  event.reason = granted;
  return kOk;
}

ReasonCode Session::receive_disconnect(Reader body) {
  Reason reason;
  if (const ReasonCode wrong = read_reason(body, PacketType::kDisconnect, reason); wrong != kOk) return wrong;
  Reader reader(reason.properties);
  while (const auto property = next_property(reader)) {
    if (property->id == PropertyId::kSessionExpiry) return kProtocol;  // 3.14.2-2
  }
  drop_transmit();
  close({EventType::kDisconnected, reason.code, true, reason_string(reason.properties)});
  return kOk;
}

}  // namespace godwit::mqtt
