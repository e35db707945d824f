// SPDX-License-Identifier: Apache-2.0
// A batch: rows of one table, in time order, as a device stores and sends them. Row i was sampled at time +
// i * period of the table. A header of 10 bytes, then the samples; the layout stands in batch.cc.
//
// No allocation; decoded samples are borrowed from the input. Decoding takes hostile bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>

#include "proto/base/bytes.h"
#include "proto/base/status.h"
#include "proto/base/time.h"
#include "proto/codec/messages.h"

namespace godwit::codec {

inline constexpr std::size_t kBatchHeaderMax = 17;       // bytes before the samples
inline constexpr Millis kBatchTimeMax{(1LL << 44) - 1};  // in the year 2527

struct Batch {
  std::uint32_t table = 0;  // hash of its ChannelTable
  // Of the clock while the rows were sampled: kSynced or kHoldover; kNone: it was not set.
  TimeQuality quality = TimeQuality::kNone;
  // Of row 0, 0 to kBatchTimeMax: since 1970-01-01 UTC, or, if the clock was not set, since the start of boot
  // number `boot`.
  Millis time{0};
  std::uint32_t boot = 0;  // kNone only; otherwise 0
  std::uint32_t rows = 0;  // 1 to kRowsMax; 0: the rows_max of its table
  Bytes samples{};         // see samples.h; at least one byte

  // Of a table that announces `rows_max`; 0: it announces none, and nobody knows.
  [[nodiscard]] std::size_t rows_of(std::size_t rows_max) const { return rows != 0 ? rows : rows_max; }
};

// Writes what goes before the samples to the front of `out`, and yields its size. `batch.samples` is not
// looked at. Precondition: the ranges above.
std::size_t encode_batch_header(const Batch& batch, std::array<std::uint8_t, kBatchHeaderMax>& out);
// Yields the size written to the front of `out`; kFull: it is too small. Precondition: the ranges above.
std::expected<std::size_t, Status> encode(const Batch& batch, MutableBytes out);

// kMalformed: breaks a rule above.
std::expected<Batch, Status> decode_batch(Bytes in);

}  // namespace godwit::codec
