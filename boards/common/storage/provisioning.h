// SPDX-License-Identifier: Apache-2.0
// Reads the provisioning block that `godwit-gateway device add --image` has written to the start of a board's
// storage. The block itself: proto/codec/provisioning.h.
#pragma once

#include <expected>

#include "firmware/ports/flash.h"
#include "proto/codec/provisioning.h"

namespace godwit::boards {

// Borrowed from `buffer`, of which at most codec::kProvisioningBlockSize bytes are used; the usual block
// has 1.2 KB. `storage` is the whole of it, not a part. The storage is read anew each time, so the call may
// be repeated until a block is there. kIo: the storage failed. kFull: `buffer` is too small for this block.
// The others as codec::decode_provisioning(): kNotFound, kCorrupt, kUnsupported, kMalformed.
std::expected<codec::Provisioning, Status> read_provisioning(ports::Flash& storage, MutableBytes buffer);

}  // namespace godwit::boards
