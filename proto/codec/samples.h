// SPDX-License-Identifier: Apache-2.0
// The samples of a Batch: rows of integers, one per channel, as deltas to the row before, entropy-coded with
// one small adaptive model per channel. Rows stream in: nothing but the coded bytes and the models is kept,
// so a batch of 256 rows costs no more RAM than its compressed size. A cell may be missing; where none is,
// that costs nothing.
//
// Not a container: the number of rows and channels and the priors travel outside (batch.h, ChannelTable). No
// allocation, no I/O. The format is described in samples.cc; decision and figures:
// docs/adr/0006-sample-codec.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "proto/base/bytes.h"
#include "proto/base/status.h"

namespace godwit::codec {

inline constexpr std::size_t kChannelsMax = 16;  // per table
inline constexpr std::size_t kRowsMax = 1024;    // per batch
// In place of a value: there is none, for its sensor failed or has not measured yet. No value itself.
inline constexpr std::int64_t kMissing = std::numeric_limits<std::int64_t>::min();

// An estimate of how likely a bit is 1, that moves with each bit seen: fast at first, then ever slower.
class BitModel {
 public:
  static constexpr unsigned kPrecisionBits = 12;

  constexpr BitModel() = default;  // one half, and nothing is known yet
  // As if some bits had been seen, `sixteenths` of which were 1; from 1 to 15.
  constexpr explicit BitModel(unsigned sixteenths)
      : state_(static_cast<std::uint16_t>(sixteenths << 12 | kPrimed)) {}

  // Chances are out of 1 << kPrecisionBits, and never 0 or all of it.
  [[nodiscard]] std::uint32_t chance_of_one() const { return state_ >> kCountBits; }
  inline void update(bool bit);  // for samples.cc alone

 private:
  static constexpr unsigned kCountBits = 16 - kPrecisionBits;
  static constexpr unsigned kPrimed = 3;  // the bits that a prior counts as
  std::uint16_t state_ = 1U << 15;        // chance, then how many bits were seen
};

// What the coder has learned of one channel; the same in encoder and decoder. Its content is the codec's
// business.
struct ChannelModel {
  static constexpr unsigned kSteps = 14;  // classes of the width of a delta; see samples.cc
  enum class State : std::uint8_t { kMoved, kRested, kSteady, kAbsent };

  constexpr ChannelModel() = default;  // without a prior
  // `prior`: 16 x 4 bits, as a table announces them; see samples.cc. 0: none.
  explicit ChannelModel(std::uint64_t prior);

  std::int64_t last = 0;              // value
  std::int32_t step = 0;              // the delta that led to it, cut to 32 bits
  State state = State::kMoved;        // of the cell before
  BitModel again;                     // kSteady, kAbsent: as the cell before
  std::array<BitModel, 16> primed{};  // those that a prior is for
};
static_assert(sizeof(ChannelModel) <= 48, "the RAM of a Recorder is this times kChannelsMax");

// The arithmetic of the coder: an interval that each bit narrows. Used by SampleEncoder.
class RangeEncoder {
 public:
  // Writes to the front of `out`, and counts on without writing where it ends.
  explicit RangeEncoder(MutableBytes out) : out_(out) {}

  void reset();  // starts anew at the front of `out`
  void put(bool bit, BitModel& model);
  // The low `count` bits of `value`, each as likely 1 as 0. Precondition: count <= 64.
  void put_plain(std::uint64_t value, unsigned count);
  // Ends the stream with its last byte. Nothing may be put afterwards.
  void finish();
  [[nodiscard]] std::size_t size() const { return size_; }  // bytes so far
  [[nodiscard]] std::size_t capacity() const { return out_.size(); }
  // The same state, but only counting.
  [[nodiscard]] RangeEncoder probe() const;

 private:
  void raise(std::uint32_t offset);
  void normalise();
  void emit();

  MutableBytes out_;
  std::size_t size_ = 0;
  std::uint32_t low_ = 0;
  std::uint32_t range_ = 0xFFFF'FFFF;
};

class SampleEncoder {
 public:
  // No first row takes more, whatever its values.
  static constexpr std::size_t first_row_size_max(std::size_t channels) { return channels * 10 + 2; }

  // One model per channel, 1 to kChannelsMax, each as constructed; models and `out` are borrowed until the
  // encoder is done with.
  SampleEncoder(std::span<ChannelModel> models, MutableBytes out);
  // Starts a new stream at the front of `out`. Precondition: the models are as constructed again.
  void reset();

  // Adds a row, one value per channel; any value, or kMissing. kFull: it does not fit in `out`, or there are
  // kRowsMax rows; nothing changed. kInvalidArgument: not one value per channel.
  Status add(std::span<const std::int64_t> row);
  [[nodiscard]] std::size_t rows() const { return rows_; }
  // What finish() would return now.
  [[nodiscard]] std::size_t size() const { return coder_.size() + 1; }
  // Ends the stream; the result is the first so many bytes of `out`. Precondition: rows() > 0. Only reset()
  // may follow.
  std::size_t finish();

 private:
  [[nodiscard]] bool fits(std::span<const std::int64_t> row) const;

  std::span<ChannelModel> models_;
  std::size_t rows_ = 0;
  RangeEncoder coder_;
};

// Takes hostile bytes: its work is bounded by rows and channels, and any bytes give either rows or
// kMalformed.
class SampleDecoder {
 public:
  // As for the encoder, with its priors. `rows` is the number of rows in the stream, at most kRowsMax.
  SampleDecoder(std::span<ChannelModel> models, Bytes in, std::size_t rows);

  // Yields the next row. kNotFound: there are no more. kMalformed: no encoder makes this stream (it is too
  // short, or too long, or not a number); the row's content is undefined, and so it stays. kInvalidArgument:
  // not one value per channel.
  Status next(std::span<std::int64_t> row);

 private:
  bool get(BitModel& model);
  std::uint64_t get_plain(unsigned count);
  unsigned get_width(ChannelModel& model);
  unsigned get_first_width();
  std::int64_t get_value(ChannelModel& model, bool first);
  void normalise();

  std::span<ChannelModel> models_;
  Bytes in_;
  std::size_t rows_;
  std::size_t row_ = 0;
  std::size_t shifted_ = 0;  // bytes that have left the interval; the stream is one longer
  std::uint32_t code_ = 0;
  std::uint32_t range_ = 0xFFFF'FFFF;
  bool malformed_ = false;
};

}  // namespace godwit::codec
