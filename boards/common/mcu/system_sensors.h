// SPDX-License-Identifier: Apache-2.0
// What a board can tell of itself, as a table of channels: its memory and its traffic. Main loop only.
#pragma once

#include "boards/common/mcu/sensors.h"
#include "boards/common/net/network.h"
#include "boards/common/tls/tls_arena.h"

namespace godwit::boards {

class SystemSensors final : public SensorDriver {
 public:
  // Both must outlive the sensors.
  SystemSensors(const Network& network, const TlsArena& arena) : network_(network), arena_(arena) {}

  [[nodiscard]] std::span<const codec::Channel> channels() const override;
  Status read(Instant now, std::uint64_t number, std::span<std::int64_t> row) override;

 private:
  const Network& network_;
  const TlsArena& arena_;
};

}  // namespace godwit::boards
