// SPDX-License-Identifier: Apache-2.0
#include "boards/common/mcu/system_sensors.h"

#include <algorithm>

#include "boards/common/cortex_m/stack.h"

namespace godwit::boards {
namespace {

constexpr std::array<codec::Channel, 8> kChannels{{
    {.name = "uptime", .unit = "s"},
    {.name = "stack_used_max", .unit = "By"},
    {.name = "heap_used", .unit = "By"},
    {.name = "heap_used_max", .unit = "By"},
    {.name = "rx", .unit = "By"},
    {.name = "tx", .unit = "By"},
    {.name = "link_errors"},
    {.name = "tcp_retransmissions"},
}};

}  // namespace

std::span<const codec::Channel> SystemSensors::channels() const { return kChannels; }

Status SystemSensors::read(Instant now, std::uint64_t, std::span<std::int64_t> row) {
  const Network::Stats stats = network_.stats();
  const std::array<std::int64_t, kChannels.size()> values{
      now.time_since_epoch() / std::chrono::seconds{1},
      stack_used(main_stack()),
      static_cast<std::int64_t>(arena_.used()),
      static_cast<std::int64_t>(arena_.used_max()),
      static_cast<std::int64_t>(stats.rx_bytes),
      static_cast<std::int64_t>(stats.tx_bytes),
      std::int64_t{stats.rx_errors} + stats.rx_dropped + stats.tx_dropped,
      stats.tcp_retransmissions,
  };
  std::ranges::copy(values, row.begin());
  return Status::kOk;
}

}  // namespace godwit::boards
