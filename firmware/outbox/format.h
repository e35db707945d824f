// SPDX-License-Identifier: Apache-2.0
// The log as it stands in flash (docs/reference/flash.md). Structs are copied as they are, so every target
// has to be little-endian. Internal to the outbox.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "firmware/ports/flash.h"
#include "proto/base/bytes.h"
#include "proto/base/ids.h"
#include "proto/base/status.h"

namespace godwit::outbox {

inline constexpr std::size_t kMarksKept = 8;  // repeated in each sector header
// Far above what a flash can live to see; keeps arithmetic on hostile content from wrapping.
inline constexpr Seq kSeqMax{std::uint64_t{1} << 62};
inline constexpr std::uint32_t kSerialMax = 0x7FFFFFFF;

// The values stand in flash. kLoss does not: it says that no entry is there.
enum class Kind : std::uint8_t { kLoss = 0, kData = 1, kMark = 2, kRefused = 3 };

// Newest first. Epoch 0: none.
using Marks = std::array<Mark, kMarksKept>;
// The newest that begins below `before`; null: none.
const Mark* newest_below(const Marks& marks, Seq before);

// By value, which takes less code than std::max() and std::min() by reference.
constexpr Seq later(Seq a, Seq b) { return {a.value > b.value ? a.value : b.value}; }
constexpr Seq earlier(Seq a, Seq b) { return {a.value < b.value ? a.value : b.value}; }

struct SectorHeader {
  std::uint32_t magic = 0;
  std::uint32_t crc = 0;  // of all behind it
  std::uint16_t version = 0;
  std::uint16_t version_check = 0;  // its complement
  std::uint32_t geometry = 0;       // geometry_check()
  std::uint32_t serial = 0;         // modulo the number of sectors, it is the index of this one
  std::uint32_t bad_sectors = 0;    // the rest: the state of the log when the sector was opened
  Seq first_seq;                    // of its first entry
  Seq before_seq;                   // of the first entry in the place before; first_seq: none is there
  Seq acked_seq;
  std::uint64_t dropped_records = 0;
  Marks marks{};  // the newest below first_seq

  [[nodiscard]] std::uint32_t checksum() const;
};
static_assert(sizeof(SectorHeader) == 184 && std::endian::native == std::endian::little);
inline constexpr std::uint32_t kMagic = 0x4C4F5747;  // "GWOL"
inline constexpr std::uint16_t kVersion = 2;

struct EntryHeader {
  std::uint16_t kind_and_size = 0;  // the kind in the upper 4 bits, the size of the payload in the others
  std::uint16_t check = 0;          // of those
  std::uint32_t crc = 0;
};
inline constexpr std::uint32_t kPayloadSizeMax = 0x0FFF;
// Entries other than data have a payload of two numbers. kMark: epoch and seq; kRefused: count and reason.
using Numbers = std::array<std::uint64_t, 2>;

// The CRC of an entry is over epoch, kind and size, payload and seq, in this order; its check is part of the
// CRC after the first two. So neither payload nor an older log can be taken for entries of this one. What
// precedes kind and size is called the key. A mark is its own proof: its key is 0, as its payload names the
// epoch, and the seq.
std::uint32_t key_of(Epoch epoch);
std::uint32_t crc_of_size(std::uint32_t key, std::uint16_t kind_and_size);
std::uint32_t crc_with_seq(std::uint32_t crc, Seq seq);
constexpr std::uint16_t check_of(std::uint32_t crc) { return static_cast<std::uint16_t>(crc ^ (crc >> 16)); }

std::uint32_t geometry_check(const ports::FlashGeometry& geometry);

// `size` filled up to whole program units.
std::uint32_t padded(const ports::FlashGeometry& geometry, std::size_t size);
// Bytes that an entry takes.
inline std::uint32_t extent(const ports::FlashGeometry& geometry, std::size_t payload_size) {
  return padded(geometry, sizeof(EntryHeader) + payload_size);
}
}  // namespace godwit::outbox
