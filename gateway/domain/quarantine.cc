// SPDX-License-Identifier: Apache-2.0
#include "gateway/domain/quarantine.h"

#include <algorithm>
#include <utility>

namespace godwit::gateway {

bool quarantine(Changes& changes, std::size_t index, std::string_view why) {
  Event& event = changes.events[index];
  if (event.type != EventType::kTelemetry || event.batch.empty()) return false;
  changes.quarantined.push_back({.device = event.device,
                                 .received_at = event.received_at,
                                 .epoch = event.epoch,
                                 .seq = event.seq,
                                 .content = std::exchange(event.batch, {}),
                                 .why = std::string(why)});
  for (DeviceState* const device : changes.devices) {
    if (device->id.view() != event.device) continue;
    for (TableState& table : device->tables) {
      if (table.latest == index) table.latest.reset();
    }
    const auto stream = std::ranges::find(device->streams, event.epoch, &StreamState::epoch);
    if (event.seq == kLiveSeq || stream == device->streams.end()) continue;
    --stream->records;
    ++stream->lost;
  }
  if (event.seq == kLiveSeq) return true;
  event.type = EventType::kLoss;
  event.count = 1;
  event.loss_reason = kLossQuarantined;
  return true;
}

}  // namespace godwit::gateway
