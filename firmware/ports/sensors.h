// SPDX-License-Identifier: Apache-2.0
// What a board measures. The board knows the channels; the agent asks for a row when one is due.
#pragma once

#include <cstdint>
#include <span>

#include "proto/base/status.h"
#include "proto/base/time.h"
#include "proto/codec/samples.h"

namespace godwit::ports {

class Sensors {
 public:
  // Writes one raw value for each channel of table `table` (its index in the device's configuration), in the
  // order of the table; codec::kMissing where a sensor failed, or has no value yet: never an older one, never
  // a made-up one. Bounded in time, does not block. kIo: no row can be had now; the instant counts as missed.
  virtual Status sample(std::size_t table, Instant now, std::span<std::int64_t> row) = 0;

 protected:
  ~Sensors() = default;
};

}  // namespace godwit::ports
