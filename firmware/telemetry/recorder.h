// SPDX-License-Identifier: Apache-2.0
// Turns rows of samples into batches: decides when a row is due, applies deadbands, and packs rows until a
// limit of count, bytes or age is reached. It knows neither flash nor network. No allocation, at most 1 KB of
// RAM; the batch is built in place in the buffer that is handed in, already encoded (proto/codec/batch.h).
// Main loop only.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "proto/base/bytes.h"
#include "proto/base/status.h"
#include "proto/base/time.h"
#include "proto/codec/batch.h"
#include "proto/codec/messages.h"
#include "proto/codec/samples.h"

namespace godwit::telemetry {

constexpr Millis kAgeMax = std::chrono::hours{24};
// The age_max with which the number of its rows closes a batch: a little longer than they take, at most a
// day.
constexpr Millis age_for(Millis period, std::uint16_t rows) {
  return std::min<Millis>(period * (rows + 1), kAgeMax);
}

// Channels that are sampled together, and when a batch of their rows is closed.
struct Table {
  codec::ChannelTable contract{};   // what the gateway is told; borrowed text and channels
  Millis age_max = Millis{10'000};  // a batch is closed when its first row is so old (1 ms to 24 h), or at
                                    // contract.rows_max rows, if that is not 0
};

// The instant that a row sampled at `now` stands for: the nearest multiple of the period, of two the earlier.
constexpr Instant nearest_instant(Instant now, Millis period) {
  const Millis late = now.time_since_epoch() % period;
  return now - late + (2 * late > period ? period : Millis{0});
}

// The time of a row. `unix_time` once the clock is set, otherwise boot number and monotonic time stand in for
// it.
struct Stamp {
  Instant now{};
  std::optional<UnixMillis> unix_time{};
  bool holdover = false;  // nothing has confirmed unix_time for long
  std::uint32_t boot = 0;
};

class Recorder {
 public:
  // Room for the header and for any first row.
  static constexpr std::size_t kBufferSizeMin =
      codec::kBatchHeaderMax + codec::SampleEncoder::first_row_size_max(codec::kChannelsMax);

  // Precondition: check(table) is kOk. `table` is borrowed. `buffer` holds one encoded batch and bounds its
  // size: at least kBufferSizeMin; borrowed.
  Recorder(const Table& table, MutableBytes buffer);
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // kInvalidArgument: the table breaks a rule above.
  [[nodiscard]] static Status check(const Table& table);
  // godwit.v1.ChannelTable.hash, which names the table in each batch.
  [[nodiscard]] std::uint32_t hash() const { return hash_; }

  // When the next row is due: at once for the first one, then at each multiple of the period on the monotonic
  // clock.
  [[nodiscard]] Instant next_sample() const { return next_; }
  // Adds a row, one value or codec::kMissing per channel. It stands for the multiple of the period that is
  // nearest to stamp.now; multiples that were passed over count as missed. A value within its channel's
  // deadband of the one recorded last is recorded as that one. kFull: close() first, then call again with the
  // same row: the batch is full, or the row does not continue it (an instant was missed, or the clock was
  // set, or stepped by more than half a period, or its quality changed). kBusy: next_sample() is not reached.
  // kInvalidArgument: not one value per channel. Nothing changed then.
  Status sample(const Stamp& stamp, std::span<const std::int64_t> row);
  // There is no row for the instant that is due: it counts as missed. No effect before next_sample().
  void skip(Instant now);

  // A limit is reached: close() now.
  [[nodiscard]] bool due(Instant now) const;
  // When due() will be true by age; nullopt while no row is held.
  [[nodiscard]] std::optional<Instant> next_due() const;
  // The encoded batch; borrowed until the next sample(). Empty if no row is held.
  Bytes close();

  // Instants since the first row that passed without one.
  [[nodiscard]] std::uint64_t missed_samples() const { return missed_samples_; }

 private:
  // When a row was sampled, as batches say it: by the clock, or since the boot.
  struct Time {
    codec::TimeQuality quality = codec::TimeQuality::kNone;
    Millis value{0};
  };
  static Time time_of(Instant instant, const Stamp& stamp);

  [[nodiscard]] std::size_t rows_max() const;
  [[nodiscard]] bool continues_batch(Instant instant, const Time& time) const;
  void advance_to(Instant instant);
  void begin_batch();

  const Table* table_;
  std::uint8_t* buffer_;
  std::uint32_t hash_;
  std::uint32_t boot_ = 0;  // of row 0, as the two below
  Instant first_{};
  Time first_time_;
  bool started_ = false;             // there was a first row
  std::uint16_t kept_channels_ = 0;  // bit n: kept_[n] is a value
  Instant next_{};
  std::uint64_t missed_samples_ = 0;
  std::array<std::int64_t, codec::kChannelsMax> kept_{};  // the values recorded last
  std::array<codec::ChannelModel, codec::kChannelsMax> models_;
  codec::SampleEncoder encoder_;
};
static_assert(sizeof(Recorder) <= 1024, "three of them are part of a Device, which has 8 KB");

}  // namespace godwit::telemetry
