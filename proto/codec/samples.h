// SPDX-License-Identifier: Apache-2.0
// The bytes of Batch.samples: rows of integers, one per channel, as deltas to the row before, entropy-coded with
// one small adaptive model per channel. Rows stream in: nothing but the coded bytes and the models is kept, so a
// batch of 256 rows costs no more RAM than its compressed size. No allocation; values without any I/O.
// Decision and figures: docs/adr/0003-sample-codec.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "proto/base/bytes.h"
#include "proto/base/status.h"

namespace godwit::codec {

inline constexpr std::size_t kChannelsMax = 16;  // per table
inline constexpr std::size_t kRowsMax = 1024;    // per batch

// What the coder has learned of one channel; the same in encoder and decoder. At most 64 bytes.
struct ChannelModel;  // defined by the codec

class SampleEncoder;
class SampleDecoder;

}  // namespace godwit::codec
