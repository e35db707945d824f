// SPDX-License-Identifier: Apache-2.0
// What a database would hold of what Ingest has committed, as values that can be copied and put back.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "gateway/domain/changes.h"
#include "proto/base/assert.h"

namespace godwit::gateway::test {

struct MemoryStore {
  std::vector<DeviceState> devices;  // in the order in which they came
  std::vector<Event> log;

  // As Store::commit().
  void commit(Changes& changes) {
    for (const DeviceRow& row : changes.devices) {
      const auto known = std::ranges::find(devices, row.id, [](const DeviceState& d) { return d.row.id; });
      if (known == devices.end()) {
        devices.emplace_back(row.id).row = row;
      } else {
        known->row = row;
      }
    }
    for (Event& event : changes.events) {
      event.offset = {static_cast<std::int64_t>(log.size()) + 1};
      log.push_back(event);
    }
    for (const auto& [id, mark] : changes.forgotten_streams) {
      std::erase_if(of(id).streams, [&](const StreamState& stream) { return stream.mark == mark; });
    }
    for (const auto& [id, stream] : changes.streams) put(of(id).streams, stream, &StreamState::mark);
    for (const auto& [id, hash] : changes.forgotten_tables) {
      std::erase_if(of(id).tables, [&](const TableState& table) { return table.hash == hash; });
    }
    for (const auto& [id, table] : changes.tables) {
      put(of(id).tables, {.hash = table.info.hash, .digest = table.digest}, &TableState::hash);
    }
    for (const auto& [id, conflict] : changes.conflicts) {
      const auto table = std::ranges::find(of(id).tables, conflict.hash, &TableState::hash);
      GODWIT_ASSERT(table != of(id).tables.end());
      table->conflict = true;
    }
    for (const auto& [id, epoch] : changes.forgotten_boots) {
      std::erase_if(of(id).boots, [&](const BootState& boot) { return boot.epoch == epoch; });
    }
    for (const auto& [id, boot] : changes.boots) put(of(id).boots, boot, &BootState::epoch);
    for (const auto& [id, at] : changes.seen) of(id).row.last_seen = at;
  }

  // Precondition: it was committed.
  DeviceState& of(const DeviceId& id) {
    const auto known =
        std::ranges::find(devices, id, [](const DeviceState& device) { return device.row.id; });
    GODWIT_ASSERT(known != devices.end());
    return *known;
  }

 private:
  template <typename Value, typename Key>
  static void put(std::vector<Value>& values, const Value& value, Key key) {
    const auto known = std::ranges::find(values, value.*key, key);
    if (known == values.end()) {
      values.push_back(value);
    } else {
      *known = value;
    }
  }
};

}  // namespace godwit::gateway::test
