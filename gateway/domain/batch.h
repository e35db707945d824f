// SPDX-License-Identifier: Apache-2.0
// From the bytes that a device recorded to rows of numbers with a time. Pure; safe from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <string_view>
#include <vector>

#include "gateway/domain/event.h"
#include "gateway/domain/reader.h"
#include "proto/base/bytes.h"
#include "proto/base/status.h"
#include "proto/base/time.h"

namespace godwit::gateway {

// How the time of a batch is known.
enum class TimeQuality : std::uint8_t {
  kSynced,        // the device's clock was set when it was recorded
  kHoldover,      // likewise, or as kResolved, by a clock that nothing had confirmed for long
  kResolved,      // it was not; the device learned later when that boot began
  kBootRelative,  // it was not, and nobody knows: only time since boot
};

// "synced", "holdover", "resolved", "boot_relative".
[[nodiscard]] std::string_view time_quality_name(TimeQuality quality);

struct BatchTime {
  TimeQuality quality = TimeQuality::kBootRelative;
  UnixMillis unix_time;    // of row 0; but for kBootRelative
  std::uint32_t boot = 0;  // kBootRelative: row 0 is `boot_time` after the start of boot number `boot`
  Millis boot_time{0};
};

// Row i was taken i * table->period_ms after `time`.
struct BatchRows {
  BatchTime time;
  std::shared_ptr<const TableInfo> table;
  std::size_t rows = 0;
  // Raw, row by row, one for each of table->channels; codec::kMissing: there is none.
  std::vector<std::int64_t> values;

  [[nodiscard]] std::int64_t at(std::size_t row, std::size_t channel) const {
    return values[(row * table->channels.size()) + channel];
  }
};

// What can be said of a batch without its table.
struct BatchInfo {
  std::uint32_t table_hash = 0;
  BatchTime time;
  std::size_t rows = 0;  // 0: as many as the table has in a full batch
  Bytes samples;         // borrowed from the event
};

// Precondition for both: event.type is kTelemetry.
// kMalformed: event.batch is no codec::Batch that this build can read.
std::expected<BatchInfo, Status> batch_info(const Event& event, const BatchContext& context);
// kMalformed as above; kNotFound: the table was never announced, or is in
// conflict with another; kCorrupt: the samples do not fit the table.
std::expected<BatchRows, Status> batch_rows(const Event& event, const BatchContext& context);

// No batch of so many rows of the table has longer "channels" in append_json(), whatever its samples; the
// rest of its event takes less than 512 bytes. Takes time for the channels alone.
[[nodiscard]] std::size_t channels_json_size_max(const TableInfo& table, std::size_t rows);

// About what a row of a table takes in append_json(), from the number of its channels and the sum of their
// exponents' magnitudes: a value of 6 digits, a point and a comma, and the zeros that an exponent adds.
[[nodiscard]] constexpr std::size_t row_json_size(std::size_t channels, std::size_t exponents) {
  constexpr std::size_t kValue = 8;
  return channels * kValue + exponents;
}

}  // namespace godwit::gateway
