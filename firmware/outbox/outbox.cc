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

#include "proto/base/crc32.h"

namespace godwit::outbox {
namespace {

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
  const Mark* const mark = newest_below(marks, entry.seq + 1);
  if (mark == nullptr) return marks.back().epoch.value != 0;  // known for longer than they are kept here
  return mark->first_seq == entry.seq && mark->epoch.value == entry.numbers[0];
}

}  // namespace

Outbox::Outbox(ports::Flash& flash, ports::Entropy& entropy, FullPolicy policy)
    : OutboxPorts{Medium(flash), entropy, policy}, OutboxState{} {
  clear();
}

// As of a flash without a log, not mounted.
void Outbox::clear() {
  static_cast<OutboxState&>(*this) = {};
  freed_seq_ = held_seq_ = next_seq_ = counted_seq_ = kFirstSeq;
  log_.magic = kMagic;
  log_.version = kVersion;
  log_.version_check = static_cast<std::uint16_t>(~kVersion);
  log_.geometry = geometry_check(medium_.geometry());
  log_.acked_seq = log_.first_seq = kFirstSeq;
  log_.serial = sector_count() - 1;  // so that sector 0 is opened first
  oldest_serial_ = sector_count();
  end_ = sector_size();
}

std::size_t Outbox::record_size_max() const {
  const std::uint32_t used = medium_.entries_begin() + sizeof(EntryHeader);
  return sector_size() < used + sizeof(Numbers) ? 0 : std::min(sector_size() - used, kPayloadSizeMax);
}

// --- Sectors ---

// What is known about the sector `serial`: by its header, or by the one behind it, or because it is the
// active one. False: nothing.
bool Outbox::read_sector(std::uint32_t serial, SectorHeader& out) {
  if (medium_.read_header(index_of(serial), out) && out.serial == serial) return true;
  if (serial == log_.serial) {
    out = log_;
    return true;
  }
  if (!medium_.read_header(index_of(serial + 1), out) || out.serial != serial + 1) return false;
  out.first_seq = out.before_seq;
  return true;
}

// Makes `serial` the active sector. kFull: not without giving up what is not acked, by policy; kIo: its place
// failed. Nothing has changed then.
Status Outbox::open_place(std::uint32_t serial) {
  SectorHeader header;
  std::uint32_t oldest = oldest_serial_;
  Seq held = held_seq_;
  if (oldest + sector_count() <= serial) {  // the place is in use: what is in it is given up
    oldest = serial - sector_count() + 1;
    while (oldest <= log_.serial && !read_sector(oldest, header)) ++oldest;
    if (medium_.silent) return Status::kIo;
    held = oldest <= log_.serial ? earlier(later(header.first_seq, held), next_seq_) : next_seq_;
    // Were the only place that can be written erased, and the power cut there, nothing would say what was
    // lost.
    const bool refuses =
        policy_ == FullPolicy::kRefuse || (oldest > log_.serial && data_end_ > log_.acked_seq);
    if (held > log_.acked_seq && refuses) return Status::kFull;
  }
  header = log_;
  const Seq kept_so_far = later(log_.acked_seq, held_seq_);
  if (held > kept_so_far) header.dropped_records += held - kept_so_far;
  header.serial = serial;
  header.bad_sectors = std::max(log_.bad_sectors, lap_bad_ + passed_);
  header.first_seq = next_seq_;
  header.before_seq = serial == log_.serial + 1 ? log_.first_seq : next_seq_;
  header.acked_seq = later(log_.acked_seq, freed_seq_);
  header.crc = header.checksum();
  const Bytes whole = bytes_of(header);
  if (!medium_.erase(index_of(serial)) ||
      !medium_.program(index_of(serial), 0, whole.first(8), whole.subspan(8)))
    return Status::kIo;
  freed_seq_ = later(freed_seq_, earlier(log_.acked_seq, held));
  held_seq_ = held;
  oldest_serial_ = oldest;
  log_ = header;
  end_ = medium_.entries_begin();
  cursor_.valid = false;
  return Status::kOk;
}

// Opens the next place that can be written. One that cannot is left out of the ring, for this way around.
Status Outbox::open_sector() {
  // Whatever fails from here on, nothing is added to the present sector any more: the header of the new one
  // may have been written, and it says with which seq the present one ends.
  end_ = sector_size();
  for (std::uint32_t tries = 2 * std::min(sector_count(), kPlacesTried); tries > 0; --tries) {
    const std::uint32_t from = log_.serial;
    const Status status = open_place(from + 1 + passed_);
    if (status == Status::kFull) {
      if (passed_ + 1 == sector_count()) passed_ = 0;  // the others may take it the next time
      return status;
    }
    if (status == Status::kOk) {
      lap_bad_ += passed_;
      passed_ = 0;
      if (index_of(log_.serial) < index_of(from)) {
        if (lap_is_whole_) log_.bad_sectors = lap_bad_;
        lap_bad_ = 0;
        lap_is_whole_ = true;
      }
      return status;
    }
    // Nothing is given up for a flash that does not answer at all.
    std::uint8_t byte = 0;
    medium_.read(index_of(log_.serial), 0, {&byte, 1});
    if (medium_.silent) break;
    if (tries % 2 == 1) passed_ = (passed_ + 1) % sector_count();
  }
  return Status::kIo;
}

// --- Recovery ---

// Finds the newest sector with a header and the oldest that belongs to it. Serials count places, so that a
// place has one serial only that is in the ring. None: the newest serial is 0.
void Outbox::find_ring() {
  const std::uint32_t count = sector_count();
  bool behind = false;      // the oldest stands behind the newest
  std::uint32_t first = 0;  // the first one of the newest's way around the ring
  std::uint32_t newest = 0;
  std::uint32_t oldest = 0;
  SectorHeader header;
  for (std::uint32_t index = 0; index < count; ++index) {
    if (!medium_.read_header(index, header)) continue;
    if (header.serial > newest) {
      if (header.serial / count != newest / count) first = header.serial;
      newest = header.serial;
      oldest = first;
      behind = false;
    } else if (!behind && header.serial + count > newest) {
      oldest = header.serial;
      behind = true;
    }
  }
  if (newest == 0) return;
  log_.serial = newest;
  oldest_serial_ = oldest;
  medium_.silent |= !medium_.read_header(index_of(oldest), header);
  held_seq_ = header.first_seq;
  // The header of the one before may be damaged: this one knows of it.
  if (header.before_seq < held_seq_ && oldest + count > newest + 1) {
    held_seq_ = header.before_seq;
    --oldest_serial_;
  }
}

// Takes in the sector `serial` if it is in use, and goes on with the cursor's reader from the one before.
void Outbox::scan_sector(std::uint32_t serial, std::uint32_t newest) {
  SectorReader& reader = cursor_.reader;
  const Seq end_before = reader.last_seq() + 1;
  SectorHeader header;
  const bool known = medium_.read_header(index_of(serial), header);
  // One of the way around before, or damaged, but of known extent.
  if (known ? header.serial != serial : serial < newest) return;
  if (known) {
    reader.enter(medium_, index_of(serial), header.first_seq, header.marks);
  } else {
    reader.go_on(medium_, index_of(serial));
  }
  Found found;
  bool more = reader.find(medium_, sector_size(), found);
  // A header that verifies only now (cells that were charged halfway do that) is void if the log went on
  // without it.
  if (!more && (!known || (serial == newest && end_before > header.first_seq))) {
    // A log that begins anew where something was does not say that it has all since the first.
    if (end_before == kFirstSeq && reader.spent() > 0) next_seq_ = held_seq_ = log_.first_seq = kFirstSeq + 1;
    return;
  }

  if (known) {
    log_ = header;
  } else {
    log_.serial = serial;
    log_.first_seq = end_before;
    if (end_before == kFirstSeq) log_.first_seq = held_seq_ = found.seq;
  }
  for (; more; more = reader.find(medium_, sector_size(), found)) push(log_.marks, found);
  next_seq_ = reader.last_seq() + 1 + reader.spent();
  end_ = known ? reader.touched_end(medium_) : sector_size();
}

Status Outbox::mount() {
  clear();
  if (record_size_max() == 0) return Status::kInvalidArgument;
  medium_.silent = medium_.foreign = false;
  find_ring();
  const std::uint32_t newest = log_.serial;
  if (newest < sector_count() && medium_.foreign && !medium_.silent) return Status::kUnsupported;
  cursor_.reader.enter(medium_, 0, kFirstSeq, log_.marks);
  // From the one before the newest on: the newest may be void, and there may be some behind it whose headers
  // are damaged, between places that cannot be read at all, or were passed over.
  const std::uint32_t end = std::max(oldest_serial_, newest) + sector_count();
  std::uint32_t serial = std::max(oldest_serial_, newest - 1);
  for (; serial < end && serial <= log_.serial + kPlacesTried; ++serial) scan_sector(serial, newest);
  if (medium_.silent) {
    clear();
    return Status::kIo;
  }
  if (held_seq_ > log_.first_seq) {
    held_seq_ = log_.first_seq;
    oldest_serial_ = log_.serial;
  }
  freed_seq_ = earlier(log_.acked_seq, held_seq_);
  log_.acked_seq = earlier(log_.acked_seq, next_seq_);
  data_end_ = next_seq_;
  mounted_ = true;
  return Status::kOk;
}

// --- Writing ---

Status Outbox::write(Kind kind, Bytes payload, Seq seq) {
  EntryHeader header;
  header.kind_and_size =
      static_cast<std::uint16_t>((static_cast<std::uint32_t>(kind) << 12) | payload.size());
  const std::uint32_t size_crc = crc_of_size(kind == Kind::kMark ? 0 : key_of(epoch_), header.kind_and_size);
  header.check = check_of(size_crc);
  header.crc = crc_with_seq(crc32(payload, size_crc), seq);
  for (int tries = 0; tries < kWritesTried; ++tries) {
    // The first time more behind the place that failed: a run of power cuts may have hit more units than the
    // one that mount() leaves out without a trace. Then in a new sector.
    if (tries == kWritesTried - 1) end_ = sector_size();
    if (!fits(payload.size())) {
      const Status status = open_sector();
      if (status != Status::kOk) return tries > 0 ? Status::kIo : status;
    }
    // Moved on even if this fails: what may have been programmed is not programmed again.
    const std::uint32_t at = end_;
    end_ += extent(medium_.geometry(), payload.size());
    if (!medium_.program(index_of(log_.serial), at, bytes_of(header), payload)) continue;
    next_seq_ = seq + 1;
    return Status::kOk;
  }
  return Status::kIo;
}

// Twice, as all entries behind it hang on it. Where there is no room, the header of the next sector repeats
// it.
Status Outbox::write_mark() {
  // The nonce stays the same until it is written: what failed may have written it, too. A source that yields
  // the same again and again is broken, so there is an end to asking.
  for (int tries = 4; epoch_.value == 0; --tries) {
    if (tries == 0 || entropy_.fill(bytes_of(epoch_)) != Status::kOk) {
      epoch_ = {};
      return Status::kIo;
    }
    for (const Mark& mark : log_.marks) {
      if (mark.epoch == epoch_) epoch_ = {};
    }
  }
  Found mark{.kind = Kind::kMark, .seq = next_seq_};
  mark.numbers = {epoch_.value, mark.seq.value};
  const Bytes payload = bytes_of(mark.numbers);
  const Status status = write(Kind::kMark, payload, mark.seq);
  if (status != Status::kOk) return status;
  marked_ = true;
  push(log_.marks, mark);
  if (fits(payload.size())) return write(Kind::kMark, payload, mark.seq);
  end_ = sector_size();
  return status;
}

Status Outbox::append(Bytes payload) {
  if (!mounted_) return Status::kState;
  if (payload.empty() || payload.size() > record_size_max()) return Status::kInvalidArgument;
  medium_.silent = false;
  Status status = marked_ ? Status::kOk : write_mark();
  if (status == Status::kOk && refused_ > 0) {
    const Numbers numbers{refused_, static_cast<std::uint64_t>(refused_reason_)};
    status = write(Kind::kRefused, bytes_of(numbers), next_seq_);
    if (status == Status::kOk) refused_ = 0;
  }
  if (status == Status::kOk) status = write(Kind::kData, payload, next_seq_);
  if (status == Status::kOk) data_end_ = next_seq_;
  if (status != Status::kOk) {
    ++refused_;
    ++refused_records_;
    refused_reason_ = status == Status::kFull ? RefusedReason::kFull : RefusedReason::kFlash;
  }
  return status;
}

Status Outbox::ack(Seq next) {
  if (next > next_seq_) return Status::kInvalidArgument;
  log_.acked_seq = next;
  return Status::kOk;
}

// --- Reading ---

// Sets the cursor to the begin of the sector that `seq` would be in. Precondition: oldest_seq() <= seq.
void Outbox::enter_sector(Seq seq, SectorHeader& header) {
  std::uint32_t low = oldest_serial_;
  std::uint32_t high = log_.serial + 1;
  cursor_.end_seq = next_seq_;
  while (high - low > 1) {
    const std::uint32_t middle = low + (high - low) / 2;
    std::uint32_t serial = middle;
    bool known = false;
    while (!known && serial < high) known = read_sector(serial++, header);
    if (known && header.first_seq <= seq) {
      low = serial - 1;
    } else {
      if (known) cursor_.end_seq = header.first_seq;
      high = middle;
    }
  }
  if (!read_sector(low, header)) {
    header.first_seq = held_seq_;
    header.marks = {};
  }
  cursor_.valid = true;
  cursor_.serial = low;
  cursor_.found.kind = cursor_.ahead.kind = Kind::kLoss;
  cursor_.found.seq = cursor_.seq = header.first_seq;
  cursor_.reader.enter(medium_, index_of(low), header.first_seq, header.marks);
}

// Finds the cursor's next entry, which no later one replaces. False: there is none.
bool Outbox::advance() {
  const std::uint32_t limit = cursor_.serial == log_.serial ? end_ : sector_size();
  Found& found = cursor_.found;
  Found& ahead = cursor_.ahead;
  found = ahead;
  if (found.kind == Kind::kLoss && !cursor_.reader.find(medium_, limit, found)) return false;
  while (true) {
    ahead.kind = Kind::kLoss;
    if (!cursor_.reader.find(medium_, limit, ahead) || ahead.seq != found.seq) return true;
    found = ahead;
  }
}

void Outbox::lose(Seq end, LossReason reason, Entry& entry) {
  entry.kind = Kind::kLoss;
  entry.count = end - entry.seq;
  entry.reason = reason;
}

// What stands at `out.seq`, below next_seq(); the cursor is there unless it is a loss.
void Outbox::look(Entry& out) {
  const Seq seq = out.seq;
  if (seq < held_seq_) {
    const bool freed = seq < freed_seq_;
    return lose(freed ? freed_seq_ : held_seq_, freed ? LossReason::kNotHeld : LossReason::kDroppedFull, out);
  }
  if (cursor_.serial == log_.serial) cursor_.end_seq = next_seq_;
  if (!cursor_.valid || seq < cursor_.seq || seq >= cursor_.end_seq) {
    SectorHeader header;
    enter_sector(seq, header);
  }
  const Found& found = cursor_.found;
  bool more = true;
  while (more && (found.kind == Kind::kLoss || found.seq < seq)) {
    if (found.kind != Kind::kLoss) cursor_.seq = found.seq + 1;
    more = advance();
  }
  Seq next = more ? earlier(found.seq, cursor_.end_seq) : cursor_.end_seq;
  if (next == seq && found.kind == Kind::kMark) {
    SectorHeader behind = log_;
    if (newest_below(log_.marks, seq + 1) == nullptr) read_marks_behind(cursor_.serial, behind);
    if (!is_named(behind.marks, found)) next = seq + 1;
  }
  if (seq < next) {
    // A mark that cannot be read is served if it is known.
    for (const Mark* mark = newest_below(log_.marks, next); mark != nullptr && mark->first_seq >= seq;
         mark = newest_below(log_.marks, next)) {
      next = mark->first_seq;
      out.epoch = mark->epoch;
    }
    if (seq < next) return lose(next, LossReason::kCorrupt, out);
    out.kind = Kind::kMark;
    return;
  }
  out.kind = found.kind;
  out.size_bytes = found.size_bytes;
  if (found.kind == Kind::kMark) out.epoch = {found.numbers[0]};
  if (found.kind == Kind::kRefused) {
    out.count = found.numbers[0];
    out.refused_reason = static_cast<RefusedReason>(found.numbers[1]);
  }
}

std::expected<Entry, Status> Outbox::serve(Seq seq, MutableBytes* out) {
  std::expected<Entry, Status> entry;
  Status status = Status::kNotFound;
  if (seq < next_seq_) {
    medium_.silent = false;
    entry->seq = seq;
    look(*entry);
    status = entry->kind == Kind::kData && out != nullptr ? read_payload(*out, *entry) : Status::kOk;
    const Seq end = seq + entry->count;
    if (medium_.silent) {
      cursor_.valid = false;
      status = Status::kIo;
    } else if (entry->kind == Kind::kLoss && entry->reason == LossReason::kCorrupt && end > counted_seq_) {
      corrupt_records_ += end - later(seq, counted_seq_);
      counted_seq_ = end;
    }
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
  medium_.read(index_of(cursor_.serial), found.offset + static_cast<std::uint32_t>(sizeof(EntryHeader)),
               payload);
  if (crc_with_seq(crc32(payload, found.size_crc), found.seq) != found.crc)
    lose(found.seq + 1, LossReason::kCorrupt, entry);
  return Status::kOk;
}

// The newest marks as they were known when the sector behind `serial` was opened. What these do not name, and
// would, is none.
void Outbox::read_marks_behind(std::uint32_t serial, SectorHeader& header) {
  for (++serial; serial <= log_.serial; ++serial) {
    if (medium_.read_header(index_of(serial), header) && header.serial == serial) return;
  }
  header = log_;
}

std::expected<std::size_t, Status> Outbox::marks_before(Seq before, std::span<Mark> out) {
  before = earlier(before, next_seq_);
  medium_.silent = false;
  SectorHeader header = log_;
  // Older ones than are kept: the header behind says more than the sector itself, as far as it goes.
  if (newest_below(log_.marks, before) == nullptr && held_seq_ < next_seq_) {
    enter_sector(later(held_seq_, before), header);
    SectorHeader behind;
    read_marks_behind(cursor_.serial, behind);
    if (newest_below(behind.marks, before) != nullptr) {
      header = behind;
    } else {
      do {
        push(header.marks, cursor_.found);
      } while (cursor_.found.seq < before && advance() && cursor_.found.seq < before);
    }
    cursor_.valid = false;
    if (medium_.silent) return std::unexpected(Status::kIo);
  }
  std::size_t count = 0;
  for (const Mark* mark = newest_below(header.marks, before); mark != nullptr && count < out.size();
       mark = newest_below(header.marks, before)) {
    out[count++] = *mark;
    before = mark->first_seq;
  }
  return count;
}

}  // namespace godwit::outbox
