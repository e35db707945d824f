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
#include "proto/codec/messages.h"
#include "proto/codec/samples.h"
#include "proto/topics/topics.h"

namespace godwit::gateway::test {

inline constexpr Epoch kEpoch{0x0123456789abcdefU};
inline constexpr UnixMillis kNow{1'767'225'600'000};  // 2026-01-01T00:00:00Z

// Both clocks stand at the same.
inline Received received(UnixMillis at = kNow) { return {.at = Instant{Millis{at.value}}, .unix_time = at}; }

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
  message.unix_time = options.unix_time;
  message.boot = options.boot;
  message.boot_time = options.boot_time;
  message.rows = static_cast<std::uint32_t>(rows.size());
  message.samples = Bytes(samples).first(encoder.finish());
  std::array<std::uint8_t, 4200> buffer{};
  return payload(buffer, codec::encode(message, buffer));
}
inline std::string batch(std::int64_t value = 0, const BatchOptions& options = {}) {
  const std::array<std::array<std::int64_t, 2>, 1> rows{{{value, value}}};
  return batch(rows, options);
}

inline Message message(topics::Leaf leaf, std::string payload, std::string_view from = "d1",
                       UnixMillis at = kNow) {
  return {.device = device(from), .leaf = leaf, .received = received(at), .payload = std::move(payload)};
}

inline Message record(Epoch epoch, Seq seq, std::string_view encoded_batch, std::string_view from = "d1",
                      UnixMillis at = kNow) {
  std::array<std::uint8_t, codec::kRecordPrefixMax> prefix{};
  return message(topics::Leaf::kRecord,
                 payload(prefix, codec::encode_record_prefix(epoch, seq, encoded_batch.size(), prefix)) +
                     std::string(encoded_batch),
                 from, at);
}
inline Message record(Epoch epoch, std::uint64_t seq, std::string_view from = "d1", UnixMillis at = kNow) {
  return record(epoch, Seq{seq}, batch(static_cast<std::int64_t>(seq)), from, at);
}

inline Message loss(Epoch epoch, std::uint64_t seq, std::uint64_t count, std::string_view from = "d1",
                    UnixMillis at = kNow) {
  std::array<std::uint8_t, codec::kLossRecordSizeMax> buffer{};
  const codec::Loss range{.count = count, .reason = codec::LossReason::kDroppedFull};
  return message(topics::Leaf::kRecord, payload(buffer, codec::encode(epoch, Seq{seq}, range, buffer)), from,
                 at);
}

inline Message hello(const codec::Hello& greeting, std::span<const codec::ChannelTable* const> tables,
                     std::string_view from = "d1", UnixMillis at = kNow) {
  std::array<std::uint8_t, 2048> buffer{};
  return message(topics::Leaf::kHello, payload(buffer, codec::encode(greeting, tables, buffer)), from, at);
}
inline Message hello(Epoch epoch = kEpoch, std::string_view from = "d1", UnixMillis at = kNow) {
  const codec::ChannelTable* const table = &kSystemTable;
  codec::Hello greeting;
  greeting.epoch = epoch;
  greeting.oldest_seq = greeting.next_seq = kFirstSeq;
  greeting.firmware = "1.0.0";
  greeting.board = "host";
  greeting.boot = 1;
  return hello(greeting, {&table, 1}, from, at);
}

}  // namespace godwit::gateway::test
