// SPDX-License-Identifier: Apache-2.0
// Packets to the server. They are written whole into the transmit memory, behind each other:
//
//   0        transmit_start_           transmit_end_                 size
//   | sent         | waits for the link      | free        | reserve() |
//
// Requests of the application leave reserve() bytes free, so that what the protocol demands can always be
// written: PINGREQ, DISCONNECT, and two acknowledgements for each message that the server may have under way:
// one for what it had not released when the last connection ended, one for as many new ones.
//
// With retransmit memory a PUBLISH of QoS 1 or 2 is first written there, with its whole topic, and pump()
// copies it to the transmit memory whenever it is due: at once, or when the server's receive maximum allows
// it, or on the next connection.
#include <algorithm>
#include <cstring>

#include "firmware/mqtt/codec.h"
#include "firmware/mqtt/session.h"
#include "proto/base/assert.h"

namespace godwit::mqtt {
namespace {

constexpr std::size_t kAckSizeMax = 5;         // with a reason code
constexpr std::size_t kAliasSizeMax = 5;       // and longer lengths of properties and packet
constexpr std::size_t kPingAndDisconnect = 5;  // PINGREQ has 2 bytes, DISCONNECT 3
constexpr std::uint8_t kDupFlag = 0x08;
constexpr std::uint8_t kQosBits = 0x06;
constexpr std::uint8_t kRetainFlag = 0x01;

constexpr std::uint8_t first_byte(PacketType type, unsigned flags) {
  return static_cast<std::uint8_t>(static_cast<unsigned>(type) << 4 | flags);
}

// Where a packet whose length is not known yet is written: this far behind the place of the longest fixed
// header.
constexpr std::size_t kFixedHeaderMax = 5;

void write_properties(Writer& writer, Bytes properties) {
  writer.varint(properties.size());
  writer.bytes(properties);
}

void write_u32(Writer& writer, PropertyId id, std::uint32_t value) {
  writer.u8(static_cast<std::uint8_t>(id));
  writer.u32(value);
}

void write_connect_body(Writer& writer, const Options& options, std::size_t receive_size, bool clean_start) {
  const Message* const will = options.will;
  static constexpr std::uint8_t kProtocol[] = {0, 4, 'M', 'Q', 'T', 'T', 5};  // 3.1.2.1, 3.1.2.2
  writer.bytes(kProtocol);
  unsigned flags = clean_start ? 0x02U : 0U;
  if (will != nullptr) flags |= 0x04U | static_cast<unsigned>(will->qos) << 3 | (will->retain ? 0x20U : 0U);
  if (!options.password.empty()) flags |= 0x40U;
  if (!options.user_name.empty()) flags |= 0x80U;
  writer.u8(static_cast<std::uint8_t>(flags));
  writer.u16(options.keep_alive_s);
  writer.varint(5 + 3 + 5 + options.properties.size());
  write_u32(writer, PropertyId::kSessionExpiry, options.session_expiry_s);
  writer.u8(static_cast<std::uint8_t>(PropertyId::kReceiveMaximum));
  writer.u16(options.receive_maximum);
  write_u32(writer, PropertyId::kMaximumPacketSize,
            static_cast<std::uint32_t>(std::min<std::size_t>(receive_size, kPacketSizeMax)));
  writer.bytes(options.properties);
  writer.string(options.client_id);
  if (will != nullptr) {
    write_properties(writer, will->properties);
    writer.string(will->topic);
    writer.binary(will->payload);
  }
  if (!options.user_name.empty()) writer.string(options.user_name);
  if (!options.password.empty()) writer.binary(options.password);
}

}  // namespace

// What stands in front of the payload of a PUBLISH. A topic alias counts as the first of its properties.
struct Session::PublishHead {
  std::uint8_t first_byte;
  std::string_view topic;
  std::uint16_t id = 0;     // 0: none
  Bytes properties;         // without the alias
  std::uint16_t alias = 0;  // 0: none
  bool alias_is_known = false;

  [[nodiscard]] std::size_t write(Writer& writer, std::size_t payload_size) const;
  [[nodiscard]] std::size_t size(std::size_t payload_size) const {
    Writer counter;
    return write(counter, payload_size);
  }
};

// Yields the size of the whole packet.
std::size_t Session::PublishHead::write(Writer& writer, std::size_t payload_size) const {
  const std::string_view name = alias_is_known ? std::string_view{} : topic;
  const std::size_t properties_size = properties.size() + (alias != 0 ? 3 : 0);
  writer.u8(first_byte);
  writer.varint(2 + name.size() + (id != 0 ? 2 : 0) + varint_size(properties_size) + properties_size +
                payload_size);
  writer.string(name);
  if (id != 0) writer.u16(id);
  writer.varint(properties_size);
  if (alias != 0) {
    writer.u8(static_cast<std::uint8_t>(PropertyId::kTopicAlias));
    writer.u16(alias);
  }
  writer.bytes(properties);
  return writer.size() + payload_size;
}

bool Session::options_are_valid() const {
  const bool resumes = !options_.clean_start || options_.session_expiry_s != 0;
  // An identifier that the server assigns is not kept, so its session could not be resumed.
  if (resumes && (memory_.retransmit.empty() || options_.client_id.empty())) return false;
  if (options_.receive_maximum == 0) return false;
  // The fixed header of a packet is read there before its size is known.
  if (memory_.receive.size() < kFixedHeaderMax) return false;
  const Message* const will = options_.will;
  if (will != nullptr && (!is_topic_name(will->topic) || will->payload.size() > 0xFFFF)) return false;
  return is_mqtt_string(as_bytes(options_.client_id)) && is_mqtt_string(as_bytes(options_.user_name)) &&
         options_.password.size() <= 0xFFFF;
}

// The first packet of a connection, in the empty transmit memory.
Status Session::put_connect() {
  if (memory_.transmit.size() < kFixedHeaderMax) return Status::kInvalidArgument;
  Writer body(memory_.transmit.subspan(kFixedHeaderMax));
  write_connect_body(body, options_, memory_.receive.size(), !resumable_);
  const std::size_t header_size = 1 + varint_size(body.size());
  if (!can_hold(header_size + body.size())) return Status::kInvalidArgument;
  transmit_start_ = kFixedHeaderMax - header_size;
  transmit_end_ = kFixedHeaderMax + body.size();
  Writer header(memory_.transmit.subspan(transmit_start_));
  header.u8(first_byte(PacketType::kConnect, 0));
  header.varint(body.size());
  return Status::kOk;
}

std::size_t Session::reserve() const {
  return 2 * kAckSizeMax * options_.receive_maximum + kPingAndDisconnect;
}

std::size_t Session::transmit_room() const { return memory_.transmit.size() - transmit().size(); }

// Whether a request of the application can ever be written, and whether it can now.
bool Session::can_hold(std::size_t size) const { return size + reserve() <= memory_.transmit.size(); }
bool Session::has_room(std::size_t size) const { return transmit_room() >= reserve() + size; }

bool Session::has_reply_room() const { return transmit_room() >= kAckSizeMax + kPingAndDisconnect; }

// Room behind the last packet. Precondition: transmit_room() >= size.
MutableBytes Session::transmit_tail(std::size_t size) {
  GODWIT_ASSERT(transmit_room() >= size);
  GODWIT_ASSERT(draft_.packet.empty() || draft_.stored);
  if (memory_.transmit.size() - transmit_end_ < size) {
    transmit_end_ -= transmit_start_;
    std::memmove(memory_.transmit.data(), memory_.transmit.data() + transmit_start_, transmit_end_);
    transmit_start_ = 0;
  }
  return memory_.transmit.subspan(transmit_end_, size);
}

Bytes Session::transmit() const {
  return memory_.transmit.subspan(transmit_start_, transmit_end_ - transmit_start_);
}

void Session::transmitted(Instant now, std::size_t size) {
  GODWIT_ASSERT(size <= transmit().size());
  if (size == 0) return;
  last_sent_ = now;
  transmit_start_ += size;
  pump();
}

void Session::put(std::uint8_t first, Bytes body) {
  Writer writer(transmit_tail(2 + body.size()));
  writer.u8(first);
  writer.u8(static_cast<std::uint8_t>(body.size()));
  writer.bytes(body);
  transmit_end_ += writer.size();
}

void Session::put_ack(std::uint8_t first, std::uint16_t id, ReasonCode reason) {
  const std::array<std::uint8_t, 3> body{static_cast<std::uint8_t>(id >> 8), static_cast<std::uint8_t>(id),
                                         static_cast<std::uint8_t>(reason)};
  put(first, Bytes(body).first(reason == ReasonCode::kSuccess ? 2 : 3));
}

void Session::put_disconnect(ReasonCode reason) {
  const auto code = static_cast<std::uint8_t>(reason);
  put(first_byte(PacketType::kDisconnect, 0), {&code, 1});
}

void Session::put_pingreq() { put(first_byte(PacketType::kPingreq, 0), {}); }

// Sends what is due, as far as there is room and the server's receive maximum allows.
void Session::pump() {
  if (phase_ != Phase::kConnected) return;
  for (Request& request : std::span(requests_).first(request_count_)) {
    if (!request.due) continue;
    if (request.state == RequestState::kPubcomp) {
      if (!has_room(kAckSizeMax)) return;
      put_ack(first_byte(PacketType::kPubrel, 2), request.id, ReasonCode::kSuccess);
    } else {
      if (quota_ == 0) return;
      const Bytes packet = memory_.retransmit.subspan(stored_offset(&request), request.stored_size);
      const ReasonCode refused = send_stored(packet, request.sent);
      if (refused == ReasonCode::kQuotaExceeded) return;
      if (refused != ReasonCode::kSuccess) {
        give_up(request, RequestState::kRejected, refused);
        continue;
      }
      request.sent = true;
    }
    request.due = false;
  }
}

// Sends a PUBLISH that stands in the retransmit memory. kQuotaExceeded: there is no room now; or why the
// server can never take it.
ReasonCode Session::send_stored(Bytes stored, bool again) {
  Reader reader(stored);
  PublishHead head{.first_byte = reader.u8()};
  reader.varint();
  head.topic = as_text(reader.binary());
  head.id = reader.u16();
  head.properties = reader.bytes(reader.varint());
  if (again) head.first_byte |= kDupFlag;
  MutableBytes packet;
  const ReasonCode refused = put_publish(head, reader.rest().size(), packet);
  if (refused != ReasonCode::kSuccess) return refused;
  Writer(packet.last(reader.rest().size())).bytes(reader.rest());
  sent_publish(packet.size(), true, head.alias != 0 && !head.alias_is_known);
  return ReasonCode::kSuccess;
}

// Writes the head of a PUBLISH behind the last packet, with a topic alias if there is one; the payload and
// sent_publish() are the caller's. Results as of send_stored().
ReasonCode Session::put_publish(PublishHead& head, std::size_t payload_size, MutableBytes& packet) {
  head.alias = alias_of(head.topic);
  head.alias_is_known = head.alias != 0 && head.alias <= alias_count_;
  std::size_t size = head.size(payload_size);
  if (size > server_.maximum_packet_size) {  // an alias that is new, or of a short topic, adds to it
    head.alias = 0;
    head.alias_is_known = false;
    size = head.size(payload_size);
  }
  if (const ReasonCode verdict = server_verdict(head.first_byte, size); verdict != ReasonCode::kSuccess) {
    return verdict;
  }
  if (!has_room(size)) return ReasonCode::kQuotaExceeded;
  packet = transmit_tail(size);
  Writer writer(packet);
  (void)head.write(writer, payload_size);
  if (head.alias > alias_count_) {  // counts once the packet is sent
    AliasTopic& entry = aliases_[alias_count_];
    entry.size = static_cast<std::uint8_t>(head.topic.copy(entry.text.data(), entry.text.size()));
  }
  return ReasonCode::kSuccess;
}

void Session::sent_publish(std::size_t size, bool acknowledged, bool new_alias) {
  transmit_end_ += size;
  if (acknowledged) --quota_;
  if (new_alias) ++alias_count_;
}

// Whether this server takes such a PUBLISH (3.2.2.3.4 to 3.2.2.3.6).
ReasonCode Session::server_verdict(std::uint8_t first, std::size_t size) const {
  if (size > server_.maximum_packet_size) return ReasonCode::kPacketTooLarge;
  if (((first >> 1) & 3U) > server_.maximum_qos) return ReasonCode::kQosNotSupported;
  if ((first & kRetainFlag) != 0 && !server_.retain) return ReasonCode::kRetainNotSupported;
  return ReasonCode::kSuccess;
}

// The first topics of a connection get the aliases; there is no replacement. 0: none; above alias_count_: new
// to the server.
std::uint16_t Session::alias_of(std::string_view topic) const {
  if (!options_.use_topic_alias || topic.size() > kAliasTopicSizeMax) return 0;
  std::uint16_t i = 0;
  for (; i < alias_count_; ++i) {
    if (std::string_view(aliases_[i].text.data(), aliases_[i].size) == topic) break;
  }
  return i < std::min<std::uint32_t>(server_.topic_alias_maximum, kAliasesMax)
             ? static_cast<std::uint16_t>(i + 1)
             : std::uint16_t{0};
}

std::expected<std::uint16_t, Status> Session::publish(Instant now, const Message& message) {
  const auto payload = begin_publish(now, message, message.payload.size());
  if (!payload) return std::unexpected(payload.error());
  Writer(*payload).bytes(message.payload);
  return commit_publish();
}

std::expected<MutableBytes, Status> Session::begin_publish(Instant, const Message& message,
                                                           std::size_t payload_size) {
  const Status status = draft_publish(message, payload_size);
  if (status != Status::kOk) return std::unexpected(status);
  return draft_.packet.last(payload_size);
}

Status Session::draft_publish(const Message& message, std::size_t payload_size) {
  cancel_publish();
  const bool acknowledged = message.qos != Qos::kAtMostOnce;
  const bool store = acknowledged && !memory_.retransmit.empty();
  if (message.qos > Qos::kExactlyOnce || !is_topic_name(message.topic) ||
      payload_size > memory_.transmit.size())
    return Status::kInvalidArgument;
  if (!connected() && !store) return Status::kState;

  const unsigned flags = static_cast<unsigned>(message.qos) << 1 | (message.retain ? kRetainFlag : 0U);
  PublishHead head{.first_byte = first_byte(PacketType::kPublish, flags),
                   .topic = message.topic,
                   .id = acknowledged ? next_id() : std::uint16_t{0},
                   .properties = message.properties};
  const std::size_t size = head.size(payload_size);
  if (!can_hold(size + kAliasSizeMax) || (store && size > memory_.retransmit.size()) ||
      (connected() && server_verdict(head.first_byte, size) != ReasonCode::kSuccess)) {
    return Status::kInvalidArgument;
  }
  if (acknowledged && send_quota() == 0) return Status::kBusy;
  draft_ = {.packet = {}, .id = head.id, .qos = message.qos, .stored = store};
  if (!store) {
    if (put_publish(head, payload_size, draft_.packet) != ReasonCode::kSuccess) return Status::kBusy;
    draft_.new_alias = head.alias != 0 && !head.alias_is_known;
    return Status::kOk;
  }
  const std::size_t stored = stored_offset(nullptr);
  if (size > memory_.retransmit.size() - stored) return Status::kBusy;
  draft_.packet = memory_.retransmit.subspan(stored, size);
  Writer writer(draft_.packet);
  (void)head.write(writer, payload_size);
  return Status::kOk;
}

std::expected<std::uint16_t, Status> Session::commit_publish() {
  if (draft_.packet.empty()) return std::unexpected(Status::kState);
  const Draft draft = draft_;
  cancel_publish();
  if (draft.id != 0) {
    Request& request =
        add_request(draft.id, draft.qos == Qos::kAtLeastOnce ? RequestState::kPuback : RequestState::kPubrec);
    request.due = draft.stored;
    request.sent = !draft.stored;
    if (draft.stored) request.stored_size = draft.packet.size();
  }
  if (draft.stored) {
    pump();
  } else {
    sent_publish(draft.packet.size(), draft.id != 0, draft.new_alias);
  }
  return draft.id;
}

// SUBSCRIBE and UNSUBSCRIBE; only the one has options.
std::expected<std::uint16_t, Status> Session::send_filter(Instant now, RequestState state,
                                                          std::string_view filter, std::uint8_t options) {
  const bool subscribes = state == RequestState::kSuback;
  const std::size_t remaining = 2 + 1 + 2 + filter.size() + (subscribes ? 1 : 0);
  const std::size_t size = 1 + varint_size(remaining) + remaining;
  Status status = Status::kOk;
  if (count_subscribes() == kSubscribesMax || !has_room(size)) status = Status::kBusy;
  if (size > server_.maximum_packet_size || !can_hold(size)) status = Status::kInvalidArgument;
  if (!connected()) status = Status::kState;
  if (status != Status::kOk) return std::unexpected(status);

  Request& request = add_request(next_id(), state);
  request.sent = true;
  request.qos = static_cast<Qos>(options & 3);
  Writer writer(transmit_tail(size));
  // The type of a request is the one before that of its answer.
  writer.u8(first_byte(static_cast<PacketType>(static_cast<unsigned>(state) - 1), 2));
  writer.varint(remaining);
  writer.u16(request.id);
  writer.u8(0);  // no properties
  writer.string(filter);
  if (subscribes) writer.u8(options);
  transmit_end_ += size;
  if (subscribe_deadline_ == Instant::max()) subscribe_deadline_ = now + options_.ack_timeout;
  return request.id;
}

Session::Request& Session::add_request(std::uint16_t id, RequestState state) {
  last_id_ = id;
  Request& request = requests_[request_count_++];
  request = {.id = id, .state = state};
  return request;
}

std::uint16_t Session::count_subscribes() const {
  return static_cast<std::uint16_t>(std::ranges::count_if(requests(), [](const Request& request) {
    return request.state == RequestState::kSuback || request.state == RequestState::kUnsuback;
  }));
}

std::uint16_t Session::send_quota() const {
  if (!connected() && memory_.retransmit.empty()) return 0;
  const auto free = static_cast<std::uint16_t>(kOutboundMax - (request_count_ - count_subscribes()));
  if (!connected()) return free;
  const auto due = static_cast<std::uint16_t>(std::ranges::count_if(requests(), [](const Request& request) {
    return request.due && request.state != RequestState::kPubcomp;
  }));
  return quota_ > due ? std::min(static_cast<std::uint16_t>(quota_ - due), free) : std::uint16_t{0};
}

std::uint16_t Session::in_flight() const {
  return static_cast<std::uint16_t>(std::ranges::count_if(
      requests(), [](const Request& request) { return request.state <= RequestState::kPubcomp; }));
}

std::uint16_t Session::next_id() const {
  std::uint16_t id = last_id_;
  do {
    ++id;
  } while (id == 0 || std::ranges::find(requests(), id, &Request::id) != requests().end());
  return id;
}

// Lost and rejected ones are not found: the server has nothing to say about them.
Session::Request* Session::find_request(std::uint16_t id) {
  for (Request& request : std::span(requests_).first(request_count_)) {
    if (request.id == id && request.state < RequestState::kLost) return &request;
  }
  return nullptr;
}

// Where the packet of a request begins in the retransmit memory; nullptr: where the next one will.
std::size_t Session::stored_offset(const Request* before) const {
  std::size_t offset = 0;
  for (const Request& request : requests()) {
    if (&request == before) break;
    offset += request.stored_size;
  }
  return offset;
}

void Session::forget_stored(Request& request) {
  if (request.stored_size == 0) return;
  const std::size_t offset = stored_offset(&request);
  const std::size_t end = stored_offset(nullptr);
  std::uint8_t* const at = memory_.retransmit.data() + offset;
  std::memmove(at, at + request.stored_size, end - offset - request.stored_size);
  request.stored_size = 0;
}

void Session::remove_request(Request& request) {
  forget_stored(request);
  std::copy(&request + 1, requests_.data() + request_count_, &request);
  --request_count_;
}

void Session::give_up(Request& request, RequestState state, ReasonCode reason) {
  forget_stored(request);
  request.state = state;
  request.due = false;
  request.reason = reason;
}

// PUBREC came: only PUBREL is left to send, after those that are on the way already (4.6.0-4).
void Session::release(Request& request) {
  forget_stored(request);
  request.state = RequestState::kPubcomp;
  request.due = true;
  Request* place = requests_.data();
  while (place != &request && place->state == RequestState::kPubcomp) ++place;
  const Request released = request;
  std::copy_backward(place, &request, &request + 1);
  *place = released;
}

// 4.4. A server that has lost the session gets QoS 1 messages as new ones; those of QoS 2 that it may have
// delivered already must not be sent again.
void Session::resume_requests(bool session_present) {
  for (Request& request : std::span(requests_).first(request_count_)) {
    if (request.state >= RequestState::kLost) continue;
    request.due = true;
    if (session_present) continue;
    if (request.sent && request.state != RequestState::kPuback) {
      give_up(request, RequestState::kLost, ReasonCode::kUnspecifiedError);
    }
    request.sent = false;
  }
  if (!session_present) carried_count_ = received_count_ = 0;
}

// What the end of a connection ends: nobody will answer a SUBSCRIBE, or a PUBLISH that cannot be sent again.
void Session::abandon_requests() {
  for (std::uint16_t i = request_count_; i-- > 0;) {
    Request& request = requests_[i];
    if (request.state == RequestState::kSuback || request.state == RequestState::kUnsuback) {
      remove_request(request);
    } else if (request.state < RequestState::kLost && memory_.retransmit.empty()) {
      give_up(request, RequestState::kLost, ReasonCode::kUnspecifiedError);
    }
  }
}

}  // namespace godwit::mqtt
