// SPDX-License-Identifier: Apache-2.0
#include "firmware/telemetry/recorder.h"

#include <algorithm>

#include "proto/base/assert.h"

namespace godwit::telemetry {
namespace {

// Modulo 2^64, so that the distance of any two values fits.
std::uint64_t distance(std::int64_t a, std::int64_t b) {
  const std::uint64_t difference = static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b);
  return a >= b ? difference : 0 - difference;
}

}  // namespace

Recorder::Recorder(const Table& table, MutableBytes buffer)
    : table_(&table),
      buffer_(buffer.data()),
      hash_(codec::hash(table.contract)),
      encoder_(std::span(models_).first(table.contract.channels.size()),
               buffer.subspan(codec::kBatchHeaderMax)) {
  GODWIT_ASSERT(buffer.size() >= kBufferSizeMin);
  begin_batch();
}

Status Recorder::check(const Table& table) {
  if (table.age_max < Millis{1} || table.age_max > kAgeMax) return Status::kInvalidArgument;
  return codec::check(table.contract);
}

// The time of `instant`, which is close to the stamp. Of a clock that shows what no batch can hold: then it
// is wrong, and the time since boot is the better one.
Recorder::Time Recorder::time_of(Instant instant, const Stamp& stamp) {
  const auto holds = [](std::int64_t ms) { return ms >= 0 && ms <= codec::kBatchTimeMax.count(); };
  if (stamp.unix_time && holds(stamp.unix_time->value)) {
    const std::int64_t value = stamp.unix_time->value + (instant - stamp.now).count();
    if (holds(value)) {
      return {.quality = stamp.holdover ? codec::TimeQuality::kHoldover : codec::TimeQuality::kSynced,
              .value = Millis{value}};
    }
  }
  return {.quality = codec::TimeQuality::kNone, .value = instant.time_since_epoch()};
}

std::size_t Recorder::rows_max() const {
  const std::size_t announced = table_->contract.rows_max;
  return announced != 0 ? announced : codec::kRowsMax;
}

bool Recorder::continues_batch(Instant instant, const Time& time) const {
  const auto rows = static_cast<std::int64_t>(encoder_.rows());
  if (instant - first_ != rows * table_->contract.period) return false;
  if (time.quality != first_time_.quality) return false;
  const Millis stepped = time.value - first_time_.value - (instant - first_);
  return 2 * std::chrono::abs(stepped) <= table_->contract.period;
}

void Recorder::advance_to(Instant instant) {
  if (started_) missed_samples_ += static_cast<std::uint64_t>((instant - next_) / table_->contract.period);
  next_ = instant + table_->contract.period;
}

Status Recorder::sample(const Stamp& stamp, std::span<const std::int64_t> row) {
  const auto channels = table_->contract.channels;
  if (row.size() != channels.size()) return Status::kInvalidArgument;
  if (stamp.now < next_) return Status::kBusy;
  const Instant instant = nearest_instant(stamp.now, table_->contract.period);
  const Time time = time_of(instant, stamp);
  const bool first = encoder_.rows() == 0;
  if (encoder_.rows() == rows_max()) return Status::kFull;
  if (!first && !continues_batch(instant, time)) return Status::kFull;

  std::array<std::int64_t, codec::kChannelsMax> recorded{};
  for (std::size_t i = 0; i < row.size(); ++i) {
    const bool unchanged = row[i] != codec::kMissing && (std::uint32_t{kept_channels_} >> i & 1U) != 0 &&
                           distance(row[i], kept_[i]) <= channels[i].deadband;
    recorded[i] = unchanged ? kept_[i] : row[i];
  }
  const auto status = encoder_.add(std::span(recorded).first(row.size()));
  if (status != Status::kOk) return status;

  for (std::size_t i = 0; i < row.size(); ++i) {
    if (recorded[i] == codec::kMissing) continue;
    kept_[i] = recorded[i];
    kept_channels_ = static_cast<std::uint16_t>(kept_channels_ | 1U << i);
  }
  if (first) {
    first_ = instant;
    first_time_ = time;
    boot_ = stamp.boot;
  }
  advance_to(instant);
  started_ = true;
  return Status::kOk;
}

void Recorder::skip(Instant now) {
  if (now < next_) return;
  if (started_) ++missed_samples_;
  advance_to(nearest_instant(now, table_->contract.period));
}

bool Recorder::due(Instant now) const {
  if (encoder_.rows() == 0) return false;
  return encoder_.rows() == rows_max() || now >= first_ + table_->age_max;
}

std::optional<Instant> Recorder::next_due() const {
  if (encoder_.rows() == 0) return std::nullopt;
  return first_ + table_->age_max;
}

void Recorder::begin_batch() {
  const auto channels = table_->contract.channels;
  for (std::size_t i = 0; i < channels.size(); ++i) models_[i] = codec::ChannelModel(channels[i].prior);
  encoder_.reset();
}

Bytes Recorder::close() {
  const std::size_t rows = encoder_.rows();
  if (rows == 0) return {};
  codec::Batch batch;
  batch.table = hash_;
  batch.quality = first_time_.quality;
  batch.time = first_time_.value;
  batch.boot = boot_;
  if (rows != table_->contract.rows_max) batch.rows = static_cast<std::uint32_t>(rows);
  const std::size_t samples_size = encoder_.finish();
  begin_batch();

  // The header is written last, when the rows are known, and ends where the samples begin.
  std::array<std::uint8_t, codec::kBatchHeaderMax> header{};
  const std::size_t header_size = codec::encode_batch_header(batch, header);
  const MutableBytes whole(buffer_ + header.size() - header_size, header_size + samples_size);
  std::ranges::copy(std::span(header).first(header_size), whole.begin());
  return whole;
}

}  // namespace godwit::telemetry
