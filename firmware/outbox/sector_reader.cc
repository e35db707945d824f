// SPDX-License-Identifier: Apache-2.0
#include "firmware/outbox/sector_reader.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "proto/base/crc32.h"

namespace godwit::outbox {
namespace {

constexpr std::size_t kChunkSize = 64;   // read at once
constexpr std::size_t kBlockSize = 512;  // programmed at once; a multiple of every program unit

}  // namespace

const Mark* newest_below(const Marks& marks, Seq before) {
  for (const Mark& mark : marks) {
    if (mark.first_seq < before && mark.epoch.value != 0) return &mark;
  }
  return nullptr;
}

std::uint32_t key_of(Epoch epoch) { return crc32(bytes_of(epoch)); }

std::uint32_t crc_of_size(std::uint32_t key, std::uint16_t kind_and_size) {
  return crc32(bytes_of(kind_and_size), key);
}

std::uint32_t crc_with_seq(std::uint32_t crc, Seq seq) { return crc32(bytes_of(seq), crc); }

std::uint32_t geometry_check(const ports::FlashGeometry& geometry) { return crc32(bytes_of(geometry)); }

std::uint32_t SectorHeader::checksum() const { return crc32(bytes_of(*this).subspan(8)); }

std::uint32_t padded(const ports::FlashGeometry& geometry, std::size_t size) {
  return (static_cast<std::uint32_t>(size) + geometry.program_size_bytes - 1) &
         ~(geometry.program_size_bytes - 1);
}

Medium::Medium(ports::Flash& flash)
    : geometry_(flash.geometry()),
      entries_begin_(padded(geometry_, sizeof(SectorHeader))),
      extent_min_(extent(geometry_, 1)),
      flash_(flash) {}

Status Medium::read_once(std::uint32_t sector, std::uint32_t offset, MutableBytes out) {
  return flash_.read(std::uint64_t{sector} * geometry().sector_size_bytes + offset, out);
}

void Medium::read(std::uint32_t sector, std::uint32_t offset, MutableBytes out) {
  // At once, or else unit by unit: what is damaged must not cost its neighbours.
  const std::uint32_t unit = geometry().program_size_bytes;
  bool answers = false;
  for (bool whole = true; !out.empty();) {
    const std::size_t size =
        whole ? out.size() : std::min<std::size_t>(out.size(), unit - (offset & (unit - 1)));
    const Status status = read_once(sector, offset, out.first(size));
    if (status != Status::kOk) {
      if (std::exchange(whole, false)) continue;
      std::memset(out.data(), 0, size);
    }
    answers |= status != Status::kIo;
    offset += static_cast<std::uint32_t>(size);
    out = out.subspan(size);
  }
  // No answer is damage only if others answer: five of them are asked, all around the ring.
  const std::uint32_t count = geometry().sector_count;
  for (std::uint32_t step = 1; !answers && step < count; step += std::max<std::uint32_t>(1, count / 5)) {
    std::uint8_t byte = 0;
    answers = read_once((sector + step) % count, 0, {&byte, 1}) != Status::kIo;
  }
  silent |= !answers;
}

bool Medium::read_header(std::uint32_t index, SectorHeader& out) {
  read(index, 0, bytes_of(out));
  if (out.magic != kMagic || (out.version ^ out.version_check) != 0xFFFF) return false;
  // Magic and version stay where they are in every version to come; the checksum may not.
  if (out.version <= kVersion && (out.version != kVersion || out.crc != out.checksum())) return false;
  if (out.version > kVersion || out.geometry != geometry_check(geometry())) {
    foreign = true;
    return false;
  }
  return out.serial % geometry().sector_count == index && out.serial <= kSerialMax &&
         out.before_seq <= out.first_seq && out.first_seq <= kSeqMax;
}

bool Medium::program(std::uint32_t sector, std::uint32_t offset, Bytes head, Bytes payload) {
  const std::uint64_t start = std::uint64_t{sector} * geometry().sector_size_bytes;
  std::array<std::uint8_t, kBlockSize> block;  // NOLINT(*-pro-type-member-init): filled below
  std::memcpy(block.data(), head.data(), head.size());
  for (std::size_t used = head.size(); !payload.empty(); used = 0) {
    const Bytes part = payload.first(std::min(payload.size(), block.size() - used));
    std::memset(&block[used], 0xFF, block.size() - used);
    std::memcpy(&block[used], part.data(), part.size());
    const auto whole = MutableBytes(block).first(padded(geometry(), used + part.size()));
    const std::uint32_t crc = crc32(whole);
    if (flash_.program(start + offset, whole) != Status::kOk) return false;
    read(sector, offset, whole);
    if (crc32(whole) != crc) return false;
    offset += static_cast<std::uint32_t>(whole.size());
    payload = payload.subspan(part.size());
  }
  return flash_.flush() == Status::kOk;
}

void SectorReader::enter(const Medium& medium, std::uint32_t index, Seq first, const Marks& marks) {
  const Mark* const mark = newest_below(marks, first);
  key_ = mark == nullptr ? 0 : key_of(mark->epoch);
  last_seq_ = {first.value - 1};
  skipped_ = 0;
  go_on(medium, index);
}

void SectorReader::go_on(const Medium& medium, std::uint32_t index) {
  index_ = index;
  // skipped_ counts on: what was damaged at the end of the sector before were entries, too.
  offset_ = found_end_ = reach_ = used_end_ = medium.entries_begin();
  doubtful_ = 0;
}

std::uint32_t SectorReader::spent() const {
  return used_end_ > found_end_ ? std::max(doubtful_, std::uint32_t{1}) : 0;
}

std::uint32_t SectorReader::touched_end(const Medium& medium) const {
  // A cut can hit units that read as erased all the same: a header not yet begun, or the rest of an entry, of
  // which 0xFF may have been written.
  const ports::FlashGeometry& geometry = medium.geometry();
  return std::min(padded(geometry, std::max(reach_, used_end_) + sizeof(EntryHeader)),
                  geometry.sector_size_bytes);
}

// The entry at offset_, if its CRC holds for one of the seqs that it can have.
bool SectorReader::verify(Medium& medium, const EntryHeader& header, Found& out) {
  const std::uint32_t size = header.kind_and_size & kPayloadSizeMax;
  const auto kind = static_cast<Kind>(header.kind_and_size >> 12);
  const bool sized = kind == Kind::kData ? size > 0 : size == sizeof(Numbers);
  if (!sized || kind == Kind::kLoss || kind > Kind::kRefused) return false;
  const std::uint32_t end = offset_ + extent(medium.geometry(), size);
  std::uint32_t crc = crc_of_size(kind == Kind::kMark ? 0 : key_, header.kind_and_size);
  if (header.check != check_of(crc) || end > medium.geometry().sector_size_bytes) return false;
  ++doubtful_;
  reach_ = std::max(reach_, end);

  out.size_crc = crc;
  std::array<std::uint8_t, kChunkSize> chunk;  // NOLINT(*-pro-type-member-init): read into below
  for (std::uint32_t done = 0; done < size;) {
    const auto part = kind == Kind::kData
                          ? MutableBytes(chunk).first(std::min<std::size_t>(size - done, chunk.size()))
                          : bytes_of(out.numbers);
    medium.read(index_, offset_ + static_cast<std::uint32_t>(sizeof header) + done, part);
    crc = crc32(part, crc);
    done += static_cast<std::uint32_t>(part.size());
  }
  Seq seq = last_seq_;
  // Each entry between two of one mount took its place, and `last_seq_` may be given again.
  std::uint32_t tries = skipped_ / medium.extent_min() + 2;
  if (kind == Kind::kMark) {
    seq = {out.numbers[1]};
    if (seq < last_seq_ || seq > kSeqMax) return false;
    tries = 1;
  }
  for (; crc_with_seq(crc, seq) != header.crc; seq = seq + 1) {
    if (--tries == 0) return false;
  }
  out.kind = kind;
  out.seq = last_seq_ = seq;
  out.offset = offset_;
  out.size_bytes = size;
  out.crc = header.crc;
  if (kind == Kind::kMark) key_ = key_of({out.numbers[0]});
  offset_ = found_end_ = end;
  skipped_ = doubtful_ = 0;
  return true;
}

bool SectorReader::find(Medium& medium, std::uint32_t limit, Found& out) {
  const std::uint32_t unit = medium.geometry().program_size_bytes;
  std::array<std::uint8_t, kChunkSize> chunk;  // NOLINT(*-pro-type-member-init): read into below
  while (offset_ + medium.extent_min() <= limit) {
    const auto part = MutableBytes(chunk).first(std::min<std::size_t>(chunk.size(), limit - offset_));
    medium.read(index_, offset_, part);
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
      if (verify(medium, header, out)) return true;
    }
    offset_ += step;
    skipped_ += step;
  }
  return false;
}

}  // namespace godwit::outbox
