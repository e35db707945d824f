// SPDX-License-Identifier: Apache-2.0
#include "gateway/domain/batch.h"

#include <array>
#include <limits>
#include <span>

#include "proto/base/bytes.h"
#include "proto/codec/messages.h"
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
  if (batch.unix_time) {
    time.quality = TimeQuality::kSynced;
    time.unix_time = *batch.unix_time;
    return time;
  }
  time.boot = batch.boot;
  time.boot_time = batch.boot_time;
  if (event.epoch == Epoch{}) return time;
  if (const auto began = context.boot_time(event.device, event.epoch)) {
    const bool synced = began->quality == codec::TimeQuality::kSynced;
    time.quality = synced ? TimeQuality::kResolved : TimeQuality::kHoldover;
    time.unix_time = {saturating_add(began->unix_time.value, batch.boot_time.count())};
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
  result.rows = batch->rows;
  result.values.resize(result.rows * channels);
  std::array<codec::ChannelModel, codec::kChannelsMax> models{};
  codec::SampleDecoder decoder(std::span<codec::ChannelModel>(models).first(channels), batch->samples,
                               result.rows);
  for (std::size_t row = 0; row < result.rows; ++row) {
    const auto values = std::span<std::int64_t>(result.values).subspan(row * channels, channels);
    if (decoder.next(values) != Status::kOk) return std::unexpected(Status::kCorrupt);
  }
  return result;
}

}  // namespace godwit::gateway
