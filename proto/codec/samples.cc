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
//   stream    row 0, row 1, ...; a row is one cell per channel
//   cell      [again] [width [sign, the bits of the magnitude below the top one, plain]]
//   again     only if the two deltas before were equal and not 0, or the cell before is missing: this one is
//             like it, and that is all
//   width     0 to 64, the number of bits of the magnitude of the delta to the value before; 0 ends the cell;
//             65: it is missing
//
// A width is coded as its class, in unary with one BitModel per step (the first step has two: one for after a
// delta of 0), and the rest in plain bits:
//
//   class     0  1  2  3  4  5  6  7  8      9       10      ...  13      14
//   width     0  1  2  3  4  5  6  7  8-11   12-15   16-19   ...  28-31   32-65
//   plain     -  -  -  -  -  -  -  -  2      2       2       ...  2       6       bits
//
// In row 0 the delta is that to 0, and no estimate is used: not 0 (1 bit), width - 1 (5 bits; 31 is an escape
// with 6 more), sign (a 16th is kept for "negative"), magnitude. It is learned from all the same.
//
// A prior says where the estimates of a channel start: 16 numbers of 4 bits, from the lowest bits up, each
// the chance of a 1 in sixteenths, or 0 where nothing is known. In order: "the class is above n" for n = 0 to
// 13, the same for n = 0 after a delta of 0, "negative". Whoever knows typical rows of a channel can announce
// one in its table; `codec_bench --priors` makes them.
namespace godwit::codec {
namespace {

using State = ChannelModel::State;

constexpr std::uint32_t kWholeRange = 0xFFFF'FFFF;
constexpr std::uint32_t kRangeMin = 1U << 24;
constexpr unsigned kNarrow = 8;  // widths below this one are classes of their own
// Widths - 1 of a first value from this one on are an escape, followed by the rest in 6 bits.
constexpr unsigned kFirstWidths = 31;
constexpr unsigned kMissingWidth = 65;
// A modelled bit costs at most kPrecisionBits; a cell takes at most kSteps of them for its width, one each
// for "again" and its sign, and 6 + 63 plain ones.
constexpr std::size_t kValueSizeMax =
    ((ChannelModel::kSteps + 2) * BitModel::kPrecisionBits + 6 + 63 + 7) / 8;
// Which of ChannelModel::primed; those below are "the class is above n".
constexpr unsigned kAboveAfterRest = ChannelModel::kSteps;
constexpr unsigned kNegative = kAboveAfterRest + 1;

// How far the n-th bit moves the estimate: 1/2, 1/3, ... as for counted frequencies, but never below 1/32, so
// that it can still follow a signal that changes.
constexpr std::array<std::uint8_t, 16> kRates{2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 22, 26, 32};

constexpr ChannelModel kFresh;

constexpr unsigned class_of(unsigned width) {
  if (width < kNarrow) return width;
  return std::min(kNarrow + (width - kNarrow) / 4, ChannelModel::kSteps);
}
// Of a class that is at least kNarrow: its first width, and how many plain bits tell its widths apart.
constexpr unsigned first_width_of(unsigned width_class) { return kNarrow + (width_class - kNarrow) * 4; }
constexpr unsigned class_bits(unsigned width_class) { return width_class < ChannelModel::kSteps ? 2 : 6; }
static_assert(kMissingWidth - first_width_of(ChannelModel::kSteps) < 64);
static_assert(kMissingWidth - 1 - kFirstWidths < 64);

// The estimate for "the class is above 0"; those for higher classes are of their number.
BitModel& above_0(ChannelModel& model) {
  return model.primed[model.state == State::kRested ? kAboveAfterRest : 0];
}

// A sign in row 0 has no channel's estimate: most values are positive.
BitModel& sign_model(ChannelModel& model, BitModel& first_sign, bool first) {
  return first ? first_sign : model.primed[kNegative];
}

// "Again" is asked of a cell after this one.
bool expects_more(const ChannelModel& model) { return model.state >= State::kSteady; }

void learn(ChannelModel& model, std::uint64_t delta) {
  const auto step = static_cast<std::int64_t>(delta);
  model.state = delta == 0 ? State::kRested : step == model.step ? State::kSteady : State::kMoved;
  model.step = static_cast<std::int32_t>(delta);
  model.last = static_cast<std::int64_t>(static_cast<std::uint64_t>(model.last) + delta);
}

void put_width(RangeEncoder& coder, ChannelModel& model, unsigned width) {
  const unsigned width_class = class_of(width);
  coder.put(width_class > 0, above_0(model));
  const unsigned last = std::min(width_class, ChannelModel::kSteps - 1);
  for (unsigned n = 1; n <= last; ++n) coder.put(width_class > n, model.primed[n]);
  if (width_class >= kNarrow) coder.put_plain(width - first_width_of(width_class), class_bits(width_class));
}

void put_first_width(RangeEncoder& coder, unsigned width) {
  coder.put_plain(width != 0, 1);
  if (width == 0) return;
  coder.put_plain(std::min(width - 1, kFirstWidths), 5);
  if (width - 1 >= kFirstWidths) coder.put_plain(width - 1 - kFirstWidths, 6);
}

// The width and what follows it. `delta` is not looked at if the cell is missing.
void put_delta(RangeEncoder& coder, ChannelModel& model, std::uint64_t delta, bool missing, bool first) {
  const bool negative = (delta >> 63) != 0;
  const std::uint64_t magnitude = negative ? 0 - delta : delta;
  const unsigned width = missing ? kMissingWidth : static_cast<unsigned>(std::bit_width(magnitude));
  if (first) {
    put_first_width(coder, width);
  } else {
    put_width(coder, model, width);
  }
  if (width == 0 || missing) return;
  BitModel first_sign(1);
  coder.put(negative, sign_model(model, first_sign, first));
  coder.put_plain(magnitude, width - 1);
}

void put_value(RangeEncoder& coder, ChannelModel& model, std::int64_t value, bool first) {
  // Modulo 2^64, so that every pair of values has a delta.
  const std::uint64_t delta = static_cast<std::uint64_t>(value) - static_cast<std::uint64_t>(model.last);
  const bool missing = value == kMissing;
  bool again = false;
  if (expects_more(model)) {
    again = model.state == (missing ? State::kAbsent : State::kSteady) &&
            (missing || static_cast<std::int64_t>(delta) == model.step);
    coder.put(again, model.again);
  }
  if (!again) put_delta(coder, model, delta, missing, first);
  if (missing) {
    model.state = State::kAbsent;
  } else {
    learn(model, delta);
  }
}

}  // namespace

inline void BitModel::update(bool bit) {
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

ChannelModel::ChannelModel(std::uint64_t prior) : ChannelModel(kFresh) {  // a copy: half the instructions
  for (std::size_t i = 0; prior != 0; ++i, prior >>= 4) {
    const auto sixteenths = static_cast<unsigned>(prior & 0xF);
    if (sixteenths != 0) primed[i] = BitModel(sixteenths);
  }
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
  if (!get(above_0(model))) return 0;
  unsigned width_class = 1;
  while (width_class < ChannelModel::kSteps && get(model.primed[width_class])) ++width_class;
  if (width_class < kNarrow) return width_class;
  return first_width_of(width_class) + static_cast<unsigned>(get_plain(class_bits(width_class)));
}

unsigned SampleDecoder::get_first_width() {
  if (get_plain(1) == 0) return 0;
  const auto width = static_cast<unsigned>(get_plain(5));
  return 1 + (width < kFirstWidths ? width : width + static_cast<unsigned>(get_plain(6)));
}

std::int64_t SampleDecoder::get_value(ChannelModel& model, bool first) {
  std::uint64_t delta = 0;
  if (expects_more(model) && get(model.again)) {
    if (model.state == State::kAbsent) return kMissing;
    delta = static_cast<std::uint64_t>(std::int64_t{model.step});
  } else {
    const unsigned width = first ? get_first_width() : get_width(model);
    if (width >= kMissingWidth) {
      if (width > kMissingWidth) malformed_ = true;
      model.state = State::kAbsent;
      return kMissing;
    }
    if (width > 0) {
      BitModel first_sign(1);
      const bool negative = get(sign_model(model, first_sign, first));
      delta = (std::uint64_t{1} << (width - 1)) | get_plain(width - 1);
      if (negative) delta = 0 - delta;
    }
  }
  learn(model, delta);
  if (model.last == kMissing) malformed_ = true;
  return model.last;
}

Status SampleDecoder::next(std::span<std::int64_t> row) {
  if (row.size() != models_.size()) return Status::kInvalidArgument;
  if (malformed_) return Status::kMalformed;
  if (row_ == rows_) return Status::kNotFound;
  for (std::size_t i = 0; i < row.size(); ++i) {
    row[i] = get_value(models_[i], row_ == 0);
    if (malformed_) return Status::kMalformed;
  }
  ++row_;
  if (row_ == rows_ && shifted_ + 1 != in_.size()) {
    malformed_ = true;
    return Status::kMalformed;
  }
  return Status::kOk;
}

}  // namespace godwit::codec
