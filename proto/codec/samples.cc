// SPDX-License-Identifier: Apache-2.0
#include "proto/codec/samples.h"

#include <algorithm>
#include <bit>

#include "proto/base/assert.h"

// The format, version 1. A stream is one number of n bytes, most significant first, that lies in an interval;
// each bit that is coded keeps the part of the interval that is its share (a range coder). A modelled bit's
// share is what the BitModel of its context estimates, so that an expected bit costs next to nothing; a plain
// bit's share is a half.
//
//   stream    row 0, row 1, ...; a row is one value per channel
//   value     the delta to the row before: width [sign, the bits of its magnitude below the top one, plain]
//   width     0 to 64, the number of bits of the magnitude; 0 ends the value
//
// A width is coded as its class, in unary with one BitModel per step, and the rest in plain bits:
//
//   class     0  1  2  3  4  5  6  7  8      9       10      ...  15      16
//   width     0  1  2  3  4  5  6  7  8-11   12-15   16-19   ...  36-39   40-64
//   plain     -  -  -  -  -  -  -  -  2      2       2       ...  2       5       bits
//
// In row 0 the delta is the value itself, and all bits are plain: not 0 (1 bit), width - 1 (5 bits; 31 is an
// escape with 6 more), sign, magnitude.
namespace godwit::codec {
namespace {

constexpr std::uint32_t kWholeRange = 0xFFFF'FFFF;
constexpr std::uint32_t kRangeMin = 1U << 24;
constexpr unsigned kNarrow = 8;  // widths below this one are classes of their own
// Widths of a first value from this one on are an escape, followed by the rest in 6 bits.
constexpr unsigned kFirstWidths = 31;
// A modelled bit costs at most kPrecisionBits; a delta takes at most kSteps of them for its width, one for
// its sign, and 6 + 63 plain ones.
constexpr std::size_t kValueSizeMax =
    ((ChannelModel::kSteps + 1) * BitModel::kPrecisionBits + 6 + 63 + 7) / 8;

// How far the n-th bit moves the estimate: 1/2, 1/3, ... as for counted frequencies, but never below 1/32, so
// that it can still follow a signal that changes.
constexpr std::array<std::uint8_t, 16> kRates{2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 22, 26, 32};

constexpr unsigned class_of(unsigned width) {
  if (width < kNarrow) return width;
  return std::min(kNarrow + (width - kNarrow) / 4, ChannelModel::kSteps);
}
constexpr unsigned first_width_of(unsigned width_class) {
  return width_class < kNarrow ? width_class : kNarrow + (width_class - kNarrow) * 4;
}
// How many plain bits tell the width from the others of its class.
constexpr unsigned class_bits(unsigned width_class) {
  if (width_class < kNarrow) return 0;
  return width_class < ChannelModel::kSteps ? 2 : 5;
}
static_assert(64 - first_width_of(ChannelModel::kSteps) < 32);

// The estimate for "the class is above n".
BitModel& above(ChannelModel& model, unsigned n) {
  return n == 0 && model.rested ? model.above_after_rest : model.above[n];
}

void put_width(RangeEncoder& coder, ChannelModel& model, unsigned width) {
  const unsigned width_class = class_of(width);
  for (unsigned n = 0; n < ChannelModel::kSteps; ++n) {
    coder.put(width_class > n, above(model, n));
    if (width_class == n) break;
  }
  coder.put_plain(width - first_width_of(width_class), class_bits(width_class));
}

void put_first_width(RangeEncoder& coder, unsigned width) {
  coder.put_plain(width != 0, 1);
  if (width == 0) return;
  coder.put_plain(std::min(width - 1, kFirstWidths), 5);
  if (width - 1 >= kFirstWidths) coder.put_plain(width - 1 - kFirstWidths, 6);
}

// Row 0 has no row before it: its numbers tell nothing of the deltas to come and are coded without a model.
void put_value(RangeEncoder& coder, ChannelModel& model, std::int64_t value, bool first) {
  // Modulo 2^64, so that every pair of values has a delta.
  const std::uint64_t delta = static_cast<std::uint64_t>(value) - static_cast<std::uint64_t>(model.last);
  const bool negative = (delta >> 63) != 0;
  const std::uint64_t magnitude = negative ? 0 - delta : delta;
  const auto width = static_cast<unsigned>(std::bit_width(magnitude));
  model.last = value;
  if (first) {
    put_first_width(coder, width);
  } else {
    put_width(coder, model, width);
    model.rested = width == 0;
  }
  if (width == 0) return;
  if (first) {
    coder.put_plain(negative, 1);
  } else {
    coder.put(negative, model.negative);
  }
  coder.put_plain(magnitude, width - 1);
}

}  // namespace

void BitModel::update(bool bit) {
  const std::uint32_t count = state_ & ((1U << kCountBits) - 1);
  std::uint32_t chance = chance_of_one();
  if (bit) {
    chance += ((1U << kPrecisionBits) - chance) / kRates[count];
  } else {
    chance -= chance / kRates[count];
  }
  state_ = static_cast<std::uint16_t>((chance << kCountBits) |
                                      std::min<std::uint32_t>(count + 1, kRates.size() - 1));
}

void RangeEncoder::reset() {
  size_ = 0;
  low_ = 0;
  range_ = kWholeRange;
}

RangeEncoder RangeEncoder::probe() const {
  RangeEncoder copy = *this;
  copy.out_ = {};
  return copy;
}

void RangeEncoder::emit() {
  if (size_ < out_.size()) out_[size_] = static_cast<std::uint8_t>(low_ >> 24);
  ++size_;
  low_ <<= 8;
}

void RangeEncoder::raise(std::uint32_t offset) {
  low_ += offset;
  if (low_ >= offset) return;
  for (std::size_t i = std::min(size_, out_.size()); i > 0 && ++out_[i - 1] == 0;) --i;
}

void RangeEncoder::normalise() {
  while (range_ < kRangeMin) {
    emit();
    range_ <<= 8;
  }
}

void RangeEncoder::put(bool bit, BitModel& model) {
  const std::uint32_t bound = (range_ >> BitModel::kPrecisionBits) * model.chance_of_one();
  if (bit) {
    range_ = bound;
  } else {
    raise(bound);
    range_ -= bound;
  }
  model.update(bit);
  normalise();
}

void RangeEncoder::put_plain(std::uint64_t value, unsigned count) {
  while (count > 0) {
    const unsigned chunk = std::min(count, 8U);
    count -= chunk;
    range_ >>= chunk;
    raise(range_ * static_cast<std::uint32_t>((value >> count) & ((1U << chunk) - 1)));
    normalise();
  }
}

void RangeEncoder::finish() {
  // The interval is at least kRangeMin wide, so it holds a number whose lower three bytes are 0; the decoder
  // reads 0 behind the end.
  raise(kRangeMin - 1);
  emit();
}

SampleEncoder::SampleEncoder(std::span<ChannelModel> models, MutableBytes out)
    : models_(models), coder_(out) {
  GODWIT_ASSERT(!models.empty() && models.size() <= kChannelsMax);
  reset();
}

void SampleEncoder::reset() {
  std::ranges::fill(models_, ChannelModel{});
  rows_ = 0;
  coder_.reset();
}

bool SampleEncoder::fits(std::span<const std::int64_t> row) const {
  if (size() + models_.size() * kValueSizeMax <= coder_.capacity()) return true;
  RangeEncoder probe = coder_.probe();
  for (std::size_t i = 0; i < row.size(); ++i) {
    ChannelModel scratch = models_[i];
    put_value(probe, scratch, row[i], rows_ == 0);
  }
  return probe.size() + 1 <= coder_.capacity();
}

Status SampleEncoder::add(std::span<const std::int64_t> row) {
  if (row.size() != models_.size()) return Status::kInvalidArgument;
  if (rows_ == kRowsMax || !fits(row)) return Status::kFull;
  for (std::size_t i = 0; i < row.size(); ++i) put_value(coder_, models_[i], row[i], rows_ == 0);
  ++rows_;
  return Status::kOk;
}

std::size_t SampleEncoder::finish() {
  GODWIT_ASSERT(rows_ > 0);
  coder_.finish();
  return coder_.size();
}

SampleDecoder::SampleDecoder(std::span<ChannelModel> models, Bytes in, std::size_t rows)
    : models_(models), in_(in), rows_(rows) {
  GODWIT_ASSERT(!models.empty() && models.size() <= kChannelsMax && rows <= kRowsMax);
  std::ranges::fill(models_, ChannelModel{});
  for (std::size_t i = 0; i < sizeof code_; ++i) code_ = (code_ << 8) | (i < in_.size() ? in_[i] : 0U);
  malformed_ = in_.empty() || code_ == range_;
}

void SampleDecoder::normalise() {
  while (range_ < kRangeMin) {
    ++shifted_;
    const std::size_t next = shifted_ + sizeof code_ - 1;
    code_ = (code_ << 8) | (next < in_.size() ? in_[next] : 0U);
    range_ <<= 8;
  }
  if (shifted_ + 1 > in_.size()) malformed_ = true;
}

bool SampleDecoder::get(BitModel& model) {
  const std::uint32_t bound = (range_ >> BitModel::kPrecisionBits) * model.chance_of_one();
  const bool bit = code_ < bound;
  if (bit) {
    range_ = bound;
  } else {
    code_ -= bound;
    range_ -= bound;
  }
  model.update(bit);
  normalise();
  return bit;
}

std::uint64_t SampleDecoder::get_plain(unsigned count) {
  std::uint64_t value = 0;
  while (count > 0) {
    const unsigned chunk = std::min(count, 8U);
    count -= chunk;
    range_ >>= chunk;
    const std::uint32_t part = code_ / range_;
    if (part >> chunk != 0) {
      malformed_ = true;  // behind the last of the 2^chunk parts, where the division left a remainder
      return 0;
    }
    code_ -= part * range_;
    value = (value << chunk) | part;
    normalise();
  }
  return value;
}

unsigned SampleDecoder::get_width(ChannelModel& model) {
  unsigned width_class = 0;
  while (width_class < ChannelModel::kSteps && get(above(model, width_class))) ++width_class;
  return first_width_of(width_class) + static_cast<unsigned>(get_plain(class_bits(width_class)));
}

unsigned SampleDecoder::get_first_width() {
  if (get_plain(1) == 0) return 0;
  const auto width = static_cast<unsigned>(get_plain(5));
  return 1 + (width < kFirstWidths ? width : width + static_cast<unsigned>(get_plain(6)));
}

std::uint64_t SampleDecoder::get_delta(ChannelModel& model, bool first) {
  const unsigned width = first ? get_first_width() : get_width(model);
  model.rested = !first && width == 0;
  if (width == 0) return 0;
  const bool negative = first ? get_plain(1) != 0 : get(model.negative);
  if (width > 64) {
    malformed_ = true;
    return 0;
  }
  const std::uint64_t magnitude = (std::uint64_t{1} << (width - 1)) | get_plain(width - 1);
  return negative ? 0 - magnitude : magnitude;
}

Status SampleDecoder::next(std::span<std::int64_t> row) {
  if (row.size() != models_.size()) return Status::kInvalidArgument;
  if (malformed_) return Status::kMalformed;
  if (row_ == rows_) return Status::kNotFound;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const std::uint64_t delta = get_delta(models_[i], row_ == 0);
    if (malformed_) return Status::kMalformed;
    models_[i].last = static_cast<std::int64_t>(static_cast<std::uint64_t>(models_[i].last) + delta);
    row[i] = models_[i].last;
  }
  ++row_;
  if (row_ == rows_ && shifted_ + 1 != in_.size()) {
    malformed_ = true;
    return Status::kMalformed;
  }
  return Status::kOk;
}

}  // namespace godwit::codec
