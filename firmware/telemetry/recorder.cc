// SPDX-License-Identifier: Apache-2.0
#include "firmware/telemetry/recorder.h"

#include <algorithm>

#include "proto/base/assert.h"

namespace godwit::telemetry {
namespace {

constexpr Millis kAgeMax = std::chrono::hours{24};

// The Unix time at `instant`, which is close to the stamp. nullopt also for a time that no message can hold:
// then the clock is wrong, and the time since boot is the better one.
std::optional<UnixMillis> unix_time_at(Instant instant, const Stamp& stamp) {
  if (!stamp.unix_time || stamp.unix_time->value < 0 || stamp.unix_time->value > codec::kTimeMax.count()) {
    return std::nullopt;
  }
  const std::int64_t value = stamp.unix_time->value + (instant - stamp.now).count();
  if (value < 0 || value > codec::kTimeMax.count()) return std::nullopt;
  return UnixMillis{value};
}

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
}

Status Recorder::check(const Table& table) {
  if (table.rows_max == 0 || table.rows_max > codec::kRowsMax) return Status::kInvalidArgument;
  if (table.age_max < Millis{1} || table.age_max > kAgeMax) return Status::kInvalidArgument;
  return codec::check(table.contract);
}

bool Recorder::continues_batch(Instant instant, std::optional<UnixMillis> unix_time) const {
  const auto rows = static_cast<std::int64_t>(encoder_.rows());
  if (instant - first_ != rows * table_->contract.period) return false;
  if (unix_time.has_value() != first_unix_.has_value()) return false;
  if (!unix_time) return true;
  const std::int64_t expected = first_unix_->value + (instant - first_).count();
  return 2 * distance(unix_time->value, expected) <=
         static_cast<std::uint64_t>(table_->contract.period.count());
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
  const auto unix_time = unix_time_at(instant, stamp);
  const bool first = encoder_.rows() == 0;
  if (encoder_.rows() == table_->rows_max) return Status::kFull;
  if (!first && !continues_batch(instant, unix_time)) return Status::kFull;

  std::array<std::int64_t, codec::kChannelsMax> kept{};
  for (std::size_t i = 0; i < row.size(); ++i) {
    const bool unchanged = started_ && distance(row[i], kept_[i]) <= channels[i].deadband;
    kept[i] = unchanged ? kept_[i] : row[i];
  }
  const auto status = encoder_.add(std::span(kept).first(row.size()));
  if (status != Status::kOk) return status;

  std::ranges::copy(std::span(kept).first(row.size()), kept_.begin());
  if (first) {
    first_ = instant;
    first_unix_ = unix_time;
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
  return encoder_.rows() == table_->rows_max || now >= first_ + table_->age_max;
}

std::optional<Instant> Recorder::next_due() const {
  if (encoder_.rows() == 0) return std::nullopt;
  return first_ + table_->age_max;
}

Bytes Recorder::close() {
  if (encoder_.rows() == 0) return {};
  codec::Batch batch;
  batch.table = hash_;
  batch.unix_time = first_unix_;
  batch.boot_time = first_.time_since_epoch();
  batch.boot = boot_;
  batch.rows = static_cast<std::uint32_t>(encoder_.rows());
  const std::size_t samples_size = encoder_.finish();
  encoder_.reset();

  // The header is written last, when rows and size are known, and ends where the samples begin.
  std::array<std::uint8_t, codec::kBatchHeaderMax> header{};
  const auto header_size = codec::encode_batch_header(batch, samples_size, header);
  GODWIT_ASSERT(header_size.has_value());
  const MutableBytes whole(buffer_ + header.size() - *header_size, *header_size + samples_size);
  std::ranges::copy(std::span(header).first(*header_size), whole.begin());
  return whole;
}

}  // namespace godwit::telemetry
