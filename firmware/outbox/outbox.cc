// SPDX-License-Identifier: Apache-2.0
// Theory of operation. The region is a ring of sectors; a sector has a header and then records, back to back:
//
//     serial 7 (oldest)      serial 8               serial 9 (active)         next to be opened
//   | H | R R R R R R R .. | H | R R R R R R R .. | H | R R R t . R R ->    | erased, or given up      |
//                                                             ^ an append that a power cut tore
//
// H holds all that is known when a sector is opened (serial, epoch, first seq, what is acked and dropped), so
// opening the next one is the only moment at which anything but a record is written. The sector with the
// highest serial is the active one. A record does not hold its seq, its CRC covers it: a verified record
// proves its place.
//
// Damage. A reader that meets bytes that do not verify tries every program unit behind them until a record
// does, with the seq that is expected or one that the skipped bytes leave room for: so it costs the damaged
// records only. One flipped bit in a sector header is put right by its CRC, as a sector is too much to lose.
//
// Power cuts. What a torn append leaves is never programmed again: mount() continues behind it and leaves one
// more unit untouched, which may have been hit and yet read as erased. Torn bytes cannot be told from a
// record that append() had confirmed and that was damaged later, so the seqs that they may stand for are
// spent: they are reported as lost, and not given again. Should torn bytes verify at a later mount (cells
// that were charged halfway do that), then they are that record; should two records claim one seq, the later
// one stands: advance() looks one record ahead for this. In the same way the first seq of a sector ends what
// the sector before it can hold. A sector whose opening was cut off is opened again before anything else is
// appended.
#include "firmware/outbox/outbox.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <optional>

#include "proto/base/assert.h"
#include "proto/base/crc32.h"

namespace godwit::outbox {
namespace {

constexpr std::uint32_t kMagic = 0x4C4F5747;  // "GWOL"
constexpr std::uint8_t kVersion = 1;
constexpr std::uint32_t kSectorHeaderSize = 56;
constexpr std::uint32_t kRecordHeaderSize = 8;
constexpr std::uint32_t kRecordSizeMax = 0x7FFF;
constexpr std::uint32_t kUnitMax = 512;
// Far above what a flash can live to see; keeps arithmetic on hostile content from wrapping.
constexpr std::uint64_t kSeqMax = std::uint64_t{1} << 62;

// As it stands in flash; docs/reference/flash.md. Copied as it is, so every target has to be little-endian.
struct SectorHeader {
  std::uint32_t magic = kMagic;
  std::uint8_t version = kVersion;
  std::uint8_t version_check = static_cast<std::uint8_t>(~kVersion);
  std::uint8_t unit_log2 = 0;
  std::uint8_t zero = 0;
  std::uint32_t sector_size_bytes = 0;
  std::uint32_t serial = 0;
  std::uint64_t epoch = 0;
  std::uint64_t first_seq = 0;
  std::uint64_t acked_seq = 0;
  std::uint64_t dropped_records = 0;
  std::uint32_t held_records = 0;
  std::uint32_t crc = 0;

  MutableBytes bytes() { return {reinterpret_cast<std::uint8_t*>(this), sizeof *this}; }
  MutableBytes checked() { return bytes().first(offsetof(SectorHeader, crc)); }
};
static_assert(sizeof(SectorHeader) == kSectorHeaderSize && std::endian::native == std::endian::little);

// Offsets in a record header.
constexpr std::size_t kAtSize = 0, kAtSizeCheck = 2, kAtRecordCrc = 4;

template <std::unsigned_integral T>
std::uint32_t crc32_le(T value, std::uint32_t crc) {
  std::array<std::uint8_t, sizeof(T)> bytes{};
  store_le(bytes.data(), value);
  return crc32(bytes, crc);
}

// The CRC of a record is over epoch, size, payload and seq, in this order; its size check is part of the CRC
// after the first two. So neither payload nor an older log can be taken for records of this one.
std::uint32_t crc_of_size(Epoch epoch, std::uint16_t size) {
  return crc32_le(size, crc32_le(epoch.value, 0));
}
std::uint16_t size_check(std::uint32_t crc) { return static_cast<std::uint16_t>(crc ^ (crc >> 16)); }

// A CRC-32 that is wrong by `difference` because of one flipped bit in the last `bits` bits of its input
// names that bit, counted from the end.
std::optional<std::uint32_t> flipped_bit(std::uint32_t difference, std::uint32_t bits) {
  std::uint32_t pattern = 1;
  for (std::uint32_t i = 0; i < bits; ++i) {
    pattern = (pattern >> 1) ^ ((pattern & 1) != 0 ? 0xEDB88320U : 0);
    if (pattern == difference) return i;
  }
  return std::nullopt;
}

bool is_erased(Bytes bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0xFF; });
}

// Makes a header with one flipped bit whole. False: it is not one, or beyond repair.
bool repair(SectorHeader& header) {
  if (std::popcount(header.magic ^ kMagic) > 1) return false;
  const std::uint32_t difference = crc32(header.checked()) ^ header.crc;
  if (difference == 0 || std::has_single_bit(difference)) return true;
  const auto bit = flipped_bit(difference, offsetof(SectorHeader, crc) * 8);
  if (!bit) return false;
  header.checked()[offsetof(SectorHeader, crc) - 1 - *bit / 8] ^=
      static_cast<std::uint8_t>(0x80U >> (*bit % 8));
  return true;
}

}  // namespace

Outbox::Outbox(ports::Flash& flash, ports::Entropy& entropy, FullPolicy policy)
    : flash_(flash), entropy_(entropy), policy_(policy) {}

// --- Places ---

std::uint32_t Outbox::index_of(std::uint32_t serial) const {
  const std::uint32_t count = flash_.geometry().sector_count;
  return (active_index_ + count - (active_.serial - serial)) % count;
}

std::uint64_t Outbox::address(std::uint32_t serial, std::uint32_t offset) const {
  return std::uint64_t{index_of(serial)} * flash_.geometry().sector_size_bytes + offset;
}

std::uint32_t Outbox::padded(std::size_t size) const {
  const std::uint32_t unit = flash_.geometry().program_size_bytes;
  return (static_cast<std::uint32_t>(size) + unit - 1) & ~(unit - 1);
}

std::uint32_t Outbox::extent(std::size_t payload_size) const {
  return padded(kRecordHeaderSize + payload_size);
}

bool Outbox::fits(std::uint32_t offset, std::size_t payload_size) const {
  return offset + extent(payload_size) <= flash_.geometry().sector_size_bytes;
}

std::size_t Outbox::record_size_max() const {
  const std::uint32_t size = flash_.geometry().sector_size_bytes;
  const std::uint32_t used = padded(kSectorHeaderSize) + kRecordHeaderSize;
  return size <= used ? 0 : std::min(size - used, kRecordSizeMax);
}

Seq Outbox::oldest_seq() const { return std::max(acked_seq_, held_seq_); }

// --- Sectors ---

// kCorrupt: no header of a log is here.
Status Outbox::read_sector(std::uint32_t index, Sector& out) {
  const ports::FlashGeometry& geometry = flash_.geometry();
  SectorHeader header;
  const Status status = flash_.read(std::uint64_t{index} * geometry.sector_size_bytes, header.bytes());
  if (status != Status::kOk) return status;
  const bool whole = repair(header);
  // Magic and version stay where they are in every version to come. The version stands there twice because
  // one flipped bit must not turn a log into one from the future.
  if (header.magic == kMagic && header.version > kVersion &&
      (header.version ^ header.version_check) == 0xFF) {
    return Status::kUnsupported;
  }
  if (!whole || header.version != kVersion) return Status::kCorrupt;
  if (header.unit_log2 != std::countr_zero(geometry.program_size_bytes) ||
      header.sector_size_bytes != geometry.sector_size_bytes) {
    return Status::kUnsupported;
  }
  const std::uint64_t oldest = header.first_seq - header.held_records;
  if (header.epoch == 0 || header.acked_seq < kFirstSeq.value || header.acked_seq > oldest ||
      oldest > header.first_seq || header.first_seq > kSeqMax) {
    return Status::kCorrupt;
  }
  out = {.serial = header.serial,
         .epoch = {header.epoch},
         .first_seq = {header.first_seq},
         .acked_seq = {header.acked_seq},
         .oldest_seq = {oldest},
         .dropped_records = header.dropped_records};
  return Status::kOk;
}

// The first sector behind `serial` that can be read. kNotFound: that was the active one.
Status Outbox::next_sector(std::uint32_t serial, Sector& out) {
  Sector sector;
  while (serial != active_.serial) {
    ++serial;
    Status status = Status::kOk;
    if (serial == active_.serial) {
      sector = active_;
    } else {
      status = read_sector(index_of(serial), sector);
    }
    if (status == Status::kCorrupt) continue;
    if (status != Status::kOk) return status;
    if (sector.serial != serial) continue;
    out = sector;
    return Status::kOk;
  }
  return Status::kNotFound;
}

// Programs `head` and `payload`, one behind the other, filling up the last unit. The inner units of the
// payload go straight from where they are; only the first and the last one are put together here.
Status Outbox::program(std::uint64_t at, Bytes head, Bytes payload) {
  std::array<std::uint8_t, kUnitMax> unit{};
  const std::uint32_t first_size = padded(head.size());
  const auto first = MutableBytes(unit).first(first_size);
  std::ranges::fill(first, std::uint8_t{0xFF});
  std::ranges::copy(head, first.begin());
  const std::size_t with_head = std::min<std::size_t>(payload.size(), first_size - head.size());
  std::ranges::copy(payload.first(with_head), first.begin() + static_cast<std::ptrdiff_t>(head.size()));
  Status status = flash_.program(at, first);
  at += first_size;

  const Bytes rest = payload.subspan(with_head);
  const std::size_t whole = rest.size() & ~std::size_t{flash_.geometry().program_size_bytes - 1};
  if (status == Status::kOk && whole > 0) status = flash_.program(at, rest.first(whole));
  if (status == Status::kOk && whole < rest.size()) {
    const auto last = MutableBytes(unit).first(flash_.geometry().program_size_bytes);
    std::ranges::fill(last, std::uint8_t{0xFF});
    std::ranges::copy(rest.subspan(whole), last.begin());
    status = flash_.program(at + whole, last);
  }
  return status;
}

// Gives up oldest sectors until the next one of the ring is free, and `spare_sectors` more.
Status Outbox::make_room(std::uint32_t spare_sectors) {
  while (held_sectors_ + 1 + spare_sectors > flash_.geometry().sector_count) {
    Sector second;
    const Status status = next_sector(oldest_serial(), second);
    if (status != Status::kOk && status != Status::kNotFound) return status;
    const bool is_last = status == Status::kNotFound;
    const Seq end = is_last ? next_seq_ : second.first_seq;
    if (oldest_seq() < end) {
      if (policy_ == FullPolicy::kRefuse) return Status::kFull;
      stats_.dropped_records += end - oldest_seq();
    }
    held_sectors_ = is_last ? 0 : active_.serial - second.serial + 1;
    held_seq_ = end;
  }
  return Status::kOk;
}

Status Outbox::open_sector(Epoch epoch, std::uint32_t spare_sectors) {
  Status status = make_room(spare_sectors);
  if (status != Status::kOk) return status;
  const ports::FlashGeometry& geometry = flash_.geometry();
  const std::uint32_t index = (active_index_ + 1) % geometry.sector_count;
  const Sector sector{.serial = active_.serial + 1,
                      .epoch = epoch,
                      .first_seq = next_seq_,
                      .acked_seq = acked_seq_,
                      .oldest_seq = oldest_seq(),
                      .dropped_records = stats_.dropped_records};
  SectorHeader header{.unit_log2 = static_cast<std::uint8_t>(std::countr_zero(geometry.program_size_bytes)),
                      .sector_size_bytes = geometry.sector_size_bytes,
                      .serial = sector.serial,
                      .epoch = sector.epoch.value,
                      .first_seq = sector.first_seq.value,
                      .acked_seq = sector.acked_seq.value,
                      .dropped_records = sector.dropped_records,
                      .held_records = static_cast<std::uint32_t>(sector.first_seq - sector.oldest_seq)};
  header.crc = crc32(header.checked());

  // Whatever fails from here on, nothing is added to the present sector any more: the header of the new one
  // may have been written, and it says with which seq the present one ends.
  end_ = geometry.sector_size_bytes;
  status = flash_.erase(index);
  if (status == Status::kOk) {
    status = program(std::uint64_t{index} * geometry.sector_size_bytes, header.bytes(), {});
  }
  if (status == Status::kOk) status = flash_.flush();
  if (status != Status::kOk) return Status::kIo;
  if (cursor_.valid && cursor_.sector.serial == active_.serial) cursor_.end_seq = next_seq_;
  active_ = sector;
  active_index_ = index;
  epoch_ = epoch;
  ++held_sectors_;
  end_ = padded(kSectorHeaderSize);
  return Status::kOk;
}

// --- Recovery ---

Status Outbox::draw_epoch(Epoch& out) {
  std::array<std::uint8_t, sizeof(Epoch::value)> bytes{};
  // A source that yields zeros again and again is broken, so there is an end to asking.
  for (int attempt = 0; attempt < 4; ++attempt) {
    if (entropy_.fill(bytes) != Status::kOk) break;
    const Epoch epoch{load_le<std::uint64_t>(bytes.data())};
    if (epoch.value == 0 || epoch == epoch_) continue;
    out = epoch;
    return Status::kOk;
  }
  return Status::kIo;
}

Status Outbox::format() {
  Epoch epoch;
  const Status status = draw_epoch(epoch);
  if (status != Status::kOk) return status;
  active_index_ = flash_.geometry().sector_count - 1;  // so that sector 0 is opened
  return open_sector(epoch, 0);
}

// Finds the active sector and how far back the ring goes from it. kNotFound: there is no log.
Status Outbox::find_ring() {
  const std::uint32_t count = flash_.geometry().sector_count;
  bool found = false;
  Sector sector;
  for (std::uint32_t index = 0; index < count; ++index) {
    const Status status = read_sector(index, sector);
    if (status == Status::kCorrupt) continue;
    if (status != Status::kOk) return status;
    // Serials may wrap around, so what counts is the distance.
    if (found && static_cast<std::int32_t>(sector.serial - active_.serial) <= 0) continue;
    found = true;
    active_ = sector;
    active_index_ = index;
  }
  if (!found) return Status::kNotFound;
  held_sectors_ = 1;
  held_seq_ = active_.first_seq;
  for (std::uint32_t back = 1; back < count; ++back) {
    const Status status = read_sector(index_of(active_.serial - back), sector);
    if (status == Status::kCorrupt) continue;  // between others, it is a gap
    if (status != Status::kOk) return status;
    if (sector.serial != active_.serial - back || sector.first_seq > held_seq_) continue;  // not of this log
    held_sectors_ = back + 1;
    held_seq_ = sector.first_seq;
  }
  return Status::kOk;
}

// Finds next_seq() and the end of what is recorded in the active sector.
Status Outbox::scan_active() {
  std::uint32_t at = padded(kSectorHeaderSize);
  end_ = flash_.geometry().sector_size_bytes;
  next_seq_ = active_.first_seq;
  Seq least = next_seq_;
  Status status = Status::kOk;
  while (status == Status::kOk) {
    Record record;
    status = find(active_, at, least, record);
    if (status != Status::kOk) break;
    least = record.seq;
    next_seq_ = record.seq + 1;
    at = end_of(record);
  }
  end_ = at;
  return status == Status::kNotFound ? Status::kOk : status;
}

// Moves end_ behind everything in the active sector that a power cut may have touched, and next_seq() behind
// the records that its bytes may have been.
Status Outbox::skip_used_tail() {
  const ports::FlashGeometry& geometry = flash_.geometry();
  const std::uint32_t limit = geometry.sector_size_bytes;
  std::array<std::uint8_t, 64> chunk{};
  std::uint32_t used = end_;
  std::uint32_t begun = end_;  // the next place where a record may have been begun
  std::uint64_t spent = 0;
  for (std::uint32_t at = end_; at < limit;) {
    // A whole header is read where one may begin.
    const auto part =
        MutableBytes(chunk).first(std::min<std::size_t>(chunk.size(), (at < begun ? begun : limit) - at));
    const Status status = flash_.read(address(active_.serial, at), part);
    if (status != Status::kOk) return status;
    // A cut can hit units that read as erased all the same: a header not yet begun, or the rest of a record,
    // of which 0xFF may have been written.
    if (at == begun && fits(at, 0)) {
      const auto size = load_le<std::uint16_t>(&part[kAtSize]);
      const bool checks =
          load_le<std::uint16_t>(&part[kAtSizeCheck]) == size_check(crc_of_size(active_.epoch, size));
      if (checks && size > 0 && fits(at, size)) {
        begun = at + extent(size);
        used = std::max(used, begun);
        ++spent;
      } else if (at == end_) {
        used += kRecordHeaderSize;
      }
    }
    for (const std::uint8_t byte : part) {
      ++at;
      if (byte == 0xFF) continue;
      used = std::max(used, at + geometry.program_size_bytes);
      spent = std::max<std::uint64_t>(spent, 1);
    }
  }
  next_seq_ = next_seq_ + spent;
  end_ = std::min(padded(used), limit);
  if (held_sectors_ == geometry.sector_count) return Status::kOk;

  const auto header = MutableBytes(chunk).first(kSectorHeaderSize);
  const Status status = flash_.read(address(active_.serial + 1, 0), header);
  if (!is_erased(header)) end_ = limit;  // its opening was cut off
  return status;
}

Status Outbox::mount() {
  const ports::FlashGeometry& geometry = flash_.geometry();
  if (record_size_max() == 0) return Status::kInvalidArgument;
  active_ = {};
  Status status = find_ring();
  if (status == Status::kNotFound) return format();
  if (status != Status::kOk) return status;

  epoch_ = active_.epoch;
  acked_seq_ = active_.acked_seq;
  stats_.dropped_records = active_.dropped_records;
  status = scan_active();
  if (status == Status::kOk) status = skip_used_tail();
  // An opening that was cut off had given up the oldest sector, and could not write down any more whether its
  // records were acked. They count as dropped unless ack() goes past them before anybody has asked for them.
  presumed_seq_ = active_.oldest_seq;
  presumed_end_ = std::max(held_seq_, active_.oldest_seq);
  stats_.dropped_records += presumed_end_ - presumed_seq_;
  GODWIT_ASSERT(end_ <= geometry.sector_size_bytes);
  return status;
}

// --- Writing ---

Status Outbox::append(Bytes payload) {
  if (payload.empty() || payload.size() > record_size_max()) return Status::kInvalidArgument;
  Status status = write_record(payload);
  // Once more, behind the place that failed: a run of power cuts may have hit more units than the one that
  // mount() leaves out without a trace.
  if (status == Status::kIo) status = write_record(payload);
  if (status == Status::kFull) ++stats_.refused_records;
  return status;
}

Status Outbox::write_record(Bytes payload) {
  if (!fits(end_, payload.size())) {
    const Status status = open_sector(epoch_, policy_ == FullPolicy::kRefuse ? 1 : 0);
    if (status != Status::kOk) return status;
  }
  const auto size = static_cast<std::uint16_t>(payload.size());
  const std::uint32_t size_crc = crc_of_size(active_.epoch, size);
  std::array<std::uint8_t, kRecordHeaderSize> header{};
  store_le(&header[kAtSize], size);
  store_le(&header[kAtSizeCheck], size_check(size_crc));
  store_le(&header[kAtRecordCrc], crc32_le(next_seq_.value, crc32(payload, size_crc)));

  // Moved on even if this fails: what may have been programmed is not programmed again.
  const std::uint64_t at = address(active_.serial, end_);
  end_ += extent(payload.size());
  Status status = program(at, header, payload);
  if (status == Status::kOk) status = flash_.flush();
  if (status != Status::kOk) return Status::kIo;
  next_seq_ = next_seq_ + 1;
  return Status::kOk;
}

Status Outbox::ack(Seq next) {
  if (next > next_seq_) return Status::kInvalidArgument;
  acked_seq_ = std::max(acked_seq_, next);
  // What a cut-off opening had given up was acked, then, and not dropped.
  const Seq known = std::clamp(next, presumed_seq_, std::max(presumed_seq_, presumed_end_));
  stats_.dropped_records -= known - presumed_seq_;
  presumed_seq_ = known;
  return Status::kOk;
}

Status Outbox::begin_epoch() {
  Epoch epoch;
  const Status status = draw_epoch(epoch);
  return status == Status::kOk ? open_sector(epoch, 0) : status;
}

// --- Reading ---

// Continues `crc` over `size` bytes of the flash.
Status Outbox::continue_crc(std::uint64_t at, std::size_t size, std::uint32_t& crc) {
  std::array<std::uint8_t, 64> chunk{};
  while (size > 0) {
    const auto part = MutableBytes(chunk).first(std::min(size, chunk.size()));
    const Status status = flash_.read(at, part);
    if (status != Status::kOk) return status;
    crc = crc32(part, crc);
    at += part.size();
    size -= part.size();
  }
  return Status::kOk;
}

// The record at `offset`, if its CRC holds for one of the `most` seqs from `least` on. kNotFound: none.
Status Outbox::verify(const Sector& sector, std::uint32_t offset, Bytes header, Seq least, std::uint64_t most,
                      Record& out) {
  const auto size = load_le<std::uint16_t>(&header[kAtSize]);
  if (size == 0 || size > kRecordSizeMax || !fits(offset, size)) return Status::kNotFound;
  std::uint32_t crc = crc_of_size(sector.epoch, size);
  if (load_le<std::uint16_t>(&header[kAtSizeCheck]) != size_check(crc)) return Status::kNotFound;
  const Status status = continue_crc(address(sector.serial, offset + kRecordHeaderSize), size, crc);
  if (status != Status::kOk) return status;
  for (std::uint64_t i = 0; i < most; ++i) {
    if (crc32_le(least.value + i, crc) == load_le<std::uint32_t>(&header[kAtRecordCrc])) {
      out = {.seq = least + i, .offset = offset, .size_bytes = size};
      return Status::kOk;
    }
  }
  return Status::kNotFound;
}

// The first record of `sector` at or behind `offset` with a seq of at least `least`. kNotFound: none.
Status Outbox::find(const Sector& sector, std::uint32_t offset, Seq least, Record& out) {
  const std::uint32_t unit = flash_.geometry().program_size_bytes;
  const std::uint32_t limit = sector.serial == active_.serial ? end_ : flash_.geometry().sector_size_bytes;
  std::array<std::uint8_t, 64> chunk{};
  for (std::uint32_t at = offset; at + extent(1) <= limit;) {
    const auto part = MutableBytes(chunk).first(std::min<std::size_t>(chunk.size(), limit - at));
    Status status = flash_.read(address(sector.serial, at), part);
    if (status != Status::kOk) return status;
    if (is_erased(part)) {
      // A header that begins in this part and ends behind it may be one.
      const auto headers = static_cast<std::uint32_t>(part.size()) - kRecordHeaderSize + 1;
      at += std::max(unit, headers & ~(unit - 1));
      continue;
    }
    // The bytes that were skipped can have been so many records; one more seq because `least` may be taken
    // already.
    const std::uint64_t most = (at - offset) / extent(1) + 2;
    status = verify(sector, at, part, least, most, out);
    if (status != Status::kNotFound) return status;
    at += unit;
  }
  return Status::kNotFound;
}

// Sets the cursor to the sector that `seq` would be in. Precondition: oldest_seq() <= seq < next_seq().
Status Outbox::enter_sector(Seq seq) {
  const bool forward = cursor_.valid && cursor_.sector.serial >= oldest_serial() && seq >= cursor_.seq;
  Sector sector = cursor_.sector;
  if (!forward) {
    const Status status = next_sector(oldest_serial() - 1, sector);
    if (status != Status::kOk) return status;
  }
  cursor_.valid = false;
  Seq end = next_seq_;
  while (sector.serial != active_.serial) {
    Sector next;
    const Status status = next_sector(sector.serial, next);
    if (status != Status::kOk) return status;
    end = next.first_seq;
    if (end > seq) break;
    sector = next;
    end = next_seq_;
  }
  cursor_ = Cursor{.valid = true,
                   .sector = sector,
                   .end_seq = end,
                   .seq = sector.first_seq,
                   .offset = padded(kSectorHeaderSize),
                   .record = {},
                   .ahead = {}};
  return Status::kOk;
}

// Finds the cursor's record: the first one at or above its seq that no later record replaces.
Status Outbox::advance() {
  Record record = cursor_.ahead;
  std::uint32_t offset = cursor_.offset;
  Seq least = cursor_.seq;
  cursor_.record = cursor_.ahead = {};
  while (true) {
    if (record.size_bytes != 0) {
      offset = end_of(record);
      least = record.seq;
    }
    Record ahead;
    const Status status = find(cursor_.sector, offset, least, ahead);
    if (status != Status::kOk && status != Status::kNotFound) return status;
    if (status == Status::kOk && (record.size_bytes == 0 || ahead.seq == record.seq)) {
      record = ahead;
      continue;
    }
    if (record.seq < cursor_.end_seq) {
      cursor_.record = record;
      cursor_.ahead = ahead;
    }
    return Status::kOk;
  }
}

Entry Outbox::loss(Seq first, Seq end, LossReason reason) {
  if (reason == LossReason::kCorrupt && end > counted_seq_) {
    stats_.corrupt_records += end - std::max(first, counted_seq_);
    counted_seq_ = end;
  }
  return {.kind = Entry::Kind::kLoss, .seq = first, .count = end - first, .size_bytes = 0, .reason = reason};
}

std::expected<Entry, Status> Outbox::peek(Seq seq) {
  if (seq >= next_seq_) return std::unexpected(Status::kNotFound);
  if (seq < acked_seq_) return loss(seq, acked_seq_, LossReason::kNotHeld);
  if (seq < held_seq_) {
    presumed_seq_ = presumed_end_;
    return loss(seq, held_seq_, LossReason::kDroppedFull);
  }

  if (cursor_.valid && cursor_.sector.serial == active_.serial) cursor_.end_seq = next_seq_;
  const bool here = cursor_.valid && cursor_.sector.serial >= oldest_serial() && seq >= cursor_.seq &&
                    seq < cursor_.end_seq;
  Status status = here ? Status::kOk : enter_sector(seq);
  while (status == Status::kOk) {
    if (cursor_.record.size_bytes == 0) {
      status = advance();
      if (status != Status::kOk) break;
      if (cursor_.record.size_bytes == 0) return loss(seq, cursor_.end_seq, LossReason::kCorrupt);
    }
    const Record& record = cursor_.record;
    if (seq < record.seq) return loss(seq, record.seq, LossReason::kCorrupt);
    if (seq == record.seq) {
      return Entry{.kind = Entry::Kind::kRecord, .seq = seq, .count = 1, .size_bytes = record.size_bytes};
    }
    cursor_.seq = record.seq + 1;
    cursor_.offset = end_of(record);
    cursor_.record = {};
  }
  cursor_.valid = false;
  return std::unexpected(status);
}

std::expected<Entry, Status> Outbox::read(Seq seq, MutableBytes out) {
  const auto entry = peek(seq);
  if (!entry || entry->kind != Entry::Kind::kRecord) return entry;
  if (out.size() < entry->size_bytes) return std::unexpected(Status::kInvalidArgument);
  const std::uint64_t at = address(cursor_.sector.serial, cursor_.record.offset);
  const auto payload = out.first(entry->size_bytes);
  std::array<std::uint8_t, kRecordHeaderSize> header{};
  Status status = flash_.read(at, header);
  if (status == Status::kOk) status = flash_.read(at + kRecordHeaderSize, payload);
  if (status != Status::kOk) return std::unexpected(status);
  // Checked when the cursor came here, and again now: these bytes are the ones that are handed out.
  const std::uint32_t size_crc =
      crc_of_size(cursor_.sector.epoch, static_cast<std::uint16_t>(payload.size()));
  if (crc32_le(seq.value, crc32(payload, size_crc)) != load_le<std::uint32_t>(&header[kAtRecordCrc])) {
    return loss(seq, seq + 1, LossReason::kCorrupt);
  }
  return entry;
}

}  // namespace godwit::outbox
