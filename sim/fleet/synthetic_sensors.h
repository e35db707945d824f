// SPDX-License-Identifier: Apache-2.0
// Sensors of a simulated device. Every row can be checked by whoever reads it back: channel "n" counts the
// rows over all starts of the device, and all other channels are a function of (seed, n).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "firmware/ports/sensors.h"
#include "firmware/telemetry/recorder.h"
#include "sim/judge/rows.h"

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

class SyntheticSensors final : public ports::Sensors, public RowSource {
 public:
  // `recording` (borrowed) replaces the made-up channels; nullptr: made up from `seed`.
  SyntheticSensors(std::uint64_t seed, const Recording* recording);

  [[nodiscard]] std::span<const codec::Channel> channels() const override { return channels_; }
  void row(std::uint64_t n, std::span<std::int64_t> out) const override;

  // Rows sampled so far: the number of the next one.
  [[nodiscard]] std::uint64_t sampled() const { return next_; }
  // After this no row is to be had: the device goes on delivering what it has.
  void finish() { finished_ = true; }

  Status sample(std::size_t table, Instant now, std::span<std::int64_t> row) override;

 private:
  [[nodiscard]] std::int64_t noise(std::int64_t n, std::uint64_t salt, std::int64_t amplitude) const;

  std::uint64_t seed_;
  const Recording* recording_;
  std::vector<codec::Channel> channels_;
  std::uint64_t next_ = 0;
  bool finished_ = false;
};

}  // namespace godwit::sim
