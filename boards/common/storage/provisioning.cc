// SPDX-License-Identifier: Apache-2.0
#include "boards/common/storage/provisioning.h"

#include <algorithm>

namespace godwit::boards {

std::expected<codec::Provisioning, Status> read_provisioning(ports::Flash& storage, MutableBytes buffer) {
  buffer = buffer.first(std::min(buffer.size(), codec::kProvisioningBlockSize));
  if (const Status status = storage.read(0, buffer); status != Status::kOk) return std::unexpected(status);
  return codec::decode_provisioning(buffer);
}

}  // namespace godwit::boards
