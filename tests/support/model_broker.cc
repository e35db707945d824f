// SPDX-License-Identifier: Apache-2.0
#include "tests/support/model_broker.h"

#include <algorithm>
#include <array>
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

std::string encoded(const codec::Ack& ack) {
  std::array<std::uint8_t, codec::kAckSizeMax> buffer{};
  const auto size = codec::encode(ack, buffer);
  return std::string(as_text(Bytes(buffer).first(size.value())));
}

}  // namespace

std::string ModelGateway::handle(std::string_view topic, std::string_view payload) {
  if (topic.ends_with("/up/hello")) return handle_hello(payload);
  if (topic.ends_with("/up/rec")) return handle_record(payload);
  return {};
}

std::string ModelGateway::restart() {
  path_ = {};
  return encoded({.send_hello = true});
}

std::string ModelGateway::ack(bool rewind) {
  return encoded({.try_id = path_.try_id,
                  .next_seq = {path_.next + acks_too_high_by},
                  .rewind = rewind,
                  .send_hello = std::exchange(send_hello_once, false)});
}

ModelGateway::Stream* ModelGateway::find(const Mark& mark) {
  const auto stream = std::ranges::find(database.streams, mark, &Stream::mark);
  return stream == database.streams.end() ? nullptr : &*stream;
}

std::string ModelGateway::handle_hello(std::string_view payload) {
  NoTables tables;
  const auto hello = codec::decode_hello(as_bytes(payload), tables);
  if (!hello) std::abort();
  ++hellos;
  last_hello = payload;
  tries.push_back(hello->try_id.value);
  const bool goes_on = hello->marks_before != Seq{} && !path_.marks.empty() &&
                       path_.marks.front().first_seq == hello->marks_before;
  if (!goes_on) path_ = {};
  path_.try_id = hello->try_id;
  for (const Mark& mark : hello->named_marks()) path_.marks.insert(path_.marks.begin(), mark);

  path_.next = hello->next_seq.value;
  for (std::size_t i = path_.marks.size(); i-- > 0;) {
    if (const Stream* const known = find(path_.marks[i])) {
      path_.next = std::min(path_.next, known->expected);
      path_.marks.erase(path_.marks.begin(), path_.marks.begin() + static_cast<std::ptrdiff_t>(i));
      return ack(false);
    }
    path_.next = path_.marks[i].first_seq.value;  // where the path before it ends
  }
  if (hello->more_marks)
    return encoded({.try_id = path_.try_id, .marks_before = path_.marks.front().first_seq});
  path_.unknown_before = path_.next > 1 && !path_.marks.empty();
  return ack(false);
}

// Entries up to `end` are as `item` says.
void ModelGateway::take(std::uint64_t end, Item item) {
  while (path_.next < end) {
    std::size_t i = path_.marks.size() - 1;
    while (path_.marks[i].first_seq.value > path_.next) --i;
    const Mark mark = path_.marks[i];
    std::uint64_t part_end = end;
    if (i + 1 < path_.marks.size()) part_end = std::min(end, path_.marks[i + 1].first_seq.value);
    Stream* stream = find(mark);
    if (stream == nullptr) {
      if (mark.first_seq.value != path_.next) std::abort();  // it would begin in the middle
      item.unknown_before = i == 0 && std::exchange(path_.unknown_before, false);
      if (item.unknown_before) ++database.unknown;
      stream = &database.streams.emplace_back(mark);
    }
    stream->expected = part_end;
    item.epoch = mark.epoch.value;
    item.seq = path_.next;
    if (item.lost > 0) item.lost = part_end - path_.next;
    database.log.push_back(item);
    item.unknown_before = false;
    path_.next = part_end;
  }
}

std::string ModelGateway::handle_record(std::string_view payload) {
  const auto record = codec::decode_record(as_bytes(payload));
  if (!record) std::abort();
  if (record->try_id != path_.try_id) {
    ++strays;
    return encoded(
        {.try_id = path_.try_id, .next_seq = {std::max<std::uint64_t>(path_.next, 1)}, .send_hello = true});
  }
  if (always_rewinds) return ack(true);
  const std::uint64_t end = record->seq.value + (record->loss ? record->loss->count : 1);
  if (record->seq.value > path_.next) {
    ++gaps;
    return ack(true);
  }
  if (end <= path_.next) {
    ++duplicates;
    return ack(false);
  }
  // A mark that the path does not have, or none where it has one: some other log.
  const auto begins = std::ranges::find(path_.marks, Seq{path_.next}, &Mark::first_seq);
  const bool due = begins != path_.marks.end() && find(*begins) == nullptr;
  if (record->mark ? !due || begins->epoch != *record->mark : due && !record->loss) {
    ++strays;
    return encoded({.try_id = path_.try_id, .next_seq = {path_.next}, .send_hello = true});
  }
  take(end, {.epoch = 0,
             .seq = 0,
             .lost = record->loss ? record->loss->count : 0,
             .refused = record->refused ? record->refused->count : 0,
             .batch = record->batch ? std::string(as_text(*record->batch)) : ""});
  return ack(false);
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
      if (!body.empty() && body[0] == 4) ++wills;
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
  if (topic.ends_with("/up/gone")) {
    ++goodbyes;
    return;
  }
  if (record_reason != 0 && topic.ends_with("/up/rec")) {
    output_ += packet(0x40, u16(id) + static_cast<char>(record_reason));
    return;
  }
  if (qos == 1) output_ += packet(0x40, u16(id) + (gateway_present ? std::string() : std::string("\x10")));
  if (!gateway_present || drop_records) return;
  ack_topic_ = topic.substr(0, topic.find("/up/")) + "/dn/ack";
  const std::string answer = gateway_.handle(topic, body);
  if (answer.empty()) live.emplace_back(topic, body);
  if (answer.empty() || !commit_acks) return;
  publish(ack_topic_, answer);
}

void ModelBroker::publish(std::string_view topic, std::string_view payload) {
  if (filter_.empty()) return;
  output_ += packet(0x30, u16(topic.size()) + std::string(topic) + '\0' + std::string(payload));
}

}  // namespace godwit::test
