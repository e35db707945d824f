// SPDX-License-Identifier: Apache-2.0
#include "sim/fleet/synthetic_sensors.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <stdexcept>

namespace godwit::sim {
namespace {

// SplitMix64's mixing function (Steele, Lea, Flood 2014): a well-spread hash of a counter.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31);
}

// 0 to `height` and back in `length` steps.
std::int64_t triangle(std::int64_t n, std::int64_t length, std::int64_t height) {
  const std::int64_t phase = n % length;
  const std::int64_t up = std::min(phase, length - phase);
  return up * 2 * height / length;
}

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> cells(1);
  for (const char c : line) {
    if (c == '\r') continue;
    if (c == ',') {
      cells.emplace_back();
    } else {
      cells.back().push_back(c);
    }
  }
  return cells;
}

[[noreturn]] void fail(const std::string& path, std::size_t line, const std::string& what) {
  throw std::runtime_error(path + ":" + std::to_string(line) + ": " + what);
}

struct Decimal {
  std::int64_t digits = 0;
  std::int8_t exponent = 0;
};

Decimal parse_decimal(const std::string& path, std::size_t line, const std::string& cell) {
  std::string digits = cell;
  std::size_t decimals = 0;
  if (const auto point = digits.find('.'); point != std::string::npos) {
    decimals = digits.size() - point - 1;
    digits.erase(point, 1);
  }
  Decimal value;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value.digits);
  if (error != std::errc{} || end != digits.data() + digits.size() || decimals > 9) {
    fail(path, line, "'" + cell + "' is not a decimal number with at most 9 decimals");
  }
  value.exponent = static_cast<std::int8_t>(-static_cast<int>(decimals));
  return value;
}

// All values of a column with the exponent of its most exact one.
void scale(Recording::Column& column, const std::vector<Decimal>& values) {
  for (const Decimal& value : values) column.exponent = std::min(column.exponent, value.exponent);
  for (const Decimal& value : values) {
    std::int64_t raw = value.digits;
    for (int i = column.exponent; i < value.exponent; ++i) raw *= 10;
    column.raw.push_back(raw);
  }
}

}  // namespace

Recording Recording::read(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + ": cannot be opened; give --replay a readable CSV file");
  Recording recording;
  std::string line;
  std::getline(file, line);
  for (const std::string& head : split(line)) {
    const auto bracket = head.find('[');
    const bool unit = bracket != std::string::npos && head.back() == ']';
    recording.columns.push_back({.name = head.substr(0, bracket),
                                 .unit = unit ? head.substr(bracket + 1, head.size() - bracket - 2) : "",
                                 .exponent = 0,
                                 .raw = {}});
  }
  if (recording.columns.size() >= codec::kChannelsMax) fail(path, 1, "more than 15 columns");
  std::vector<std::vector<Decimal>> values(recording.columns.size());
  for (std::size_t number = 2; std::getline(file, line); ++number) {
    const auto cells = split(line);
    if (cells.size() != values.size()) fail(path, number, "expected as many cells as in the first line");
    for (std::size_t c = 0; c < cells.size(); ++c) values[c].push_back(parse_decimal(path, number, cells[c]));
  }
  if (values.front().empty()) fail(path, 2, "no rows");
  for (std::size_t c = 0; c < values.size(); ++c) scale(recording.columns[c], values[c]);
  return recording;
}

SyntheticSensors::SyntheticSensors(std::uint64_t seed, const Recording* recording)
    : seed_(mix(seed)), recording_(recording) {
  // The priors are those that fit records of 8 rows of these very channels (tests/support/recording.h).
  constexpr codec::Channel kCounter{.name = "n", .unit = "1", .prior = 0x1D00'0000'0000'001F};
  if (recording_ == nullptr) {
    channels_ = {kCounter,
                 {.name = "temperature",
                  .unit = "Cel",
                  .exponent = -2,
                  .min = -4'000,
                  .max = 12'500,
                  .prior = 0x8F00'0000'0001'29CE},
                 {.name = "humidity",
                  .unit = "%",
                  .exponent = -1,
                  .min = 0,
                  .max = 1'000,
                  .prior = 0x8E00'0000'0000'17CD},
                 {.name = "pressure",
                  .unit = "hPa",
                  .exponent = -1,
                  .min = 3'000,
                  .max = 11'000,
                  .prior = 0x8C00'0000'0000'016A},
                 {.name = "battery",
                  .unit = "V",
                  .exponent = -3,
                  .min = 0,
                  .max = 5'000,
                  .prior = 0xF100'0000'0000'0012}};
    return;
  }
  channels_.reserve(recording_->columns.size() + 1);
  channels_.push_back(kCounter);
  for (const auto& column : recording_->columns) {
    channels_.push_back({.name = column.name, .unit = column.unit, .exponent = column.exponent});
  }
}

std::int64_t SyntheticSensors::noise(std::int64_t n, std::uint64_t salt, std::int64_t amplitude) const {
  const std::uint64_t hash = mix(seed_ ^ mix(static_cast<std::uint64_t>(n) * 8 + salt));
  return static_cast<std::int64_t>(hash % static_cast<std::uint64_t>(2 * amplitude + 1)) - amplitude;
}

void SyntheticSensors::row(std::uint64_t number, std::span<std::int64_t> out) const {
  const auto n = static_cast<std::int64_t>(number);
  out[0] = n;
  if (recording_ != nullptr) {
    for (std::size_t c = 0; c < recording_->columns.size(); ++c) {
      const auto& raw = recording_->columns[c].raw;
      out[c + 1] = raw[(number + seed_ % raw.size()) % raw.size()];
    }
    return;
  }
  const auto shift = static_cast<std::int64_t>(seed_ % 10'000);
  out[1] = 1'800 + triangle(n + shift, 1'440, 900) + noise(n, 1, 4);
  out[2] = 350 + triangle(n + shift, 2'000, 300) + noise(n, 2, 3);
  out[3] = 10'132 + triangle(n + shift, 9'000, 200) - 100 + noise(n, 3, 1);
  out[4] = 4'150 - triangle(n + shift, 50'000, 700);
}

Status SyntheticSensors::sample(std::size_t /*table*/, Instant /*now*/, std::span<std::int64_t> out) {
  if (finished_) return Status::kIo;
  row(next_++, out);
  return Status::kOk;
}

}  // namespace godwit::sim
