// SPDX-License-Identifier: Apache-2.0
// What a board measures, and the sensors of a board that has none.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "firmware/ports/sensors.h"
#include "firmware/telemetry/recorder.h"
#include "proto/base/status.h"
#include "proto/base/time.h"
#include "proto/codec/messages.h"

namespace godwit::boards {

// One table of channels that are read together. Main loop only.
class SensorDriver {
 public:
  // 1 to codec::kChannelsMax; always the same.
  [[nodiscard]] virtual std::span<const codec::Channel> channels() const = 0;
  // Writes one raw value for each channel, within about a millisecond. `number` counts the sampling instants
  // from the start of the board, those that were missed too. kIo: no row can be had now.
  virtual Status read(Instant now, std::uint64_t number, std::span<std::int64_t> row) = 0;

 protected:
  ~SensorDriver() = default;
};

// A room that does not exist: temperature, humidity, pressure and brightness that drift as such things do. A
// row is a function of its number, so whoever knows the numbers knows the values.
class SyntheticSensors final : public SensorDriver {
 public:
  [[nodiscard]] std::span<const codec::Channel> channels() const override;
  Status read(Instant now, std::uint64_t number, std::span<std::int64_t> row) override;
};

// The drivers of a device's tables. The number of a row is that of its instant, a multiple of the table's
// period.
class TableSensors final : public ports::Sensors {
 public:
  // One driver for each table; all must outlive this object.
  TableSensors(std::span<const telemetry::Table, 2> tables, const std::array<SensorDriver*, 2>& drivers)
      : tables_(tables), drivers_(drivers) {}
  Status sample(std::size_t table, Instant now, std::span<std::int64_t> row) override;

 private:
  std::span<const telemetry::Table, 2> tables_;
  std::array<SensorDriver*, 2> drivers_;
};

}  // namespace godwit::boards
