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
constexpr std::size_t kPingAndDisconnect = 5;  // PINGREQ has 2 bytes, DISCONNECT 3
constexpr std::uint8_t kDupFlag = 0x08;
constexpr std::uint8_t kQosBits = 0x06;
constexpr std::uint8_t kRetainFlag = 0x01;

constexpr std::uint8_t first_byte(PacketType type, unsigned flags) {
  return static_cast<std::uint8_t>(static_cast<unsigned>(type) << 4 | flags);
}

// A PUBLISH without what stands behind the topic alias, which counts as the first of its properties.
struct PublishHead {
  std::uint8_t first_byte;
  std::string_view topic;
  std::uint16_t id;
  std::size_t properties_size;  // without the alias
  std::size_t payload_size;
  std::uint16_t alias = 0;  // 0: none
  bool alias_is_known = false;
};

void write_head(Writer& writer, const PublishHead& head) {
  const std::string_view topic = head.alias_is_known ? std::string_view{} : head.topic;
  const std::size_t properties_size = head.properties_size + (head.alias != 0 ? 3 : 0);
  writer.u8(head.first_byte);
  writer.varint(2 + topic.size() + (head.id != 0 ? 2 : 0) + varint_size(properties_size) + properties_size +
                head.payload_size);
  writer.string(topic);
  if (head.id != 0) writer.u16(head.id);
  writer.varint(properties_size);
  if (head.alias == 0) return;
  writer.u8(static_cast<std::uint8_t>(PropertyId::kTopicAlias));
  writer.u16(head.alias);
}

std::size_t publish_size(const PublishHead& head) {
  Writer counter;
  write_head(counter, head);
  return counter.size() + head.properties_size + head.payload_size;
}

void write_connect_properties(Writer& writer, const Options& options, std::size_t receive_size) {
  if (options.session_expiry_s != 0) {
    writer.u8(static_cast<std::uint8_t>(PropertyId::kSessionExpiry));
    writer.u32(options.session_expiry_s);
  }
  writer.u8(static_cast<std::uint8_t>(PropertyId::kReceiveMaximum));
  writer.u16(options.receive_maximum);
  writer.u8(static_cast<std::uint8_t>(PropertyId::kMaximumPacketSize));
  writer.u32(static_cast<std::uint32_t>(std::min<std::size_t>(receive_size, kPacketSizeMax)));
  write_user_properties(writer, options.user_properties);
}

void write_will_properties(Writer& writer, const Will& will) {
  if (will.delay_s != 0) {
    writer.u8(static_cast<std::uint8_t>(PropertyId::kWillDelay));
    writer.u32(will.delay_s);
  }
  write_message_properties(writer, will.message);
}

void write_will(Writer& writer, const Will& will) {
  Writer properties;
  write_will_properties(properties, will);
  writer.varint(properties.size());
  write_will_properties(writer, will);
  writer.string(will.message.topic);
  writer.binary(will.message.payload);
}

void write_connect_body(Writer& writer, const Options& options, std::size_t receive_size, bool clean_start) {
  writer.string("MQTT");
  writer.u8(5);
  unsigned flags = clean_start ? 0x02U : 0U;
  if (const Will* const will = options.will; will != nullptr) {
    flags |= 0x04U | static_cast<unsigned>(will->message.qos) << 3 | (will->message.retain ? 0x20U : 0U);
  }
  if (!options.password.empty()) flags |= 0x40U;
  if (!options.user_name.empty()) flags |= 0x80U;
  writer.u8(static_cast<std::uint8_t>(flags));
  writer.u16(options.keep_alive_s);
  Writer properties;
  write_connect_properties(properties, options, receive_size);
  writer.varint(properties.size());
  write_connect_properties(writer, options, receive_size);
  writer.string(options.client_id);
  if (options.will != nullptr) write_will(writer, *options.will);
  if (!options.user_name.empty()) writer.string(options.user_name);
  if (!options.password.empty()) writer.binary(options.password);
}

}  // namespace

bool Session::options_are_valid() const {
  const bool resumes = !options_.clean_start || options_.session_expiry_s != 0;
  // An identifier that the server assigns is not kept, so its session could not be resumed.
  if (resumes && (memory_.retransmit.empty() || options_.client_id.empty())) return false;
  if (options_.receive_maximum == 0) return false;
  const Will* const will = options_.will;
  if (will != nullptr && (!is_valid(will->message) || will->message.payload.size() > 0xFFFF)) return false;
  return is_mqtt_string(as_bytes(options_.client_id)) && is_mqtt_string(as_bytes(options_.user_name)) &&
         options_.password.size() <= 0xFFFF && is_valid(options_.user_properties);
}

void Session::write_connect(Writer& writer) const {
  const bool clean_start = !resumable_;
  Writer body;
  write_connect_body(body, options_, memory_.receive.size(), clean_start);
  writer.u8(first_byte(PacketType::kConnect, 0));
  writer.varint(body.size());
  write_connect_body(writer, options_, memory_.receive.size(), clean_start);
}

std::size_t Session::reserve() const {
  return 2 * kAckSizeMax * options_.receive_maximum + kPingAndDisconnect;
}

std::size_t Session::transmit_room() const { return memory_.transmit.size() - transmit().size(); }

// For a request of the application.
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
      const ReasonCode refused = send_publish(packet, request.sent);
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

// Puts a PUBLISH as it was drafted, with its whole topic, into the transmit memory, with a topic alias if
// there is one. kQuotaExceeded: there is no room now; or why the server can never take it. The draft may
// stand there already, as far behind the end as what is written in front of its payload can grow.
ReasonCode Session::send_publish(Bytes packet, bool again) {
  Reader reader(packet);
  PublishHead head{.first_byte = reader.u8()};
  reader.varint();
  head.topic = as_text(reader.binary());
  if ((head.first_byte & kQosBits) != 0) head.id = reader.u16();
  head.properties_size = reader.varint();
  head.payload_size = reader.rest().size() - head.properties_size;
  head.alias = alias_of(head.topic);
  head.alias_is_known = head.alias != 0 && head.alias <= alias_count_;
  if (again) head.first_byte |= kDupFlag;
  std::size_t size = publish_size(head);
  if (size > server_.maximum_packet_size) {  // an alias that is new, or of a short topic, adds to it
    head.alias = 0;
    head.alias_is_known = false;
    size = publish_size(head);
  }
  if (const ReasonCode verdict = server_verdict(head.first_byte, size); verdict != ReasonCode::kSuccess) {
    return verdict;
  }
  if (!has_room(size)) return ReasonCode::kQuotaExceeded;
  if (head.alias > alias_count_) {
    AliasTopic& entry = aliases_[alias_count_++];
    entry.size = static_cast<std::uint8_t>(head.topic.copy(entry.text.data(), entry.text.size()));
  }
  Writer writer(transmit_tail(size));
  write_head(writer, head);
  writer.bytes(reader.rest());
  transmit_end_ += size;
  if (head.id != 0) --quota_;
  return ReasonCode::kSuccess;
}

// Whether this server takes such a PUBLISH (3.2.2.3.4 to 3.2.2.3.6).
ReasonCode Session::server_verdict(std::uint8_t first, std::size_t size) const {
  if (size > server_.maximum_packet_size) return ReasonCode::kPacketTooLarge;
  if (((first >> 1) & 3U) > server_.maximum_qos) return ReasonCode::kQosNotSupported;
  if ((first & kRetainFlag) != 0 && server_.retain == 0) return ReasonCode::kRetainNotSupported;
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

std::expected<std::uint16_t, Status> Session::publish(Instant, const Message& message) {
  const Status status = draft_publish(message, message.payload.size());
  if (status != Status::kOk) return std::unexpected(status);
  std::ranges::copy(message.payload, draft_.packet.last(message.payload.size()).begin());
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
  if (!is_valid(message) || payload_size > kVarintMax) return Status::kInvalidArgument;
  if (!connected() && !store) return Status::kState;

  Writer properties;
  write_message_properties(properties, message);
  const unsigned flags = static_cast<unsigned>(message.qos) << 1 | (message.retain ? kRetainFlag : 0U);
  PublishHead head{.first_byte = first_byte(PacketType::kPublish, flags),
                   .topic = message.topic,
                   .id = acknowledged ? next_id() : std::uint16_t{0},
                   .properties_size = properties.size(),
                   .payload_size = payload_size,
                   .alias = 0xFFFF};
  const std::size_t size_max = publish_size(head);
  head.alias = 0;
  const std::size_t size = publish_size(head);
  if (size_max > kPacketSizeMax || size_max + reserve() > memory_.transmit.size() ||
      (store && size > memory_.retransmit.size()) ||
      (connected() && server_verdict(head.first_byte, size) != ReasonCode::kSuccess)) {
    return Status::kInvalidArgument;
  }
  const std::size_t stored = stored_offset(nullptr);
  if ((acknowledged && send_quota() == 0) ||
      (store ? size > memory_.retransmit.size() - stored : !has_room(size_max))) {
    return Status::kBusy;
  }

  const MutableBytes packet =
      store ? memory_.retransmit.subspan(stored, size) : transmit_tail(size_max).last(size);
  Writer writer(packet);
  write_head(writer, head);
  write_message_properties(writer, message);
  draft_ = {.packet = packet, .id = head.id, .qos = message.qos, .stored = store};
  return Status::kOk;
}

std::expected<std::uint16_t, Status> Session::commit_publish() {
  if (draft_.packet.empty()) return std::unexpected(Status::kState);
  const Draft draft = draft_;
  draft_ = {};
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
    send_publish(draft.packet, false);
  }
  return draft.id;
}

void Session::cancel_publish() { draft_ = {}; }

std::expected<std::uint16_t, Status> Session::subscribe(Instant now, std::string_view filter,
                                                        const SubscribeOptions& options) {
  const bool shared = is_shared_filter(filter);
  const bool wildcard = filter.find_first_of("+#") != std::string_view::npos;
  if (options.qos > Qos::kExactlyOnce || options.retain_handling > 2 ||
      (shared && (options.no_local || server_.shared == 0)) || (wildcard && server_.wildcard == 0)) {
    return std::unexpected(Status::kInvalidArgument);
  }
  const auto byte = static_cast<std::uint8_t>(
      static_cast<unsigned>(options.qos) | (options.no_local ? 0x04U : 0U) |
      (options.retain_as_published ? 0x08U : 0U) | static_cast<unsigned>(options.retain_handling) << 4);
  return last_id_or(send_filter(now, RequestState::kSuback, filter, {&byte, 1}));
}

std::expected<std::uint16_t, Status> Session::unsubscribe(Instant now, std::string_view filter) {
  return last_id_or(send_filter(now, RequestState::kUnsuback, filter, {}));
}

// SUBSCRIBE and UNSUBSCRIBE; only the one has options.
Status Session::send_filter(Instant now, RequestState state, std::string_view filter, Bytes options) {
  if (!is_topic_filter(filter)) return Status::kInvalidArgument;
  if (!connected()) return Status::kState;
  const std::size_t remaining = 2 + 1 + 2 + filter.size() + options.size();
  const std::size_t size = 1 + varint_size(remaining) + remaining;
  if (size > server_.maximum_packet_size || size + reserve() > memory_.transmit.size()) {
    return Status::kInvalidArgument;
  }
  if (count_subscribes() == kSubscribesMax || !has_room(size)) return Status::kBusy;

  Request& request = add_request(next_id(), state);
  request.sent = true;
  if (!options.empty()) request.qos = static_cast<Qos>(options[0] & 3);
  Writer writer(transmit_tail(size));
  // The type of a request is the one before that of its answer.
  writer.u8(first_byte(static_cast<PacketType>(static_cast<unsigned>(state) - 1), 2));
  writer.varint(remaining);
  writer.u16(request.id);
  writer.varint(0);
  writer.string(filter);
  writer.bytes(options);
  transmit_end_ += size;
  if (subscribe_deadline_ == Instant::max()) subscribe_deadline_ = now + options_.ack_timeout;
  return Status::kOk;
}

std::expected<std::uint16_t, Status> Session::last_id_or(Status status) const {
  if (status != Status::kOk) return std::unexpected(status);
  return last_id_;
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
    request.due = false;
    if (request.state == RequestState::kSuback || request.state == RequestState::kUnsuback) {
      remove_request(request);
    } else if (request.state < RequestState::kLost && memory_.retransmit.empty()) {
      give_up(request, RequestState::kLost, ReasonCode::kUnspecifiedError);
    }
  }
}

}  // namespace godwit::mqtt
