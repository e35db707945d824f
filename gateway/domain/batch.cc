// SPDX-License-Identifier: Apache-2.0
#include "gateway/domain/batch.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <limits>
#include <span>

#include "proto/base/bytes.h"
#include "proto/codec/batch.h"
#include "proto/codec/samples.h"

namespace godwit::gateway {
namespace {

// Hostile devices name any time; the sum must not overflow.
std::int64_t saturating_add(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return b > 0 ? std::numeric_limits<std::int64_t>::max() : std::numeric_limits<std::int64_t>::min();
}

BatchTime time_of(const codec::Batch& batch, const Event& event, const BatchContext& context) {
  BatchTime time;
  if (batch.quality != codec::TimeQuality::kNone) {
    time.quality =
        batch.quality == codec::TimeQuality::kSynced ? TimeQuality::kSynced : TimeQuality::kHoldover;
    time.unix_time = {batch.time.count()};
    return time;
  }
  time.boot = batch.boot;
  time.boot_time = batch.time;
  if (event.epoch == Epoch{}) return time;
  if (const auto began = context.boot_time(event.device, event.epoch)) {
    const bool synced = began->quality == codec::TimeQuality::kSynced;
    time.quality = synced ? TimeQuality::kResolved : TimeQuality::kHoldover;
    time.unix_time = {saturating_add(began->unix_time.value, batch.time.count())};
  }
  return time;
}

}  // namespace

std::string_view time_quality_name(TimeQuality quality) {
  switch (quality) {
    case TimeQuality::kSynced:
      return "synced";
    case TimeQuality::kHoldover:
      return "holdover";
    case TimeQuality::kResolved:
      return "resolved";
    case TimeQuality::kBootRelative:
      break;
  }
  return "boot_relative";
}

std::expected<BatchInfo, Status> batch_info(const Event& event, const BatchContext& context) {
  const auto batch = codec::decode_batch(as_bytes(event.batch));
  if (!batch) return std::unexpected(Status::kMalformed);
  return BatchInfo{.table_hash = batch->table,
                   .time = time_of(*batch, event, context),
                   .rows = batch->rows,
                   .samples = batch->samples};
}

std::expected<BatchRows, Status> batch_rows(const Event& event, const BatchContext& context) {
  const auto batch = codec::decode_batch(as_bytes(event.batch));
  if (!batch) return std::unexpected(Status::kMalformed);
  BatchRows result;
  result.table = context.table(event.device, batch->table);
  if (!result.table) return std::unexpected(Status::kNotFound);
  if (result.table->conflict && event.offset >= *result.table->conflict) {
    return std::unexpected(Status::kNotFound);
  }
  const std::size_t channels = result.table->channels.size();
  if (channels == 0 || channels > codec::kChannelsMax) return std::unexpected(Status::kCorrupt);

  result.time = time_of(*batch, event, context);
  result.rows = batch->rows_of(result.table->rows_max);
  if (result.rows == 0 || result.rows > codec::kRowsMax) return std::unexpected(Status::kCorrupt);
  result.values.resize(result.rows * channels);
  std::array<codec::ChannelModel, codec::kChannelsMax> models{};
  for (std::size_t i = 0; i < channels; ++i) {
    models[i] = codec::ChannelModel(result.table->channels[i].prior);
  }
  codec::SampleDecoder decoder(std::span<codec::ChannelModel>(models).first(channels), batch->samples,
                               result.rows);
  for (std::size_t row = 0; row < result.rows; ++row) {
    const auto values = std::span<std::int64_t>(result.values).subspan(row * channels, channels);
    if (decoder.next(values) != Status::kOk) return std::unexpected(Status::kCorrupt);
  }
  return result;
}

std::size_t channels_json_size_max(const TableInfo& table, std::size_t rows) {
  constexpr std::size_t kDigitsMax = 19;  // of a raw value
  constexpr std::size_t kEscapeMax = 6;   // \u0001, for a byte of a name
  std::size_t size = 0;
  for (const ChannelInfo& channel : table.channels) {
    // Zeros behind the digits, or digits padded with zeros up to one before the point; a sign and a comma.
    const auto zeros = static_cast<std::size_t>(std::abs(channel.exponent));
    const std::size_t digits =
        channel.exponent >= 0 ? kDigitsMax + zeros : std::max(kDigitsMax, zeros + 1) + 1;
    size += rows * (digits + 2);
    size += channel.name.size() * kEscapeMax + std::string_view(R"(,"":[])").size();
  }
  return size;
}

}  // namespace godwit::gateway
