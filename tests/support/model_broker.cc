// SPDX-License-Identifier: Apache-2.0
#include "tests/support/model_broker.h"

#include <cstdlib>
#include <optional>
#include <utility>

namespace godwit::test {
namespace {

std::uint16_t take_u16(std::string_view& in) {
  const auto high = static_cast<std::uint8_t>(in.at(0));
  const auto low = static_cast<std::uint8_t>(in.at(1));
  in.remove_prefix(2);
  return static_cast<std::uint16_t>((high << 8) | low);
}

std::optional<std::uint32_t> take_varint(std::string_view& in) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    if (i >= in.size()) return std::nullopt;
    const auto byte = static_cast<std::uint8_t>(in[i]);
    value |= static_cast<std::uint32_t>(byte & 0x7F) << (7 * i);
    if ((byte & 0x80) == 0) {
      in.remove_prefix(i + 1);
      return value;
    }
  }
  std::abort();  // a device never sends this
}

std::string_view take(std::string_view& in, std::size_t size) {
  const std::string_view head = in.substr(0, size);
  in.remove_prefix(size);
  return head;
}

std::string packet(std::uint8_t first, std::string_view body) {
  std::string out(1, static_cast<char>(first));
  std::size_t rest = body.size();
  do {
    out.push_back(static_cast<char>((rest & 0x7F) | (rest > 0x7F ? 0x80 : 0)));
    rest >>= 7;
  } while (rest > 0);
  return out.append(body);
}

std::string u16(std::size_t value) {
  return {static_cast<char>((value >> 8) & 0xFF), static_cast<char>(value & 0xFF)};
}

class NoTables : public codec::TableVisitor {
  void table(std::uint32_t /*hash*/, const codec::ChannelTable& /*table*/) override {}
};

}  // namespace

std::string ModelGateway::ack(std::uint64_t epoch, bool rewind) {
  std::uint8_t buffer[codec::kAckSizeMax];
  const auto size = codec::encode(codec::Ack{.epoch = {epoch},
                                             .next_seq = {expected.try_emplace(epoch, 1).first->second},
                                             .rewind = rewind,
                                             .send_hello = std::exchange(send_hello_once, false)},
                                  buffer);
  return std::string(as_text(Bytes(buffer).first(*size)));
}

std::string ModelGateway::handle(std::string_view topic, std::string_view payload) {
  if (topic.ends_with("/up/hello")) {
    NoTables tables;
    const auto hello = codec::decode_hello(as_bytes(payload), tables);
    if (!hello) std::abort();
    ++hellos;
    last_hello = payload;
    return ack(hello->epoch.value, false);
  }
  if (!topic.ends_with("/up/rec")) return {};
  const auto record = codec::decode_record(as_bytes(payload));
  if (!record) std::abort();
  std::uint64_t& next = expected.try_emplace(record->epoch.value, 1).first->second;
  if (record->seq.value < next) {
    ++duplicates;
    return ack(record->epoch.value, false);
  }
  if (record->seq.value > next) {
    ++gaps;
    return ack(record->epoch.value, true);
  }
  const std::uint64_t lost = record->loss ? record->loss->count : 0;
  log.push_back({record->epoch.value, next, lost, record->batch ? std::string(as_text(*record->batch)) : ""});
  next += lost > 0 ? lost : 1;
  return ack(record->epoch.value, false);
}

void ModelBroker::link_up() {
  input_.clear();
  output_.clear();
  filter_.clear();
  aliases_.clear();
  connected_ = false;
  closed_ = false;
}

void ModelBroker::link_down() {
  if (connected_) ++wills;
  connected_ = false;
  closed_ = true;
  output_.clear();
}

std::string ModelBroker::take_output() { return std::exchange(output_, {}); }

void ModelBroker::send_disconnect(std::uint8_t reason) {
  output_ += packet(0xE0, std::string(1, static_cast<char>(reason)));
  closed_ = true;
}

void ModelBroker::feed(std::string_view bytes) {
  input_.append(bytes);
  while (!closed_ && input_.size() >= 2) {
    std::string_view rest = std::string_view(input_).substr(1);
    const auto size = take_varint(rest);
    if (!size || rest.size() < *size) return;
    const auto first = static_cast<std::uint8_t>(input_[0]);
    const std::string body(rest.substr(0, *size));
    input_.erase(0, input_.size() - rest.size() + *size);
    handle_packet(first, body);
  }
}

void ModelBroker::handle_packet(std::uint8_t first, std::string_view body) {
  switch (first >> 4) {
    case 1: {  // CONNECT
      ++connects;
      std::string properties = "\x22" + u16(topic_alias_maximum);
      if (maximum_packet_size > 0) {
        properties += "\x27" + u16(maximum_packet_size >> 16) + u16(maximum_packet_size);
      }
      output_ += packet(0x20, std::string(1, '\0') + static_cast<char>(connack_reason) +
                                  static_cast<char>(properties.size()) + properties);
      connected_ = connack_reason == 0;
      closed_ = connack_reason != 0;
      return;
    }
    case 3:
      return handle_publish(first, body);
    case 8: {  // SUBSCRIBE
      const std::uint16_t id = take_u16(body);
      take(body, *take_varint(body));
      filter_ = take(body, take_u16(body));
      output_ += packet(0x90, u16(id) + std::string("\0\1", 2));
      return;
    }
    case 12:  // PINGREQ
      output_ += packet(0xD0, {});
      return;
    case 14:  // DISCONNECT
      connected_ = false;
      closed_ = true;
      return;
    default:
      return;
  }
}

void ModelBroker::handle_publish(std::uint8_t first, std::string_view body) {
  std::string topic(take(body, take_u16(body)));
  const int qos = (first >> 1) & 3;
  const std::uint16_t id = qos > 0 ? take_u16(body) : std::uint16_t{0};
  const std::uint32_t properties_size = *take_varint(body);
  std::string_view properties = take(body, properties_size);
  if (!properties.empty() && properties[0] == 0x23) {  // Topic Alias, the only one a device uses
    properties.remove_prefix(1);
    std::string& alias = aliases_[take_u16(properties)];
    if (topic.empty()) {
      topic = alias;
    } else {
      alias = topic;
    }
  }
  if (silent) return;
  if (qos == 1) output_ += packet(0x40, u16(id) + (gateway_present ? std::string() : std::string("\x10")));
  if (!gateway_present || drop_records) return;
  const std::string answer = gateway_.handle(topic, body);
  if (answer.empty()) live.emplace_back(topic, body);
  if (answer.empty() || !commit_acks) return;
  const std::size_t device_end = topic.find("/up/");
  publish(topic.substr(0, device_end) + "/dn/ack", answer);
}

void ModelBroker::publish(std::string_view topic, std::string_view payload) {
  if (filter_.empty()) return;
  output_ += packet(0x30, u16(topic.size()) + std::string(topic) + '\0' + std::string(payload));
}

}  // namespace godwit::test
