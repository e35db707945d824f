// SPDX-License-Identifier: Apache-2.0
#include "sim/world/broker.h"

#include <algorithm>
#include <utility>

#include "proto/topics/topics.h"

namespace godwit::sim {
namespace {

constexpr std::size_t kRepeatedMax = 100;

// Takes from the front of a packet; what is not there reads as nothing, and `bad` stays set.
struct Packet {
  std::string_view rest;
  bool bad = false;

  std::string_view take(std::size_t size) {
    if (rest.size() < size) bad = true;
    const std::string_view head = rest.substr(0, size);
    rest.remove_prefix(head.size());
    return head;
  }
  std::uint16_t u16() {
    const std::string_view two = take(2);
    if (two.size() < 2) return 0;
    return static_cast<std::uint16_t>((static_cast<std::uint8_t>(two[0]) << 8) |
                                      static_cast<std::uint8_t>(two[1]));
  }
  std::string_view text() { return take(u16()); }
  std::uint32_t varint() {
    std::uint32_t value = 0;
    for (unsigned shift = 0; shift < 28; shift += 7) {
      const std::string_view one = take(1);
      if (one.empty()) break;
      const auto byte = static_cast<std::uint8_t>(one[0]);
      value |= static_cast<std::uint32_t>(byte & 0x7F) << shift;
      if ((byte & 0x80) == 0) break;
    }
    return value;
  }
};

// What the installation's access list grants to a client.
std::string own_topics(const std::string& client, std::string_view direction) {
  return std::string(topics::kRoot) + client + "/" + std::string(direction) + "/";
}

std::string u16(std::size_t value) {
  return {static_cast<char>((value >> 8) & 0xFF), static_cast<char>(value & 0xFF)};
}

// Bytes of a whole packet at the front of `input`, and its body; 0: it is too large. nullopt: more must come.
struct Frame {
  std::size_t size;
  std::string_view body;
};
std::optional<Frame> frame_of(std::string_view input) {
  std::uint32_t size = 0;
  for (std::size_t i = 1; i < input.size() && i <= 4; ++i) {
    const auto byte = static_cast<std::uint8_t>(input[i]);
    size |= static_cast<std::uint32_t>(byte & 0x7F) << (7 * (i - 1));
    if ((byte & 0x80) != 0) continue;
    if (size > Broker::kPacketMax) return Frame{0, {}};
    if (input.size() - i - 1 < size) return std::nullopt;
    return Frame{i + 1 + size, input.substr(i + 1, size)};
  }
  return std::nullopt;
}

}  // namespace

Broker::~Broker() {
  for (const auto& connection : connections_) connection->link->attach(Link::kBroker, nullptr);
}

Broker::Connection* Broker::find(const Link& link) {
  const auto found =
      std::ranges::find_if(connections_, [&](const auto& it) { return it->link.get() == &link; });
  return found == connections_.end() ? nullptr : found->get();
}

void Broker::kill() {
  if (!running_) return;
  running_ = false;
  ++life_;
  scene_.hit(Probe::kBrokerKilled);
  if (queued_ > 0) scene_.hit(Probe::kBrokerLostMessages);
  queued_ = 0;
  to_repeat_.clear();
  // The operating system closes the sockets; nobody publishes the wills.
  for (const auto& connection : connections_) connection->link->close(Link::kBroker);
  connections_.clear();
  if (Subscriber* const gateway = std::exchange(gateway_, nullptr)) gateway->broker_lost();
}

// mosquitto says goodbye to nobody, but publishes the wills.
void Broker::stop() {
  if (!running_) return;
  scene_.hit(Probe::kBrokerStopped);
  for (const auto& connection : connections_) {
    if (gateway_ != nullptr && connection->connected && connection->has_will)
      gateway_->broker_message(connection->will_topic, connection->will_payload);
  }
  kill();
}

void Broker::accept(std::shared_ptr<Link> link) {
  link->attach(Link::kBroker, this);
  connections_.push_back(std::make_unique<Connection>());
  Connection& connection = *connections_.back();
  connection.link = std::move(link);
  connection.heard = scene_.now();
  connection.silence_max = Millis{30'000};  // for the CONNECT
  watch(connection.link);
}

// Closes a connection whose client is silent for too long (3.1.2.10).
void Broker::watch(const std::shared_ptr<Link>& link) {
  Connection* const connection = find(*link);
  if (connection == nullptr || connection->silence_max == Millis{0}) return;
  const Time deadline = connection->heard + connection->silence_max;
  if (scene_.now() >= deadline) {
    if (link->silent()) scene_.hit(Probe::kHalfOpenNoticedByBroker);
    return drop(*connection, true);
  }
  scene_.engine.at(deadline, [this, link] { watch(link); });
}

void Broker::drop(Connection& connection, bool will) {
  const auto found =
      std::ranges::find_if(connections_, [&](const auto& it) { return it.get() == &connection; });
  const std::unique_ptr<Connection> gone = std::move(*found);
  connections_.erase(found);
  gone->link->close(Link::kBroker);
  if (!will || !gone->connected || !gone->has_will) return;
  scene_.hit(Probe::kWillPublished);
  pass_on(gone->will_topic, gone->will_payload);
}

void Broker::link_closed(Link& link) {
  if (Connection* const connection = find(link)) drop(*connection, true);
}

void Broker::link_bytes(Link& link, std::string_view bytes) {
  Connection* connection = find(link);
  if (connection == nullptr) return;
  connection->heard = scene_.now();
  connection->input.append(bytes);
  while (connection != nullptr) {
    const auto frame = frame_of(connection->input);
    if (!frame) return;
    if (frame->size == 0) return static_cast<void>(refuse(*connection, kPacketTooLarge));
    const std::string body(frame->body);
    const auto first = static_cast<std::uint8_t>(connection->input[0]);
    connection->input.erase(0, frame->size);
    if (!handle_packet(*connection, first, body)) return;
    connection = find(link);
  }
}

void Broker::send(Connection& connection, std::uint8_t first, std::string_view body) {
  std::string packet(1, static_cast<char>(first));
  std::size_t rest = body.size();
  do {
    packet.push_back(static_cast<char>((rest & 0x7F) | (rest > 0x7F ? 0x80 : 0)));
    rest >>= 7;
  } while (rest > 0);
  connection.link->send(Link::kBroker, packet.append(body));
}

bool Broker::refuse(Connection& connection, Reason reason) {
  send(connection, 0xE0, std::string(1, static_cast<char>(reason)));
  drop(connection, true);
  return false;
}

bool Broker::handle_packet(Connection& connection, std::uint8_t first, std::string_view body) {
  const bool is_connect = first >> 4 == 1;
  if (connection.connected == is_connect) {  // not the first thing said, or said twice: it just closes
    drop(connection, false);
    return false;
  }
  switch (first >> 4) {
    case 1:
      return handle_connect(connection, body);
    case 3:
      return handle_publish(connection, first, body);
    case 4:  // of something that it does not wait for, as the gateway's messages are of QoS 0
      return true;
    case 8:
      handle_subscribe(connection, body);
      return true;
    case 12:
      send(connection, 0xD0, {});
      return true;
    case 14:  // mosquitto publishes the will if it is asked to, and after no other reason (3.14.2.1)
      drop(connection, !body.empty() && body[0] == 4);
      return false;
    default:  // nothing that a device has to say (4.13)
      return refuse(connection, kProtocolError);
  }
}

bool Broker::handle_connect(Connection& connection, std::string_view body) {
  Packet packet{body};
  packet.take(7);  // protocol name and version
  const std::string_view flags_text = packet.take(1);
  const auto flags = static_cast<std::uint8_t>(flags_text.empty() ? 0 : flags_text[0]);
  const std::uint16_t keep_alive_s = packet.u16();
  packet.take(packet.varint());
  const std::string client(packet.text());
  // The same client again: the connection before ends, and its will is published (3.1.4, 3.1.2.5).
  for (const auto& it : connections_) {
    if (it.get() == &connection || !it->connected || it->client != client) continue;
    scene_.hit(Probe::kSessionTakenOver);
    refuse(*it, kSessionTakenOver);
    break;
  }
  connection.client = client;
  connection.has_will = (flags & 0x04) != 0;
  if (connection.has_will) {
    packet.take(packet.varint());
    connection.will_topic = packet.text();
    connection.will_payload = packet.text();
  }
  connection.connected = true;
  connection.silence_max = Millis{keep_alive_s * 1'500};
  watch(connection.link);
  std::string properties("\x25\0", 2);  // nothing is retained
  properties += "\x22" + u16(kTopicAliasMax) + "\x21" + u16(kReceiveMax) + "\x27" + u16(kPacketMax >> 16U) +
                u16(kPacketMax & 0xFFFFU);
  send(connection, 0x20, std::string(2, '\0') + static_cast<char>(properties.size()) + properties);
  scene_.hit(Probe::kConnected);
  return true;
}

void Broker::handle_subscribe(Connection& connection, std::string_view body) {
  Packet packet{body};
  const std::uint16_t id = packet.u16();
  packet.take(packet.varint());
  connection.filter = packet.text();
  send(connection, 0x90, u16(id) + std::string("\0\1", 2));
}

// Topic Alias is the only property that a device uses.
std::optional<Broker::Reason> Broker::resolve_alias(Connection& connection, std::uint16_t number,
                                                    std::string& topic) {
  if (number == 0) return kProtocolError;
  if (number > kTopicAliasMax) return kTopicAliasInvalid;
  std::string& alias = connection.aliases[number];
  if (topic.empty()) {
    topic = alias;
  } else {
    alias = topic;
  }
  return std::nullopt;
}

bool Broker::handle_publish(Connection& connection, std::uint8_t first, std::string_view body) {
  Packet packet{body};
  std::string topic(packet.text());
  const unsigned qos = (first >> 1U) & 3U;
  const std::uint16_t id = qos > 0 ? packet.u16() : std::uint16_t{0};
  Packet properties{packet.take(packet.varint())};
  if (packet.bad || qos > 1) return refuse(connection, kMalformed);
  if (properties.take(1) == "\x23") {
    if (const auto reason = resolve_alias(connection, properties.u16(), topic))
      return refuse(connection, *reason);
  }
  if (topic.empty()) return refuse(connection, kProtocolError);  // an alias that this connection has not said
  const bool granted = topic.starts_with(own_topics(connection.client, "up"));
  if (granted && gateway_ == nullptr) scene_.hit(Probe::kNoSubscriber);
  if (qos > 0) {
    std::string answer = u16(id);
    if (!granted || gateway_ == nullptr)
      answer += static_cast<char>(granted ? kNoMatchingSubscribers : kNotAuthorized);
    send(connection, 0x40, answer);
  }
  if (granted) pass_on(topic, std::string(packet.rest));
  return true;
}

void Broker::pass_on(const std::string& topic, std::string payload) {
  if (gateway_ == nullptr) return;
  if (scene_.now() < forget_until_) {
    scene_.hit(Probe::kBrokerForgot);
    return;
  }
  if (killed_for_) {
    scene_.engine.after(Millis{0}, [this, down = *std::exchange(killed_for_, std::nullopt)] {
      kill();
      scene_.engine.after(down, [this] { start(); });
    });
  }
  const bool doubled = scene_.now() < double_until_;
  const bool twice = doubled && !doubles_at_the_end_;
  if (twice) scene_.hit(Probe::kMessageDoubled);
  if (doubled && doubles_at_the_end_) {
    to_repeat_.emplace_back(topic, payload);
    if (to_repeat_.size() > kRepeatedMax) to_repeat_.pop_front();
  }
  ++queued_;
  scene_.engine.after(kHop, [this, twice, life = life_, topic, payload = std::move(payload)] {
    if (life != life_ || gateway_ == nullptr) return;
    --queued_;
    gateway_->broker_message(topic, payload);
    if (twice && life == life_ && gateway_ != nullptr) gateway_->broker_message(topic, payload);
  });
}

void Broker::double_until(Time end, bool at_the_end) {
  double_until_ = end;
  doubles_at_the_end_ = at_the_end;
  if (at_the_end) scene_.engine.at(end, [this] { repeat(); });
}

// In their order. That somebody is gone is not told again: it may have come back, and has nothing to say.
void Broker::repeat() {
  for (const auto& [topic, payload] : std::exchange(to_repeat_, {})) {
    if (gateway_ == nullptr) return;
    if (topic.ends_with("/gone")) continue;
    scene_.hit(Probe::kRepeatedLate);
    gateway_->broker_message(topic, payload);
  }
}

void Broker::finish() {
  forget_until_ = double_until_ = Time{0};
  to_repeat_.clear();
  killed_for_.reset();
  start();
}

bool Broker::subscribe(Subscriber* gateway) {
  if (!running_) return false;
  gateway_ = gateway;
  return true;
}

void Broker::unsubscribe() {
  gateway_ = nullptr;
  ++life_;
  queued_ = 0;
  to_repeat_.clear();
}

void Broker::publish(const std::string& topic, const std::string& payload) {
  for (const auto& connection : connections_) {
    // gw1/d/{device}/dn/#
    const std::string_view filter = connection->filter;
    if (!filter.ends_with('#') || !topic.starts_with(filter.substr(0, filter.size() - 1))) continue;
    if (!topic.starts_with(own_topics(connection->client, "dn"))) continue;
    send(*connection, 0x30, u16(topic.size()) + topic + '\0' + payload);
  }
}

}  // namespace godwit::sim
