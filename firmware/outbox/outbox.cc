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
#include <cstring>
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
constexpr std::size_t kBlockSize = 512;  // programmed at once; a multiple of every program unit
constexpr std::size_t kChunkSize = 64;   // read at once
// Far above what a flash can live to see; keeps arithmetic on hostile content from wrapping.
constexpr std::uint64_t kSeqMax = std::uint64_t{1} << 62;

// The CRC of a record is over epoch, size, payload and seq, in this order; its size check is part of the CRC
// after the first two. So neither payload nor an older log can be taken for records of this one.
std::uint32_t crc_of_size(Epoch epoch, std::uint16_t size) {
  return crc32(bytes_of(size), crc32(bytes_of(epoch)));
}
std::uint16_t size_check(std::uint32_t crc) { return static_cast<std::uint16_t>(crc ^ (crc >> 16)); }
std::uint32_t record_crc(std::uint32_t crc, Bytes payload, Seq seq) {
  return crc32(bytes_of(seq), crc32(payload, crc));
}

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

Status Outbox::read_flash(std::uint32_t serial, std::uint32_t offset, MutableBytes out) {
  return flash_.read(address(serial, offset), out);
}

// --- Sectors ---

// Makes a header with one flipped bit whole. False: it is not one, or beyond repair.
bool Outbox::Sector::repair() {
  if (std::popcount(magic ^ kMagic) > 1) return false;
  const std::uint32_t difference = crc32(checked()) ^ crc;
  if (difference == 0 || std::has_single_bit(difference)) return true;
  const auto bit = flipped_bit(difference, static_cast<std::uint32_t>(checked().size()) * 8);
  if (!bit) return false;
  checked()[checked().size() - 1 - *bit / 8] ^= static_cast<std::uint8_t>(0x80U >> (*bit % 8));
  return true;
}

// kCorrupt: no header of a log is here.
Status Outbox::read_sector(std::uint32_t index, Sector& out) {
  const ports::FlashGeometry& geometry = flash_.geometry();
  const Status status = flash_.read(std::uint64_t{index} * geometry.sector_size_bytes, out.bytes());
  if (status != Status::kOk) return status;
  const bool whole = out.repair();
  // Magic and version stay where they are in every version to come. The version stands there twice because
  // one flipped bit must not turn a log into one from the future.
  if (out.magic == kMagic && out.version > kVersion && (out.version ^ out.version_check) == 0xFF) {
    return Status::kUnsupported;
  }
  if (!whole || out.version != kVersion) return Status::kCorrupt;
  if (out.unit_log2 != std::countr_zero(geometry.program_size_bytes) ||
      out.size_bytes != geometry.sector_size_bytes) {
    return Status::kUnsupported;
  }
  const bool sound = out.epoch.value != 0 && out.acked_seq >= kFirstSeq &&
                     out.acked_seq <= out.oldest_seq() && out.oldest_seq() <= out.first_seq &&
                     out.first_seq <= Seq{kSeqMax};
  return sound ? Status::kOk : Status::kCorrupt;
}

// The first sector behind `serial` that can be read. kNotFound: that was the active one.
Status Outbox::next_sector(std::uint32_t serial, Sector& out) {
  while (serial != active_.serial) {
    ++serial;
    if (serial == active_.serial) {
      out = active_;
      return Status::kOk;
    }
    const Status status = read_sector(index_of(serial), out);
    if (status == Status::kCorrupt || (status == Status::kOk && out.serial != serial)) continue;
    return status;
  }
  return Status::kNotFound;
}

// Programs `head` and `payload`, one behind the other and filling up the last unit, and makes them durable.
// kIo: something failed.
Status Outbox::program(std::uint64_t at, Bytes head, Bytes payload) {
  std::array<std::uint8_t, kBlockSize> block{};
  std::memcpy(block.data(), head.data(), head.size());
  std::size_t used = head.size();
  do {
    const Bytes part = payload.first(std::min(payload.size(), block.size() - used));
    std::memset(&block[used], 0xFF, block.size() - used);
    if (!part.empty()) std::memcpy(&block[used], part.data(), part.size());
    const Bytes whole = Bytes(block).first(padded(used + part.size()));
    if (flash_.program(at, whole) != Status::kOk) return Status::kIo;
    at += whole.size();
    payload = payload.subspan(part.size());
    used = 0;
  } while (!payload.empty());
  return flash_.flush() == Status::kOk ? Status::kOk : Status::kIo;
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
  Sector sector{.magic = kMagic,
                .version = kVersion,
                .version_check = static_cast<std::uint8_t>(~kVersion),
                .unit_log2 = static_cast<std::uint8_t>(std::countr_zero(geometry.program_size_bytes)),
                .size_bytes = geometry.sector_size_bytes,
                .serial = active_.serial + 1,
                .epoch = epoch,
                .first_seq = next_seq_,
                .acked_seq = acked_seq_,
                .dropped_records = stats_.dropped_records,
                .held_records = static_cast<std::uint32_t>(next_seq_ - oldest_seq())};
  sector.crc = crc32(sector.checked());

  // Whatever fails from here on, nothing is added to the present sector any more: the header of the new one
  // may have been written, and it says with which seq the present one ends.
  end_ = geometry.sector_size_bytes;
  if (flash_.erase(index) != Status::kOk) return Status::kIo;
  status = program(std::uint64_t{index} * geometry.sector_size_bytes, sector.bytes(), {});
  if (status != Status::kOk) return status;
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
  // A source that yields zeros again and again is broken, so there is an end to asking.
  for (int attempt = 0; attempt < 4; ++attempt) {
    if (entropy_.fill(bytes_of(out)) != Status::kOk) break;
    if (out.value != 0 && out != epoch_) return Status::kOk;
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

// Sets `end` to one unit behind the last byte from `at` to `limit` that is not erased, if there is one.
Status Outbox::find_used(std::uint32_t serial, std::uint32_t at, std::uint32_t limit, std::uint32_t& end) {
  std::array<std::uint8_t, kChunkSize> chunk{};
  while (at < limit) {
    const auto part = MutableBytes(chunk).first(std::min<std::size_t>(chunk.size(), limit - at));
    const Status status = read_flash(serial, at, part);
    if (status != Status::kOk) return status;
    for (const std::uint8_t byte : part) {
      ++at;
      if (byte != 0xFF) end = at + flash_.geometry().program_size_bytes;
    }
  }
  return Status::kOk;
}

// Moves end_ behind everything in the active sector that a power cut may have touched, and next_seq() behind
// the records that its bytes may have been.
Status Outbox::skip_used_tail() {
  const std::uint32_t limit = flash_.geometry().sector_size_bytes;
  // A cut can hit units that read as erased all the same: a header not yet begun, or the rest of a record, of
  // which 0xFF may have been written.
  std::uint32_t used = end_;
  std::uint32_t spent = 0;
  while (fits(used, 0)) {
    RecordHeader header;
    const Status status = read_flash(active_.serial, used, bytes_of(header));
    if (status != Status::kOk) return status;
    if (!is_plausible(active_, used, header)) break;
    used += extent(header.size_bytes);
    ++spent;
  }
  std::uint32_t torn_end = 0;
  Status status = find_used(active_.serial, end_, limit, torn_end);
  if (status != Status::kOk) return status;
  if (spent == 0) {
    used += kRecordHeaderSize;
    spent = torn_end > 0 ? 1 : 0;
  }
  next_seq_ = next_seq_ + spent;
  end_ = std::min(padded(std::max(used, torn_end)), limit);

  if (held_sectors_ == flash_.geometry().sector_count) return Status::kOk;
  std::uint32_t opened = 0;
  status = find_used(active_.serial + 1, 0, kSectorHeaderSize, opened);
  if (opened > 0) end_ = limit;  // its opening was cut off
  return status;
}

Status Outbox::mount() {
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
  GODWIT_ASSERT(end_ <= flash_.geometry().sector_size_bytes);
  // An opening that was cut off had given up the oldest sector, and could not write down any more whether its
  // records were acked. They count as dropped unless ack() goes past them before anybody has asked for them.
  presumed_seq_ = active_.oldest_seq();
  presumed_end_ = std::max(held_seq_, presumed_seq_);
  stats_.dropped_records += presumed_end_ - presumed_seq_;
  return status;
}

// --- Writing ---

Status Outbox::append(Bytes payload) {
  if (payload.empty() || payload.size() > record_size_max()) return Status::kInvalidArgument;
  Status status = write_record(payload);
  // Once more, behind the place that failed: a run of power cuts may have hit more units than the one that
  // mount() leaves out without a trace.
  if (status == Status::kIo) status = write_record(payload);
  if (status != Status::kOk) ++stats_.refused_records;
  return status;
}

Status Outbox::write_record(Bytes payload) {
  if (!fits(end_, payload.size())) {
    const Status status = open_sector(epoch_, policy_ == FullPolicy::kRefuse ? 1 : 0);
    if (status != Status::kOk) return status;
  }
  const auto size = static_cast<std::uint16_t>(payload.size());
  const std::uint32_t size_crc = crc_of_size(active_.epoch, size);
  RecordHeader header{.size_bytes = size,
                      .size_check = size_check(size_crc),
                      .crc = record_crc(size_crc, payload, next_seq_)};

  // Moved on even if this fails: what may have been programmed is not programmed again.
  const std::uint64_t at = address(active_.serial, end_);
  end_ += extent(payload.size());
  const Status status = program(at, bytes_of(header), payload);
  if (status == Status::kOk) next_seq_ = next_seq_ + 1;
  return status;
}

Status Outbox::ack(Seq next) {
  if (next > next_seq_) return Status::kInvalidArgument;
  acked_seq_ = std::max(acked_seq_, next);
  // What a cut-off opening had given up was acked, then, and not dropped.
  const Seq known = std::min(next, presumed_end_);
  if (known > presumed_seq_) {
    stats_.dropped_records -= known - presumed_seq_;
    presumed_seq_ = known;
  }
  return Status::kOk;
}

Status Outbox::begin_epoch() {
  Epoch epoch;
  const Status status = draw_epoch(epoch);
  return status == Status::kOk ? open_sector(epoch, 0) : status;
}

// --- Reading ---

// Whether this may be the header of a record at `offset`: its size fits, and is confirmed by its check.
bool Outbox::is_plausible(const Sector& sector, std::uint32_t offset, const RecordHeader& header) const {
  return header.size_bytes > 0 && header.size_bytes <= kRecordSizeMax && fits(offset, header.size_bytes) &&
         header.size_check == size_check(crc_of_size(sector.epoch, header.size_bytes));
}

// The record at `offset`, if its CRC holds for one of the `most` seqs from `least` on. kNotFound: none.
Status Outbox::verify(const Sector& sector, std::uint32_t offset, const RecordHeader& header, Seq least,
                      std::uint32_t most, Record& out) {
  if (!is_plausible(sector, offset, header)) return Status::kNotFound;
  std::uint32_t crc = crc_of_size(sector.epoch, header.size_bytes);
  std::uint32_t at = offset + kRecordHeaderSize;
  std::array<std::uint8_t, kChunkSize> chunk{};
  for (std::uint32_t left = header.size_bytes; left > 0;) {
    const auto part = MutableBytes(chunk).first(std::min<std::size_t>(left, chunk.size()));
    const Status status = read_flash(sector.serial, at, part);
    if (status != Status::kOk) return status;
    crc = crc32(part, crc);
    at += static_cast<std::uint32_t>(part.size());
    left -= static_cast<std::uint32_t>(part.size());
  }
  for (; most > 0; --most, least = least + 1) {
    if (record_crc(crc, {}, least) != header.crc) continue;
    out = {.seq = least, .offset = offset, .size_bytes = header.size_bytes};
    return Status::kOk;
  }
  return Status::kNotFound;
}

// The first record of `sector` at or behind `offset` with a seq of at least `least`. kNotFound: none.
Status Outbox::find(const Sector& sector, std::uint32_t offset, Seq least, Record& out) {
  const std::uint32_t unit = flash_.geometry().program_size_bytes;
  const std::uint32_t limit = sector.serial == active_.serial ? end_ : flash_.geometry().sector_size_bytes;
  std::array<std::uint8_t, kChunkSize> chunk{};
  for (std::uint32_t at = offset; at + extent(1) <= limit;) {
    const auto part = MutableBytes(chunk).first(std::min<std::size_t>(chunk.size(), limit - at));
    Status status = read_flash(sector.serial, at, part);
    if (status != Status::kOk) return status;
    if (all_equal(part, 0xFF)) {
      // A header that begins in this part and ends behind it may be one.
      const auto headers = static_cast<std::uint32_t>(part.size()) - kRecordHeaderSize + 1;
      at += std::max(unit, headers & ~(unit - 1));
      continue;
    }
    // The bytes that were skipped can have been so many records; one more seq because `least` may be taken
    // already.
    const std::uint32_t most = (at - offset) / extent(1) + 2;
    RecordHeader header;
    std::memcpy(&header, part.data(), sizeof header);
    status = verify(sector, at, header, least, most, out);
    if (status != Status::kNotFound) return status;
    at += unit;
  }
  return Status::kNotFound;
}

// Sets the cursor to the sector that `seq` would be in. Precondition: oldest_seq() <= seq < next_seq().
Status Outbox::enter_sector(Seq seq) {
  const bool forward = cursor_.valid && cursor_.sector.serial >= oldest_serial() && seq >= cursor_.seq;
  cursor_.valid = false;
  if (!forward) {
    const Status status = next_sector(oldest_serial() - 1, cursor_.sector);
    if (status != Status::kOk) return status;
  }
  cursor_.end_seq = next_seq_;
  while (cursor_.sector.serial != active_.serial) {
    Sector next;
    const Status status = next_sector(cursor_.sector.serial, next);
    if (status != Status::kOk) return status;
    if (next.first_seq > seq) {
      cursor_.end_seq = next.first_seq;
      break;
    }
    cursor_.sector = next;
  }
  cursor_.valid = true;
  cursor_.seq = cursor_.sector.first_seq;
  cursor_.offset = padded(kSectorHeaderSize);
  cursor_.record = cursor_.ahead = {};
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

void Outbox::lose(Seq first, Seq end, LossReason reason, Entry& out) {
  if (reason == LossReason::kCorrupt && end > counted_seq_) {
    stats_.corrupt_records += end - std::max(first, counted_seq_);
    counted_seq_ = end;
  }
  out = {.kind = Entry::Kind::kLoss, .seq = first, .count = end - first, .size_bytes = 0, .reason = reason};
}

// What stands at `seq`; the cursor is there if it is a record.
Status Outbox::look(Seq seq, Entry& out) {
  if (seq >= next_seq_) return Status::kNotFound;
  if (seq < acked_seq_) {
    lose(seq, acked_seq_, LossReason::kNotHeld, out);
    return Status::kOk;
  }
  if (seq < held_seq_) {
    presumed_seq_ = presumed_end_;
    lose(seq, held_seq_, LossReason::kDroppedFull, out);
    return Status::kOk;
  }

  if (cursor_.valid && cursor_.sector.serial == active_.serial) cursor_.end_seq = next_seq_;
  const bool here = cursor_.valid && cursor_.sector.serial >= oldest_serial() && seq >= cursor_.seq &&
                    seq < cursor_.end_seq;
  Status status = here ? Status::kOk : enter_sector(seq);
  const Record& record = cursor_.record;
  while (status == Status::kOk) {
    if (record.size_bytes == 0) status = advance();
    if (status != Status::kOk) break;
    const Seq next = record.size_bytes == 0 ? cursor_.end_seq : record.seq;
    if (seq < next) {
      lose(seq, next, LossReason::kCorrupt, out);
      return Status::kOk;
    }
    if (seq == next) {
      out = {.seq = seq, .size_bytes = record.size_bytes};
      return Status::kOk;
    }
    cursor_.seq = record.seq + 1;
    cursor_.offset = end_of(record);
    cursor_.record = {};
  }
  cursor_.valid = false;
  return status;
}

std::expected<Entry, Status> Outbox::peek(Seq seq) {
  std::expected<Entry, Status> entry;
  const Status status = look(seq, *entry);
  if (status != Status::kOk) entry = std::unexpected(status);
  return entry;
}

std::expected<Entry, Status> Outbox::read(Seq seq, MutableBytes out) {
  std::expected<Entry, Status> entry;
  Status status = look(seq, *entry);
  if (status == Status::kOk && entry->kind == Entry::Kind::kRecord) status = read_record(out, *entry);
  if (status != Status::kOk) entry = std::unexpected(status);
  return entry;
}

// The payload of the record under the cursor. It was checked when the cursor came here, and is again: these
// bytes are the ones that are handed out.
Status Outbox::read_record(MutableBytes out, Entry& entry) {
  const Record& record = cursor_.record;
  if (out.size() < record.size_bytes) return Status::kInvalidArgument;
  const auto payload = out.first(record.size_bytes);
  RecordHeader header;
  Status status = read_flash(cursor_.sector.serial, record.offset, bytes_of(header));
  if (status == Status::kOk) {
    status = read_flash(cursor_.sector.serial, record.offset + kRecordHeaderSize, payload);
  }
  if (status != Status::kOk) return status;
  const std::uint32_t size_crc =
      crc_of_size(cursor_.sector.epoch, static_cast<std::uint16_t>(record.size_bytes));
  if (record_crc(size_crc, payload, record.seq) != header.crc) {
    lose(record.seq, record.seq + 1, LossReason::kCorrupt, entry);
  }
  return Status::kOk;
}

}  // namespace godwit::outbox
