// SPDX-License-Identifier: Apache-2.0
// Turns rows of samples into batches: decides when a row is due, applies deadbands, and packs rows until a limit of
// count, bytes or age is reached. It knows neither flash nor network. No allocation; the batch is built in place in
// the buffer that is handed in, already encoded (godwit.v1.Batch).
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string_view>

#include "proto/base/bytes.h"
#include "proto/base/status.h"
#include "proto/base/time.h"
#include "proto/codec/messages.h"
#include "proto/codec/samples.h"

namespace godwit::telemetry {

// Channels that are sampled together, and when a batch of their rows is closed.
struct Table {
  codec::ChannelTable contract;      // what the gateway is told; borrowed text and channels
  std::uint16_t rows_max = 64;       // a batch is closed at so many rows (1 to codec::kRowsMax) ...
  Millis age_max = Millis{10'000};   // ... or when its first row is so old
};

// The time of a row. `unix_time` once the clock is set, otherwise boot number and monotonic time stand in for it.
struct Stamp {
  Instant now;
  std::optional<UnixMillis> unix_time;
  std::uint32_t boot = 0;
};

class Recorder {
 public:
  // `table` is borrowed. `buffer` holds one encoded batch and bounds its size: at least kBufferSizeMin.
  Recorder(const Table& table, MutableBytes buffer);

  // kInvalidArgument: the table breaks a rule above.
  [[nodiscard]] static Status check(const Table& table);
  // godwit.v1.ChannelTable.hash, which names the table in each batch.
  [[nodiscard]] std::uint32_t hash() const;

  // When the next row is due. Instants that have passed unsampled are skipped by sample() and counted.
  [[nodiscard]] Instant next_sample() const;
  // Adds a row, one value per channel. kFull: close() first, then call again with the same row: the batch is full,
  // or the row does not continue it (an instant was missed, or the clock was set or stepped).
  Status sample(const Stamp& stamp, std::span<const std::int64_t> row);

  // A limit is reached: close() now.
  [[nodiscard]] bool due(Instant now) const;
  // When due() will be true by age; nullopt while no row is held.
  [[nodiscard]] std::optional<Instant> next_due() const;
  // The encoded godwit.v1.Batch; borrowed until the next sample(). Empty if no row is held.
  Bytes close();

  [[nodiscard]] std::uint64_t missed_samples() const;
};

}  // namespace godwit::telemetry
