// SPDX-License-Identifier: Apache-2.0
// Theory of operation. The region is a ring of sectors; a sector has a header and then entries, back to back:
//
//     serial 7 (oldest)      serial 8               serial 9 (active)         next to be opened
//   | H | M M D D D D D .. | H | D D D D D D D .. | H | D D t . M M D ->    | erased, or given up      |
//                                                         ^ an append that a power cut tore, and a reboot
//
// D is a record, M the mark of a mount. H holds all that is known when a sector is opened (serial, first seq,
// the newest marks, what is acked and dropped), so opening the next one is the only moment at which anything
// but an entry is written. Serials count places: serial modulo the number of sectors is a sector's index, and
// a place that cannot be written is passed over with its serial. The highest serial is the active sector's.
//
// Epochs. The first append after a mount writes a mark: an entry with the next seq and a random nonce, the
// epoch. An entry does not hold its seq; its CRC covers the seq and the epoch in force, so an entry that
// verifies proves its place, and (epoch, seq) names it for ever, in every copy of this flash. A mark says
// seq and epoch itself, as seqs may have been spent in front of it. All entries behind a mark hang on it, so
// it is written twice in a row, with one seq, and sector headers repeat the newest: marks outlive damage, and
// their own sector's being given up.
//
// Damage. What cannot be read is read as zeros, which verify as nothing. A reader that meets bytes that do
// not verify tries every program unit behind them until an entry does, with the seq that is expected or one
// that the skipped bytes leave room for: between two entries of one mount, each seq took its bytes. So damage
// costs the entries that it hit. A damaged sector header is known from the one behind it, which says where
// the sector before begins; the newest has none behind it, so mount() reads on from the sector before, and
// takes entries that verify there for the log's.
//
// Power cuts. What a torn append leaves is never programmed again: mount() continues behind it and leaves one
// more unit untouched, which may have been hit and yet read as erased. Torn bytes cannot be told from an
// entry that was confirmed and damaged later, so the seqs that they may stand for are spent: reported as
// lost, and not given again. Should torn bytes verify at a later mount (cells that were charged halfway do
// that), then they are that entry; should two entries claim one seq, the later one stands: advance() looks
// one entry ahead for this. In the same way the first seq of a sector ends what the sector before it can
// hold; unless the sector is empty and the one before has gone on, which proves that its header was not there
// at the time.
//
// Failures. A write is tried again behind the place that failed, then in a new sector; a place that cannot be
// opened, twice, is passed over. Appends that failed are counted, and an entry in front of the next success
// says how many. Nothing is given up for a flash that does not answer at all.
#include "firmware/outbox/outbox.h"

#include <algorithm>
#include <cstring>

#include "proto/base/assert.h"
#include "proto/base/crc32.h"

namespace godwit::outbox {
namespace {

constexpr std::size_t kBlockSize = 512;    // programmed at once; a multiple of every program unit
constexpr std::uint32_t kPlacesTried = 3;  // by one append, to open a sector; twice each
constexpr int kWritesTried = 3;            // by one append, for each entry

void push(Marks& marks, const Found& entry) {
  if (entry.kind != Kind::kMark) return;
  // The later of two with one seq stands.
  if (marks[0].first_seq != entry.seq) std::shift_right(marks.begin(), marks.end(), 1);
  marks[0] = {.epoch = {entry.numbers[0]}, .first_seq = entry.seq};
}

// A mark that was cut off, and verifies after newer ones were written, is none: headers and hellos do not
// know of it, and nothing stands under it.
bool is_named(const Marks& marks, const Found& entry) {
  for (const Mark& mark : marks) {
    if (mark.first_seq > entry.seq) continue;
    return mark.first_seq == entry.seq && mark.epoch.value == entry.numbers[0];
  }
  return true;
}

}  // namespace

Outbox::Outbox(ports::Flash& flash, ports::Entropy& entropy, FullPolicy policy)
    : flash_(flash), entropy_(entropy), policy_(policy), cursor_(flash) {}

std::size_t Outbox::record_size_max() const {
  const std::uint32_t size = flash_.geometry().sector_size_bytes;
  const std::uint32_t used = entries_begin(flash_.geometry()) + sizeof(EntryHeader);
  return size < used + sizeof(Numbers) ? 0 : std::min(size - used, kPayloadSizeMax);
}

void Outbox::assert_sound() const {
  GODWIT_ASSERT(freed_seq_ <= held_seq_ && held_seq_ <= first_seq_ && first_seq_ <= next_seq_ &&
                acked_seq_ <= next_seq_ && end_ <= flash_.geometry().sector_size_bytes);
}

// --- Sectors ---

// What is known about the sector `serial`: by its header, or by the one behind it, or because it is the
// active one. kCorrupt: nothing. kIo.
Status Outbox::read_sector(std::uint32_t serial, SectorHeader& out) {
  Status status = read_header(flash_, index_of(serial), out);
  if (status == Status::kIo || (status == Status::kOk && out.serial == serial)) return status;
  if (serial == serial_) {
    out.first_seq = first_seq_;
    out.marks = marks_;
    return Status::kOk;
  }
  status = read_header(flash_, index_of(serial + 1), out);
  if (status == Status::kIo) return status;
  if (status != Status::kOk || out.serial != serial + 1) return Status::kCorrupt;
  out.first_seq = out.before_seq;
  return Status::kOk;
}

// Programs `head` and `payload`, one behind the other and filling up the last unit, makes them durable, and
// makes sure that they can be read. kIo: something failed.
Status Outbox::program(std::uint32_t sector, std::uint32_t offset, Bytes head, Bytes payload) {
  const std::uint64_t start = std::uint64_t{sector} * flash_.geometry().sector_size_bytes;
  std::array<std::uint8_t, kBlockSize> block;  // NOLINT(*-pro-type-member-init): filled below
  do {
    const Bytes part = payload.first(std::min(payload.size(), block.size() - head.size()));
    block.fill(0xFF);
    std::ranges::copy(head, block.begin());
    std::ranges::copy(part, &block[head.size()]);
    const Bytes whole = Bytes(block).first(padded(flash_.geometry(), head.size() + part.size()));
    if (flash_.program(start + offset, whole) != Status::kOk) return Status::kIo;
    if (!stands_there(flash_, sector, offset, whole)) return Status::kIo;
    offset += static_cast<std::uint32_t>(whole.size());
    payload = payload.subspan(part.size());
    head = {};
  } while (!payload.empty());
  return flash_.flush() == Status::kOk ? Status::kOk : Status::kIo;
}

// Makes `serial` the active sector. kFull: not without giving up what is not acked, by policy; kIo: its place
// failed. Nothing has changed then.
Status Outbox::open_place(std::uint32_t serial) {
  const std::uint32_t count = flash_.geometry().sector_count;
  SectorHeader header;
  std::uint32_t oldest = oldest_serial_;
  Seq held = held_seq_;
  if (oldest + count <= serial) {  // the place is in use: what is in it is given up
    oldest = serial - count;
    Status status = Status::kCorrupt;
    while (status == Status::kCorrupt && ++oldest <= serial_) status = read_sector(oldest, header);
    if (status == Status::kIo) return status;
    held = oldest <= serial_ ? std::clamp(header.first_seq, held, next_seq_) : next_seq_;
    if (held > acked_seq_ && policy_ == FullPolicy::kRefuse) return Status::kFull;
  }
  const Seq kept_so_far = std::max(acked_seq_, held_seq_);
  const std::uint64_t dropped = held > kept_so_far ? held - kept_so_far : 0;
  header.magic = kMagic;
  header.version = kVersion;
  header.version_check = static_cast<std::uint16_t>(~kVersion);
  header.geometry = geometry_check(flash_.geometry());
  header.serial = serial;
  header.bad_sectors = std::max(stats_.bad_sectors, lap_bad_ + passed_);
  header.first_seq = next_seq_;
  header.before_seq = serial == serial_ + 1 ? first_seq_ : next_seq_;
  header.acked_seq = std::max(acked_seq_, freed_seq_);
  header.dropped_records = stats_.dropped_records + dropped;
  header.marks = marks_;
  header.crc = header.checksum();
  if (flash_.erase(index_of(serial)) != Status::kOk) return Status::kIo;
  const Status status = program(index_of(serial), 0, bytes_of(header), {});
  if (status != Status::kOk) return status;

  freed_seq_ = std::max(freed_seq_, std::min(acked_seq_, held));
  held_seq_ = held;
  stats_.dropped_records += dropped;
  oldest_serial_ = oldest;
  first_seq_ = next_seq_;
  serial_ = serial;
  end_ = entries_begin(flash_.geometry());
  cursor_.valid = false;
  assert_sound();
  return Status::kOk;
}

// Opens the next place that can be written. One that cannot is left out of the ring, for this way around.
Status Outbox::open_sector() {
  const std::uint32_t count = flash_.geometry().sector_count;
  // Whatever fails from here on, nothing is added to the present sector any more: the header of the new one
  // may have been written, and it says with which seq the present one ends.
  end_ = flash_.geometry().sector_size_bytes;
  for (std::uint32_t tries = 2 * std::min(count, kPlacesTried); tries > 0; --tries) {
    const std::uint32_t from = serial_;
    const Status status = open_place(from + 1 + passed_);
    if (status == Status::kFull) return status;
    if (status == Status::kOk) {
      lap_bad_ += passed_;
      passed_ = 0;
      const bool is_lap = index_of(serial_) < index_of(from);
      if (lap_bad_ > stats_.bad_sectors || (is_lap && lap_is_whole_)) stats_.bad_sectors = lap_bad_;
      if (is_lap) {
        lap_bad_ = 0;
        lap_is_whole_ = true;
      }
      return status;
    }
    // Nothing is given up for a flash that does not answer at all.
    std::uint8_t byte = 0;
    if (read_flash(flash_, index_of(serial_), 0, {&byte, 1}) == Status::kIo) break;
    if (tries % 2 == 1) passed_ = (passed_ + 1) % count;
  }
  return Status::kIo;
}

// --- Recovery ---

// Finds the newest sector with a header and the oldest that belongs to it. Serials count places, so that a
// place has one serial only that is in the ring.
Status Outbox::find_ring() {
  const std::uint32_t count = flash_.geometry().sector_count;
  bool foreign = false;
  bool behind = false;      // the oldest stands behind the newest
  std::uint32_t first = 0;  // the first one of the newest's way around the ring
  SectorHeader header;
  serial_ = 0;
  for (std::uint32_t index = 0; index < count; ++index) {
    const Status status = read_header(flash_, index, header);
    if (status == Status::kIo) return status;
    if (status == Status::kUnsupported) foreign = true;
    if (status != Status::kOk) continue;
    if (header.serial > serial_) {
      if (header.serial / count != serial_ / count) first = header.serial;
      serial_ = header.serial;
      oldest_serial_ = first;
      behind = false;
    } else if (!behind && header.serial + count > serial_) {
      oldest_serial_ = header.serial;
      behind = true;
    }
  }
  if (serial_ == 0) {
    serial_ = count - 1;  // so that sector 0 is opened first
    oldest_serial_ = count;
    return foreign ? Status::kUnsupported : Status::kOk;
  }
  const Status status = read_header(flash_, index_of(oldest_serial_), header);
  if (status != Status::kOk) return Status::kIo;
  held_seq_ = header.first_seq;
  // The header of the one before may be damaged: this one knows of it.
  if (header.before_seq < held_seq_ && oldest_serial_ + count > serial_ + 1) {
    held_seq_ = header.before_seq;
    --oldest_serial_;
  }
  return Status::kOk;
}

// Takes in the sector `serial`, and goes on with the cursor's reader from the one before. kNotFound: it is
// not in use.
Status Outbox::scan_sector(std::uint32_t serial, std::uint32_t newest) {
  SectorReader& reader = cursor_.reader;
  const std::uint32_t size = flash_.geometry().sector_size_bytes;
  const Seq end_before = reader.last_seq() + 1;
  SectorHeader header;
  Status status = read_header(flash_, index_of(serial), header);
  if (status == Status::kIo) return status;
  const bool known = status == Status::kOk;
  // One of the way around before, or damaged, but of known extent.
  if (known ? header.serial != serial : serial < newest) return Status::kNotFound;
  if (known) {
    reader.enter(index_of(serial), header.first_seq, header.marks);
  } else {
    reader.go_on(index_of(serial));
  }
  Found found;
  status = reader.find(size, found);
  // A header that verifies only now (cells that were charged halfway do that) is void if the log went on
  // without it.
  const bool is_void = !known || (serial == newest && end_before > header.first_seq);
  if (status == Status::kIo || (status == Status::kNotFound && is_void)) return status;

  serial_ = serial;
  first_seq_ = header.first_seq;
  if (known) {
    marks_ = header.marks;
    acked_seq_ = header.acked_seq;
    stats_.dropped_records = header.dropped_records;
    stats_.bad_sectors = header.bad_sectors;
  } else if (end_before > kFirstSeq) {
    first_seq_ = end_before;
  } else {
    first_seq_ = held_seq_ = found.seq;
  }
  for (; status == Status::kOk; status = reader.find(size, found)) push(marks_, found);
  if (status == Status::kIo) return status;
  next_seq_ = reader.last_seq() + 1 + reader.spent();
  end_ = known ? reader.touched_end() : size;
  return Status::kOk;
}

Status Outbox::mount() {
  mounted_ = marked_ = lap_is_whole_ = false;
  refused_ = passed_ = lap_bad_ = 0;
  stats_ = {};
  epoch_ = {};
  marks_ = {};
  cursor_.valid = false;
  freed_seq_ = held_seq_ = acked_seq_ = first_seq_ = next_seq_ = counted_seq_ = kFirstSeq;
  end_ = flash_.geometry().sector_size_bytes;
  if (record_size_max() == 0) return Status::kInvalidArgument;
  Status status = find_ring();
  const std::uint32_t newest = serial_;
  cursor_.reader.enter(0, kFirstSeq, marks_);
  // From the one before the newest on, up to a place that is not in use: the newest may be void, and there
  // may be one behind it whose header is damaged.
  std::uint32_t serial = newest - (oldest_serial_ < newest ? 1 : 0) + (oldest_serial_ > newest ? 1 : 0);
  while (status == Status::kOk || (status == Status::kNotFound && serial <= newest)) {
    status = scan_sector(serial++, newest);
  }
  if (status != Status::kNotFound) return status;
  if (held_seq_ > first_seq_) {
    held_seq_ = first_seq_;
    oldest_serial_ = serial_;
  }
  freed_seq_ = std::min(acked_seq_, held_seq_);
  acked_seq_ = std::min(acked_seq_, next_seq_);
  assert_sound();
  mounted_ = true;
  return Status::kOk;
}

// --- Writing ---

Status Outbox::write(Kind kind, Bytes payload, Seq seq) {
  const auto kind_and_size =
      static_cast<std::uint16_t>((static_cast<std::uint32_t>(kind) << 12) | payload.size());
  const std::uint32_t size_crc = crc_of_size(kind == Kind::kMark ? 0 : key_of(epoch_), kind_and_size);
  const EntryHeader header{.kind_and_size = kind_and_size,
                           .check = check_of(size_crc),
                           .crc = crc_with_seq(crc32(payload, size_crc), seq)};
  for (int tries = 0; tries < kWritesTried; ++tries) {
    // The first time more behind the place that failed: a run of power cuts may have hit more units than the
    // one that mount() leaves out without a trace. Then in a new sector.
    if (tries == kWritesTried - 1) end_ = flash_.geometry().sector_size_bytes;
    if (!fits(payload.size())) {
      const Status status = open_sector();
      if (status != Status::kOk) return tries > 0 ? Status::kIo : status;
    }
    // Moved on even if this fails: what may have been programmed is not programmed again.
    const std::uint32_t at = end_;
    end_ += extent(flash_.geometry(), payload.size());
    if (program(index_of(serial_), at, bytes_of(header), payload) != Status::kOk) continue;
    next_seq_ = seq + 1;
    return Status::kOk;
  }
  return Status::kIo;
}

// Twice, as all entries behind it hang on it. Where there is no room, the header of the next sector repeats
// it.
Status Outbox::write_mark() {
  // The nonce stays the same until it is written: what failed may have written it, too.
  for (int tries = 0; epoch_.value == 0; ++tries) {
    // A source that yields the same again and again is broken, so there is an end to asking.
    if (tries == 4 || entropy_.fill(bytes_of(epoch_)) != Status::kOk) {
      epoch_ = {};
      return Status::kIo;
    }
    for (const Mark& mark : marks_) {
      if (mark.epoch == epoch_) epoch_ = {};
    }
  }
  const Seq seq = next_seq_;
  const Numbers numbers{epoch_.value, seq.value};
  const Bytes payload = bytes_of(numbers);
  const Status status = write(Kind::kMark, payload, seq);
  if (status != Status::kOk) return status;
  marked_ = true;
  push(marks_, {.kind = Kind::kMark, .seq = seq, .numbers = numbers});
  if (fits(payload.size())) return write(Kind::kMark, payload, seq);
  end_ = flash_.geometry().sector_size_bytes;
  return status;
}

Status Outbox::append(Bytes payload) {
  if (!mounted_) return Status::kState;
  if (payload.empty() || payload.size() > record_size_max()) return Status::kInvalidArgument;
  Status status = marked_ ? Status::kOk : write_mark();
  if (status == Status::kOk && refused_ > 0) {
    const Numbers numbers{refused_, static_cast<std::uint64_t>(refused_reason_)};
    status = write(Kind::kRefused, bytes_of(numbers), next_seq_);
    if (status == Status::kOk) refused_ = 0;
  }
  if (status == Status::kOk) status = write(Kind::kData, payload, next_seq_);
  if (status != Status::kOk) {
    ++refused_;
    ++stats_.refused_records;
    refused_reason_ = status == Status::kFull ? RefusedReason::kFull : RefusedReason::kFlash;
  }
  return status;
}

Status Outbox::ack(Seq next) {
  if (next > next_seq_) return Status::kInvalidArgument;
  acked_seq_ = next;
  return Status::kOk;
}

// --- Reading ---

// The sector that `seq` is in, and where it ends. Precondition: oldest_seq() <= seq < next_seq().
Status Outbox::find_sector(Seq seq, SectorHeader& out, Seq& end) {
  std::uint32_t low = oldest_serial_;
  std::uint32_t high = serial_ + 1;
  end = next_seq_;
  while (high - low > 1) {
    const std::uint32_t middle = low + (high - low) / 2;
    std::uint32_t serial = middle;
    Status status = Status::kCorrupt;
    for (; serial < high && status == Status::kCorrupt; ++serial) status = read_sector(serial, out);
    if (status == Status::kIo) return status;
    if (status == Status::kOk && out.first_seq <= seq) {
      low = serial - 1;
    } else {
      if (status == Status::kOk) end = out.first_seq;
      high = middle;
    }
  }
  const Status status = read_sector(low, out);
  out.serial = low;
  return status;
}

// Sets the cursor to the begin of the sector that `seq` would be in.
Status Outbox::enter_sector(Seq seq, SectorHeader& header) {
  const Status status = find_sector(seq, header, cursor_.end_seq);
  if (status == Status::kIo) return status;
  if (status != Status::kOk) {
    header.first_seq = held_seq_;
    header.marks = {};
  }
  cursor_.valid = true;
  cursor_.serial = header.serial;
  cursor_.seq = header.first_seq;
  cursor_.found.kind = cursor_.ahead.kind = Kind::kLoss;
  cursor_.found.seq = cursor_.seq;
  cursor_.reader.enter(index_of(header.serial), header.first_seq, header.marks);
  return Status::kOk;
}

// Finds the cursor's next entry, which no later one replaces. kNotFound: there is none.
Status Outbox::advance() {
  const std::uint32_t limit = limit_of(cursor_.serial);
  Found& found = cursor_.found;
  Found& ahead = cursor_.ahead;
  found = ahead;
  if (found.kind == Kind::kLoss) {
    const Status status = cursor_.reader.find(limit, found);
    if (status != Status::kOk) return status;
  }
  while (true) {
    ahead.kind = Kind::kLoss;
    const Status status = cursor_.reader.find(limit, ahead);
    if (status == Status::kIo) return status;
    if (ahead.kind == Kind::kLoss || ahead.seq != found.seq) return Status::kOk;
    found = ahead;
  }
}

Status Outbox::lose(Seq first, Seq end, LossReason reason, Entry& out) {
  if (reason == LossReason::kCorrupt && end > counted_seq_) {
    stats_.corrupt_records += end - std::max(first, counted_seq_);
    counted_seq_ = end;
  }
  out.kind = Kind::kLoss;
  out.seq = first;
  out.count = end - first;
  out.reason = reason;
  return Status::kOk;
}

// What stands at `seq`; the cursor is there unless it is a loss.
Status Outbox::look(Seq seq, Entry& out) {
  if (seq >= next_seq_) return Status::kNotFound;
  if (seq < held_seq_) {
    const bool is_freed = seq < freed_seq_;
    return lose(seq, is_freed ? freed_seq_ : held_seq_,
                is_freed ? LossReason::kNotHeld : LossReason::kDroppedFull, out);
  }
  if (cursor_.serial == serial_) cursor_.end_seq = next_seq_;
  const bool here = cursor_.valid && seq >= cursor_.seq && seq < cursor_.end_seq;
  SectorHeader header;
  Status status = here ? Status::kOk : enter_sector(seq, header);
  const Found& found = cursor_.found;
  while (status == Status::kOk && (found.kind == Kind::kLoss || found.seq < seq)) {
    if (found.kind != Kind::kLoss) cursor_.seq = found.seq + 1;
    status = advance();
  }
  if (status == Status::kIo) {
    cursor_.valid = false;
    return status;
  }
  Seq next = status == Status::kOk ? std::min(found.seq, cursor_.end_seq) : cursor_.end_seq;
  if (next == seq && found.kind == Kind::kMark && !is_named(marks_, found)) next = seq + 1;
  if (seq < next) {
    // A mark that cannot be read is served if it is known.
    for (const Mark& mark : marks_) {
      if (mark.first_seq < seq || mark.first_seq >= next) continue;
      next = mark.first_seq;
      out.epoch = mark.epoch;
    }
    if (seq < next) return lose(seq, next, LossReason::kCorrupt, out);
    out.kind = Kind::kMark;
    return Status::kOk;
  }
  out.kind = found.kind;
  out.size_bytes = found.size_bytes;
  if (found.kind == Kind::kMark) out.epoch = {found.numbers[0]};
  if (found.kind == Kind::kRefused) {
    out.count = found.numbers[0];
    out.refused_reason = static_cast<RefusedReason>(found.numbers[1]);
  }
  return Status::kOk;
}

std::expected<Entry, Status> Outbox::serve(Seq seq, MutableBytes* out) {
  std::expected<Entry, Status> entry;
  entry->seq = seq;
  Status status = look(seq, *entry);
  if (status == Status::kOk && entry->kind == Kind::kData && out != nullptr) {
    status = read_payload(*out, *entry);
  }
  if (status != Status::kOk) entry = std::unexpected(status);
  return entry;
}

// The payload of the entry under the cursor. It was checked when the cursor came here, and is again: these
// bytes are the ones that are handed out.
Status Outbox::read_payload(MutableBytes out, Entry& entry) {
  const Found& found = cursor_.found;
  if (out.size() < found.size_bytes) return Status::kInvalidArgument;
  const auto payload = out.first(found.size_bytes);
  const Status status = read_flash(flash_, index_of(cursor_.serial),
                                   found.offset + static_cast<std::uint32_t>(sizeof(EntryHeader)), payload);
  if (status != Status::kOk) return status;
  if (crc_with_seq(crc32(payload, found.size_crc), found.seq) == found.crc) return Status::kOk;
  return lose(found.seq, found.seq + 1, LossReason::kCorrupt, entry);
}

std::expected<std::size_t, Status> Outbox::marks_before(Seq before, std::span<Mark> out) {
  before = std::min(before, next_seq_);
  SectorHeader header{.marks = marks_};
  if (held_seq_ < next_seq_) {
    // The sector that `before` is in: its header names what is unreadable at the end of the one in front.
    Status status = enter_sector(std::max(held_seq_, before), header);
    const Found& found = cursor_.found;
    for (; status == Status::kOk && found.seq < before; status = advance()) push(header.marks, found);
    cursor_.valid = false;
    if (status == Status::kIo) return std::unexpected(status);
  }
  std::size_t count = 0;
  for (const Mark& mark : header.marks) {
    if (mark.epoch.value == 0 || mark.first_seq >= before || count == out.size()) continue;
    out[count++] = mark;
    before = mark.first_seq;  // descending, also where damage of a header passes its check
  }
  return count;
}

}  // namespace godwit::outbox
