// SPDX-License-Identifier: Apache-2.0
// The outbox: a log of records in flash that survives any power cut. append() returning kOk is the moment
// from which Godwit's promise holds for a record.
//
// It is not a file system and knows nothing of what a record means. At most 512 bytes of RAM, no allocation;
// calls do flash I/O, are for the main loop only, and need 1 KB of stack (up to 512 bytes of it for one
// program unit). Theory of operation: outbox.cc. Format: docs/reference/flash.md.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <expected>

#include "firmware/ports/entropy.h"
#include "firmware/ports/flash.h"
#include "proto/base/bytes.h"
#include "proto/base/ids.h"
#include "proto/base/status.h"

namespace godwit::outbox {

enum class FullPolicy : std::uint8_t {
  kDropOldest,  // make room by giving up the oldest sector; counted, and reported as a loss
  kRefuse,      // append() answers kFull; counted. One sector is kept free, for begin_epoch()
};

enum class LossReason : std::uint8_t { kDroppedFull, kCorrupt, kNotHeld };

// What stands at a place of the log: a record, or the fact that some are lost.
struct Entry {
  enum class Kind : std::uint8_t { kRecord, kLoss };
  Kind kind = Kind::kRecord;
  Seq seq;                                       // of the record, or the first that is lost
  std::uint64_t count = 1;                       // records that this entry stands for
  std::size_t size_bytes = 0;                    // kRecord: bytes of payload
  LossReason reason = LossReason::kDroppedFull;  // kLoss
};

struct Stats {
  std::uint64_t dropped_records = 0;  // since the log was formatted, kept in flash
  std::uint64_t refused_records = 0;  // since mount(): appends that found no room, or whose flash failed
  std::uint64_t corrupt_records = 0;  // found since mount()
};

class Outbox {
 public:
  // `flash` and `entropy` must outlive this object.
  Outbox(ports::Flash& flash, ports::Entropy& entropy, FullPolicy policy = FullPolicy::kDropOldest);

  // Recovers the log, or formats the region where it holds none; call once, before anything else. What stands
  // behind the last record that verifies (an append that was cut off, or damage) is reported as lost. Its
  // time is bounded by one header read per sector plus one sector. kUnsupported: a newer format, or the log
  // of another geometry, left untouched. kInvalidArgument: a geometry that cannot hold a log. kIo: the flash
  // failed, try again or replace it.
  Status mount();

  // Makes `payload` durable as record next_seq(). Copied. kFull: refused by policy. kInvalidArgument: empty
  // or longer than record_size_max(). kIo: not recorded. After anything but kOk, next_seq() is unchanged.
  Status append(Bytes payload);

  // What stands at `seq`, without its bytes. Cheap in ascending order. kNotFound: seq >= next_seq(), nothing
  // there yet. An entry of kind kLoss may begin below oldest_seq(). kIo: the flash failed.
  std::expected<Entry, Status> peek(Seq seq);
  // Like peek(), and for a record copies its payload to the front of `out` once its CRC has been checked; a
  // record that fails comes as kLoss. kInvalidArgument: `out` is smaller than the record; nothing is lost.
  std::expected<Entry, Status> read(Seq seq, MutableBytes out);

  // Everything below `next` is safe elsewhere and may be reclaimed. Lower than what was acked before: no
  // effect. kInvalidArgument: above next_seq() (see begin_epoch()).
  Status ack(Seq next);

  // Gives the records that are held, and all that follow, a new epoch; their sequence numbers stay. For a
  // gateway that expects records which this log never made: its history and ours are not the same. Durable on
  // kOk. Takes a new sector, so a full log drops its oldest by policy. kFull: the policy is to refuse, and
  // the sector kept free was used by a begin_epoch() before. After anything but kOk the epoch is unchanged.
  Status begin_epoch();

  [[nodiscard]] Epoch epoch() const { return epoch_; }
  [[nodiscard]] Seq oldest_seq() const;  // = next_seq() when nothing is held
  [[nodiscard]] Seq next_seq() const { return next_seq_; }
  [[nodiscard]] std::size_t record_size_max() const;
  [[nodiscard]] const Stats& stats() const { return stats_; }

 private:
  // The header of a sector, as it stands in flash (docs/reference/flash.md). Copied as it is, so every target
  // has to be little-endian.
  struct Sector {
    std::uint32_t magic = 0;
    std::uint8_t version = 0;
    std::uint8_t version_check = 0;
    std::uint8_t unit_log2 = 0;
    std::uint8_t zero = 0;
    std::uint32_t size_bytes = 0;
    std::uint32_t serial = 0;  // counts the sectors opened since the log was formatted
    Epoch epoch;               // of the log when the sector was opened; keys the checks of its records
    Seq first_seq;             // of its first record
    Seq acked_seq;             // the rest: the state of the log when the sector was opened
    std::uint64_t dropped_records = 0;
    std::uint32_t held_records = 0;  // in the sectors before
    std::uint32_t crc = 0;           // of all before it

    [[nodiscard]] Seq oldest_seq() const { return {first_seq.value - held_records}; }
    MutableBytes bytes() { return bytes_of(*this); }
    MutableBytes checked() { return bytes().first(sizeof *this - sizeof crc); }
    bool repair();
  };
  static_assert(sizeof(Sector) == 56);
  // What stands in front of a record in flash.
  struct RecordHeader {
    std::uint16_t size_bytes = 0;  // of the payload
    std::uint16_t size_check = 0;
    std::uint32_t crc = 0;
  };
  // Where a record stands in its sector. Size 0: there is none.
  struct Record {
    Seq seq;
    std::uint32_t offset = 0;
    std::uint32_t size_bytes = 0;
  };
  // The place of the last peek(): `record` is the first one in the sector at or above `seq`.
  struct Cursor {
    bool valid = false;
    Sector sector;
    Seq end_seq;  // the first one that is not in the sector
    Seq seq;
    std::uint32_t offset = 0;  // where `record` is looked for
    Record record;
    Record ahead;  // the one after it, verified already
  };

  [[nodiscard]] std::uint32_t index_of(std::uint32_t serial) const;
  [[nodiscard]] std::uint32_t oldest_serial() const { return active_.serial - held_sectors_ + 1; }
  [[nodiscard]] std::uint64_t address(std::uint32_t serial, std::uint32_t offset) const;
  [[nodiscard]] std::uint32_t padded(std::size_t size) const;
  [[nodiscard]] std::uint32_t extent(std::size_t payload_size) const;
  [[nodiscard]] std::uint32_t end_of(const Record& record) const {
    return record.offset + extent(record.size_bytes);
  }
  [[nodiscard]] bool fits(std::uint32_t offset, std::size_t payload_size) const;

  // What they leave in `out` counts only if they return kOk; a Record stays as it was otherwise.
  Status read_flash(std::uint32_t serial, std::uint32_t offset, MutableBytes out);
  Status read_sector(std::uint32_t index, Sector& out);
  Status next_sector(std::uint32_t serial, Sector& out);
  Status find_ring();
  Status scan_active();
  Status find_used(std::uint32_t serial, std::uint32_t at, std::uint32_t limit, std::uint32_t& end);
  Status skip_used_tail();
  Status format();
  Status make_room(std::uint32_t spare_sectors);
  Status open_sector(Epoch epoch, std::uint32_t spare_sectors);
  Status write_record(Bytes payload);
  Status program(std::uint64_t at, Bytes head, Bytes payload);
  Status draw_epoch(Epoch& out);

  [[nodiscard]] bool is_plausible(const Sector& sector, std::uint32_t offset,
                                  const RecordHeader& header) const;
  Status verify(const Sector& sector, std::uint32_t offset, const RecordHeader& header, Seq least,
                std::uint32_t most, Record& out);
  Status find(const Sector& sector, std::uint32_t offset, Seq least, Record& out);
  Status enter_sector(Seq seq);
  Status advance();
  Status look(Seq seq, Entry& out);
  Status read_record(MutableBytes out, Entry& entry);
  void lose(Seq first, Seq end, LossReason reason, Entry& out);

  ports::Flash& flash_;
  ports::Entropy& entropy_;
  FullPolicy policy_;
  Stats stats_;
  Epoch epoch_;
  Seq acked_seq_ = kFirstSeq;
  Seq held_seq_ = kFirstSeq;  // the first one of the oldest sector
  Seq next_seq_ = kFirstSeq;
  Seq presumed_seq_ = kFirstSeq;  // up to presumed_end_: counted as dropped by mount(), may have been acked
  Seq presumed_end_ = kFirstSeq;
  Seq counted_seq_ = kFirstSeq;  // damage below it is in stats_
  Sector active_;
  std::uint32_t active_index_ = 0;
  std::uint32_t held_sectors_ = 0;  // the active one included
  std::uint32_t end_ = 0;           // where the next record goes in the active sector
  Cursor cursor_;
};
static_assert(sizeof(Outbox) <= 512 && std::endian::native == std::endian::little);

}  // namespace godwit::outbox
