// SPDX-License-Identifier: Apache-2.0
// How a board's storage is divided, from its start on: provisioning block, node state, outbox. Each part
// takes whole sectors. docs/reference/flash.md.
#pragma once

#include <cstdint>
#include <optional>

#include "firmware/ports/flash.h"
#include "proto/codec/provisioning.h"

namespace godwit::boards {

struct Region {
  std::uint32_t first_sector = 0;
  std::uint32_t sector_count = 0;
};

struct StorageLayout {
  Region provisioning;  // read with read_provisioning(); the board never writes it
  Region node_state;    // NodeState
  Region outbox;        // agent::Ports::flash
};

// nullopt: too small to be divided, two sectors being the least for an outbox.
constexpr std::optional<StorageLayout> storage_layout(const ports::FlashGeometry& geometry) {
  const auto block = static_cast<std::uint32_t>(codec::kProvisioningBlockSize);
  const Region provisioning{0, (block + geometry.sector_size_bytes - 1) / geometry.sector_size_bytes};
  const Region node_state{provisioning.sector_count, 2};
  const std::uint32_t used = node_state.first_sector + node_state.sector_count;
  if (geometry.sector_count < used + 2) return std::nullopt;
  return StorageLayout{provisioning, node_state, {used, geometry.sector_count - used}};
}

}  // namespace godwit::boards
