// SPDX-License-Identifier: Apache-2.0
// Sensors of a simulated device. Every row can be checked by whoever reads it back: channel "n" counts the
// sampling instants, and all other channels are a function of (seed, n).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "firmware/ports/sensors.h"
#include "firmware/telemetry/recorder.h"

namespace godwit::sim {

// Measurements to replay: columns of raw values.
struct Recording {
  struct Column {
    std::string name;
    std::string unit;
    std::int8_t exponent = 0;
    std::vector<std::int64_t> raw;
  };
  std::vector<Column> columns;  // of the same length, at least one row

  // Reads a CSV file: a header line `name[unit],...`, then decimal numbers. Throws std::runtime_error naming
  // file, line and what is expected.
  static Recording read(const std::string& path);
};

class SyntheticSensors final : public ports::Sensors {
 public:
  // `recording` (borrowed) replaces the made-up channels; nullptr: made up from `seed`.
  SyntheticSensors(std::uint64_t seed, Millis period, const Recording* recording);

  [[nodiscard]] std::span<const codec::Channel> channels() const { return channels_; }

  // The row that belongs to count `n`.
  void expected(std::int64_t n, std::span<std::int64_t> row) const;

  // After this no row is to be had: the device goes on delivering what it has.
  void finish() { finished_ = true; }

  Status sample(std::size_t table, Instant now, std::span<std::int64_t> row) override;

 private:
  [[nodiscard]] std::int64_t noise(std::int64_t n, std::uint64_t salt, std::int64_t amplitude) const;

  std::uint64_t seed_;
  Millis period_;
  const Recording* recording_;
  std::vector<codec::Channel> channels_;
  bool finished_ = false;
};

}  // namespace godwit::sim
