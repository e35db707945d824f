// SPDX-License-Identifier: Apache-2.0
// What a board measures. The board knows the channels; the agent asks for a row when one is due.
#pragma once

#include <cstdint>
#include <span>

#include "proto/base/status.h"
#include "proto/base/time.h"

namespace godwit::ports {

class Sensors {
 public:
  // Writes one raw value for each channel of table `table` (its index in the device's configuration), in the
  // order of the table. Bounded in time, does not block. A sensor that fails repeats its last value and logs.
  // kIo: no row can be had now; the instant counts as missed.
  virtual Status sample(std::size_t table, Instant now, std::span<std::int64_t> row) = 0;

 protected:
  ~Sensors() = default;
};

}  // namespace godwit::ports
