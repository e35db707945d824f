// SPDX-License-Identifier: Apache-2.0
#include "firmware/outbox/sector_reader.h"

#include <algorithm>
#include <cstring>

#include "proto/base/crc32.h"

namespace godwit::outbox {
namespace {

constexpr std::size_t kChunkSize = 64;  // read at once

Status read_once(ports::Flash& flash, std::uint32_t sector, std::uint32_t offset, MutableBytes out) {
  return flash.read(std::uint64_t{sector} * flash.geometry().sector_size_bytes + offset, out);
}

}  // namespace

std::uint32_t key_of(Epoch epoch) { return crc32(bytes_of(epoch)); }

std::uint32_t crc_of_size(std::uint32_t key, std::uint16_t kind_and_size) {
  return crc32(bytes_of(kind_and_size), key);
}

std::uint32_t crc_with_seq(std::uint32_t crc, Seq seq) { return crc32(bytes_of(seq), crc); }

std::uint32_t geometry_check(const ports::FlashGeometry& geometry) { return crc32(bytes_of(geometry)); }

std::uint32_t SectorHeader::checksum() const { return crc32(bytes_of(*this).subspan(8)); }

Status read_flash(ports::Flash& flash, std::uint32_t sector, std::uint32_t offset, MutableBytes out) {
  if (read_once(flash, sector, offset, out) == Status::kOk) return Status::kOk;
  // Once more, unit by unit: what is damaged must not cost its neighbours.
  const std::uint32_t unit = flash.geometry().program_size_bytes;
  bool answers = false;
  while (!out.empty()) {
    const auto part = out.first(std::min<std::size_t>(out.size(), unit - (offset & (unit - 1))));
    const Status status = read_once(flash, sector, offset, part);
    if (status != Status::kOk) std::memset(part.data(), 0, part.size());
    answers |= status != Status::kIo;
    offset += static_cast<std::uint32_t>(part.size());
    out = out.subspan(part.size());
  }
  // No answer is damage only if others answer: the next sector, or the one halfway around.
  const std::uint32_t count = flash.geometry().sector_count;
  for (std::uint32_t step = 1; !answers && step < count; step += count / 2) {
    std::uint8_t byte = 0;
    answers = read_once(flash, (sector + step) % count, 0, {&byte, 1}) != Status::kIo;
  }
  return answers ? Status::kOk : Status::kIo;
}

bool stands_there(ports::Flash& flash, std::uint32_t sector, std::uint32_t offset, Bytes bytes) {
  std::array<std::uint8_t, kChunkSize> chunk{};
  while (!bytes.empty()) {
    const auto part = MutableBytes(chunk).first(std::min(bytes.size(), chunk.size()));
    const Status status = read_flash(flash, sector, offset, part);
    if (status != Status::kOk || std::memcmp(part.data(), bytes.data(), part.size()) != 0) return false;
    offset += static_cast<std::uint32_t>(part.size());
    bytes = bytes.subspan(part.size());
  }
  return true;
}

Status read_header(ports::Flash& flash, std::uint32_t index, SectorHeader& out) {
  const ports::FlashGeometry& geometry = flash.geometry();
  if (const Status status = read_flash(flash, index, 0, bytes_of(out)); status != Status::kOk) return status;
  if (out.magic != kMagic || (out.version ^ out.version_check) != 0xFFFF) return Status::kCorrupt;
  // Magic and version stay where they are in every version to come; the checksum may not.
  if (out.version > kVersion) return Status::kUnsupported;
  if (out.version != kVersion || out.crc != out.checksum()) return Status::kCorrupt;
  if (out.geometry != geometry_check(geometry)) return Status::kUnsupported;
  const bool sound = out.serial % geometry.sector_count == index && out.serial <= kSerialMax &&
                     out.before_seq <= out.first_seq && out.first_seq <= kSeqMax;
  return sound ? Status::kOk : Status::kCorrupt;
}

void SectorReader::enter(std::uint32_t index, Seq first, const Marks& marks) {
  const Mark* mark = marks.begin();
  while (mark != marks.end() && mark->first_seq >= first) ++mark;
  key_ = mark == marks.end() ? 0 : key_of(mark->epoch);
  last_seq_ = {first.value - 1};
  skipped_ = 0;
  go_on(index);
}

void SectorReader::go_on(std::uint32_t index) {
  const ports::FlashGeometry& geometry = flash_->geometry();
  index_ = index;
  // skipped_ counts on: what was damaged at the end of the sector before were entries, too.
  offset_ = found_end_ = reach_ = used_end_ = entries_begin(geometry);
  doubtful_ = 0;
}

std::uint32_t SectorReader::spent() const {
  return used_end_ > found_end_ ? std::max(doubtful_, std::uint32_t{1}) : 0;
}

std::uint32_t SectorReader::touched_end() const {
  // A cut can hit units that read as erased all the same: a header not yet begun, or the rest of an entry, of
  // which 0xFF may have been written.
  const ports::FlashGeometry& geometry = flash_->geometry();
  return std::min(padded(geometry, std::max(reach_, used_end_) + sizeof(EntryHeader)),
                  geometry.sector_size_bytes);
}

// The entry at offset_, if its CRC holds for one of the seqs that it can have. kNotFound: none.
Status SectorReader::verify(const EntryHeader& header, Found& out) {
  const ports::FlashGeometry& geometry = flash_->geometry();
  const std::uint32_t size = header.kind_and_size & kPayloadSizeMax;
  const auto kind = static_cast<Kind>(header.kind_and_size >> 12);
  const bool sized = kind == Kind::kData ? size > 0 : size == sizeof(Numbers);
  if (!sized || kind == Kind::kLoss || kind > Kind::kRefused) return Status::kNotFound;
  const std::uint32_t end = offset_ + extent(geometry, size);
  std::uint32_t crc = crc_of_size(kind == Kind::kMark ? 0 : key_, header.kind_and_size);
  if (header.check != check_of(crc) || end > geometry.sector_size_bytes) return Status::kNotFound;
  ++doubtful_;
  reach_ = std::max(reach_, end);

  out.size_crc = crc;
  std::uint32_t at = offset_ + sizeof header;
  std::array<std::uint8_t, kChunkSize> chunk{};
  for (std::uint32_t left = size; left > 0;) {
    const auto part = MutableBytes(chunk).first(std::min<std::size_t>(left, chunk.size()));
    const Status status = read_flash(*flash_, index_, at, part);
    if (status != Status::kOk) return status;
    crc = crc32(part, crc);
    at += static_cast<std::uint32_t>(part.size());
    left -= static_cast<std::uint32_t>(part.size());
  }
  Seq seq = last_seq_;
  // Each entry between two of one mount took its place, and `last_seq_` may be given again.
  std::uint32_t tries = skipped_ / extent(geometry, 1) + 2;
  if (kind != Kind::kData) std::memcpy(&out.numbers, chunk.data(), sizeof out.numbers);
  if (kind == Kind::kMark) {
    seq = {out.numbers[1]};
    if (seq < last_seq_ || seq > kSeqMax) return Status::kNotFound;
    tries = 1;
  }
  for (; tries > 0; --tries, seq = seq + 1) {
    if (crc_with_seq(crc, seq) != header.crc) continue;
    out.kind = kind;
    out.seq = seq;
    out.offset = offset_;
    out.size_bytes = size;
    out.crc = header.crc;
    last_seq_ = seq;
    if (kind == Kind::kMark) key_ = key_of({out.numbers[0]});
    offset_ = found_end_ = end;
    skipped_ = doubtful_ = 0;
    return Status::kOk;
  }
  return Status::kNotFound;
}

Status SectorReader::find(std::uint32_t limit, Found& out) {
  const std::uint32_t unit = flash_->geometry().program_size_bytes;
  std::array<std::uint8_t, kChunkSize> chunk{};
  while (offset_ + extent(flash_->geometry(), 1) <= limit) {
    const auto part = MutableBytes(chunk).first(std::min<std::size_t>(chunk.size(), limit - offset_));
    Status status = read_flash(*flash_, index_, offset_, part);
    if (status != Status::kOk) return status;
    std::size_t used = part.size();
    while (used > 0 && part[used - 1] == 0xFF) --used;
    std::uint32_t step = unit;
    if (used == 0) {
      // A header that begins in this part and ends behind it may be one.
      const auto headers = static_cast<std::uint32_t>(part.size() - sizeof(EntryHeader) + 1);
      step = std::max(unit, headers & ~(unit - 1));
    } else {
      used_end_ = std::max(used_end_, offset_ + static_cast<std::uint32_t>(used));
      EntryHeader header;
      std::memcpy(&header, part.data(), sizeof header);
      status = verify(header, out);
      if (status != Status::kNotFound) return status;
    }
    offset_ += step;
    skipped_ += step;
  }
  return Status::kNotFound;
}

}  // namespace godwit::outbox
