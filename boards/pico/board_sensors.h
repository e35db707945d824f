// SPDX-License-Identifier: Apache-2.0
// What every Pico has to measure with: the chip's temperature and the supply voltage.
#pragma once

#include "boards/common/mcu/sensors.h"

namespace godwit::boards {

class BoardSensors final : public SensorDriver {
 public:
  void start();
  [[nodiscard]] std::span<const codec::Channel> channels() const override;
  Status read(Instant now, std::uint64_t number, std::span<std::int64_t> row) override;
};

}  // namespace godwit::boards
