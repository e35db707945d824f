// SPDX-License-Identifier: Apache-2.0
// What devices would publish, for tests of the gateway.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/domain/message.h"
#include "proto/base/assert.h"
#include "proto/codec/batch.h"
#include "proto/codec/messages.h"
#include "proto/codec/samples.h"
#include "proto/topics/topics.h"

namespace godwit::gateway::test {

inline constexpr Epoch kEpoch{0x0123456789abcdefU};
inline constexpr UnixMillis kNow{1'767'225'600'000};  // 2026-01-01T00:00:00Z

inline DeviceId device(std::string_view name = "d1") { return *DeviceId::parse(name); }

inline constexpr std::array<codec::Channel, 2> kSystemChannels{
    {{.name = "cpu", .unit = "%", .exponent = -2, .max = 10'000},
     {.name = "mem", .unit = "By", .exponent = 3}}};
inline constexpr codec::ChannelTable kSystemTable{
    .name = "system", .period = Millis{1000}, .channels = kSystemChannels};

// The front of `buffer`, as a payload.
template <std::size_t kSize>
std::string payload(const std::array<std::uint8_t, kSize>& buffer, std::expected<std::size_t, Status> size) {
  GODWIT_ASSERT(size.has_value());
  return std::string(as_text(Bytes(buffer).first(*size)));
}

struct BatchOptions {
  std::uint32_t table = codec::hash(kSystemTable);
  std::optional<UnixMillis> unix_time = kNow;
  bool holdover = false;
  bool full = false;
  std::uint32_t boot = 0;
  Millis boot_time{0};
};

// An encoded Batch of rows of kSystemTable.
inline std::string batch(std::span<const std::array<std::int64_t, 2>> rows,
                         const BatchOptions& options = {}) {
  std::array<codec::ChannelModel, 2> models{};
  std::array<std::uint8_t, 4096> samples{};
  codec::SampleEncoder encoder(models, samples);
  for (const auto& row : rows) GODWIT_ASSERT(encoder.add(row) == Status::kOk);
  codec::Batch message;
  message.table = options.table;
  if (options.unix_time) {
    message.quality = options.holdover ? codec::TimeQuality::kHoldover : codec::TimeQuality::kSynced;
    message.time = Millis{options.unix_time->value};
  } else {
    message.time = options.boot_time;
    message.boot = options.boot;
  }
  if (!options.full) message.rows = static_cast<std::uint32_t>(rows.size());
  message.samples = Bytes(samples).first(encoder.finish());
  std::array<std::uint8_t, 4200> buffer{};
  return payload(buffer, codec::encode(message, buffer));
}
inline std::string batch(std::int64_t value = 0, const BatchOptions& options = {}) {
  const std::array<std::array<std::int64_t, 2>, 1> rows{{{value, value}}};
  return batch(rows, options);
}

// So long after the beginning of a test.
inline Received received(std::int64_t after_ms = 0) {
  return {.at = Instant(Millis{after_ms}), .unix_time = {kNow.value + after_ms}};
}

inline Message message(topics::Leaf leaf, std::string payload, std::string_view from = "d1",
                       Received at = received()) {
  return {.device = device(from), .leaf = leaf, .received = at, .payload = std::move(payload)};
}

// The try under which the helpers below speak of an epoch, unless told otherwise.
inline Try try_of(Epoch epoch) { return {static_cast<std::uint32_t>(epoch.value % 0xffff'fff1U) + 1}; }

inline Message record(const codec::Record& content, std::string_view from = "d1", Received at = received()) {
  const std::size_t size = content.batch ? content.batch->size() : 0;
  std::vector<std::uint8_t> buffer(size + codec::kRecordPrefixMax + codec::kNoticeSizeMax);
  const auto written = codec::encode(content, buffer);
  GODWIT_ASSERT(written.has_value());
  return message(topics::Leaf::kRecord, std::string(as_text(Bytes(buffer).first(*written))), from, at);
}
inline Message record(Epoch epoch, Seq seq, std::string_view encoded_batch, std::string_view from = "d1",
                      Received at = received()) {
  return record({.try_id = try_of(epoch), .seq = seq, .batch = as_bytes(encoded_batch)}, from, at);
}
inline Message record(Epoch epoch, std::uint64_t seq, std::string_view from = "d1",
                      Received at = received()) {
  return record(epoch, Seq{seq}, batch(static_cast<std::int64_t>(seq)), from, at);
}
inline Message mark(Epoch epoch = kEpoch, std::uint64_t seq = 1, std::string_view from = "d1",
                    Received at = received()) {
  return record({.try_id = try_of(epoch), .seq = {seq}, .mark = epoch}, from, at);
}
inline Message loss(Epoch epoch, std::uint64_t seq, std::uint64_t count, std::string_view from = "d1",
                    Received at = received()) {
  return record({.try_id = try_of(epoch),
                 .seq = {seq},
                 .loss = codec::Loss{.count = count, .reason = codec::LossReason::kDroppedFull}},
                from, at);
}

inline Message hello(const codec::Hello& greeting, std::span<const codec::ChannelTable* const> tables = {},
                     std::string_view from = "d1", Received at = received()) {
  std::vector<codec::AnnouncedTable> announced;
  for (const codec::ChannelTable* const table : tables) announced.push_back(codec::announced(*table));
  std::vector<std::uint8_t> buffer(codec::encoded_size(greeting, announced));
  const auto written = codec::encode(greeting, announced, buffer);
  GODWIT_ASSERT(written.has_value());
  return message(topics::Leaf::kHello, std::string(as_text(Bytes(buffer).first(*written))), from, at);
}
// Of a device whose log begins with the mark of `epoch` at seq 1.
inline codec::Hello greeting(Epoch epoch = kEpoch) {
  codec::Hello greeting;
  greeting.try_id = try_of(epoch);
  greeting.oldest_seq = kFirstSeq;
  greeting.next_seq = Seq{1'000'000};
  greeting.marks[0] = {epoch, kFirstSeq};
  greeting.marks_count = 1;
  greeting.epoch = epoch;
  greeting.firmware = "1.0.0";
  greeting.board = "host";
  greeting.boot = 1;
  return greeting;
}
// With kSystemTable.
inline Message hello(Epoch epoch = kEpoch, std::string_view from = "d1", Received at = received()) {
  const codec::ChannelTable* const table = &kSystemTable;
  return hello(greeting(epoch), {&table, 1}, from, at);
}

// What a device says first: its hello and its mark, seq 1. Its records begin with seq 2.
inline std::vector<Message> introduction(Epoch epoch = kEpoch, std::string_view from = "d1",
                                         Received at = received()) {
  return {hello(epoch, from, at), mark(epoch, 1, from, at)};
}

}  // namespace godwit::gateway::test
