// SPDX-License-Identifier: Apache-2.0
// The outbox: a log of entries in flash that survives any power cut. append() returning kOk is the moment
// from which Godwit's promise holds for a record.
//
// It is not a file system and knows nothing of what a record means. At most 512 bytes of RAM, no allocation;
// calls do flash I/O, are for the main loop only, and need 1.5 KB of stack (up to 512 bytes of it for one
// program unit). Theory of operation: outbox.cc. Format: docs/reference/flash.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>

#include "firmware/outbox/format.h"
#include "firmware/outbox/sector_reader.h"
#include "firmware/ports/entropy.h"
#include "firmware/ports/flash.h"
#include "proto/base/bytes.h"
#include "proto/base/ids.h"
#include "proto/base/status.h"

namespace godwit::outbox {

enum class FullPolicy : std::uint8_t {
  // Make room by giving up the oldest sector; counted, and reported as a loss. Where one sector alone can be
  // written, append() answers kFull until all is acked.
  kDropOldest,
  kRefuse,  // append() answers kFull; counted, and reported in front of the next record
};

enum class LossReason : std::uint8_t {
  kDroppedFull,  // given up for newer ones before it was acked
  kCorrupt,      // damaged, or cut off
  kNotHeld,      // acked, and given up since
};

enum class RefusedReason : std::uint8_t {
  kFull,   // no room, by policy
  kFlash,  // the flash failed, or the source of entropy when a mark was due
};

// What stands at a place of the log. All but a loss take one seq.
struct Entry {
  using Kind = outbox::Kind;
  Kind kind = Kind::kData;
  Seq seq;                                       // of the entry, or the first that is lost
  std::uint64_t count = 1;                       // kLoss: seqs; kRefused: records refused before the next one
  std::size_t size_bytes = 0;                    // kData: bytes of payload
  LossReason reason = LossReason::kDroppedFull;  // kLoss
  RefusedReason refused_reason = RefusedReason::kFull;  // kRefused: of the last of them
  Epoch epoch;                                          // kMark: of the entries from here on
};

struct Stats {
  std::uint64_t dropped_records = 0;  // entries, since the log was formatted, kept in flash
  std::uint64_t refused_records = 0;  // since mount(): appends that found no room, or whose flash failed
  std::uint64_t corrupt_records = 0;  // entries, found since mount()
  std::uint32_t bad_sectors = 0;      // left out on the last way around the ring
};

// The members of the outbox, internal: the first ones, which stay, and all that mount() sets, so that it is
// cleared at once. Small ones first: the nearer, the shorter the code.
struct OutboxPorts {
  Medium medium_;
  ports::Entropy& entropy_;
  FullPolicy policy_ = FullPolicy::kDropOldest;
};
struct OutboxState {
  // The place of the last peek().
  struct Cursor {
    bool valid = false;
    std::uint32_t serial = 0;
    Seq end_seq;  // the first one that is not in the sector
    Seq seq;      // `found` is the first entry at or above it
    Found found;
    Found ahead;  // the one behind it, which may replace it
    SectorReader reader;
  };

  RefusedReason refused_reason_ = RefusedReason::kFull;
  bool mounted_ = false;
  bool marked_ = false;              // this mount's mark is written
  bool lap_is_whole_ = false;        // the present way around the ring began since mount()
  std::uint32_t oldest_serial_ = 0;  // of the ring
  std::uint32_t end_ = 0;            // where the next entry goes in the active sector
  std::uint32_t passed_ = 0;         // places behind the active sector that failed to open
  std::uint32_t lap_bad_ = 0;        // sectors left out on the present way around the ring
  std::uint32_t refused_ = 0;        // since the last success
  std::uint64_t refused_records_ = 0;
  std::uint64_t corrupt_records_ = 0;
  Epoch epoch_;  // of this mount; 0: not drawn yet
  // freed <= held <= log_.first_seq <= next, and log_.acked_seq <= next.
  Seq freed_seq_;  // below it is what was acked when it was given up
  Seq held_seq_;   // the first one of the oldest sector
  Seq next_seq_;
  Seq data_end_;      // behind the last record of this mount, or what may be one
  Seq counted_seq_;   // damage below it is in corrupt_records_
  SectorHeader log_;  // serial and first seq of the active sector, and the rest as it stands now
  Cursor cursor_;
};

class Outbox : private OutboxPorts, private OutboxState {
 public:
  static constexpr std::size_t kMarksKept = outbox::kMarksKept;

  // `flash` and `entropy` must outlive this object.
  Outbox(ports::Flash& flash, ports::Entropy& entropy, FullPolicy policy = FullPolicy::kDropOldest);

  // Finds the log, which is empty where there is none, and writes nothing; call it before anything else, and
  // again after an error. What stands behind the last entry that verifies (an append that was cut off, or
  // damage) is reported as lost. Its time is bounded by one header read per sector plus three sectors;
  // three more where nothing was written yet, or headers are damaged. Where nothing verifies, and yet
  // something stands, the log begins at 2. kUnsupported: nothing but a log of a newer format or of another
  // geometry, left untouched. kInvalidArgument: a geometry that cannot hold a log. kIo: the flash does not
  // answer. After an error the log is empty, and append() refuses.
  Status mount();

  // Makes `payload` durable as the newest entry, copied; what is due is written in front of it: this mount's
  // mark, and how many records were refused since the last success. kFull: refused by policy.
  // kInvalidArgument: empty or longer than record_size_max(). kIo: it may or may not be there. kState: not
  // mounted. After anything but kOk, next_seq() has moved over what was due at most.
  Status append(Bytes payload);

  // How many records were refused since the last success; what a reset forgets.
  [[nodiscard]] std::uint32_t refused_untold() const { return refused_; }
  // After mount(): so many more, which the flash did not take before a reset.
  void add_refused(std::uint32_t count) {
    refused_ += count;
    refused_reason_ = RefusedReason::kFlash;
  }

  // What stands at `seq`, without its bytes. Cheap in ascending order. kNotFound: seq >= next_seq(), nothing
  // there yet. A loss ends where something else begins, and may begin below oldest_seq(). kIo: the flash does
  // not answer.
  std::expected<Entry, Status> peek(Seq seq) { return serve(seq, nullptr); }
  // Like peek(), and for data copies the payload to the front of `out` once its CRC has been checked; a
  // record that fails comes as kLoss. kInvalidArgument: `out` is smaller than the record; nothing is lost.
  std::expected<Entry, Status> read(Seq seq, MutableBytes out) { return serve(seq, &out); }

  // Everything below `next` is safe elsewhere and may be reclaimed; also less than what was said before.
  // What the ring holds is served on all the same. kInvalidArgument: above next_seq().
  Status ack(Seq next);

  // The newest marks with a first seq below `before`, newest first, and how many; 0: there are none. There may
  // be more below the last of them. They are known for longer than the entries are held. Reads one sector at
  // most. kIo: as above.
  std::expected<std::size_t, Status> marks_before(Seq before, std::span<Mark> out);

  // Of this mount's mark; 0 until an append wrote it.
  [[nodiscard]] Epoch epoch() const { return marked_ ? epoch_ : Epoch{}; }
  // The first that the ring still holds, acked or not; = next_seq() when nothing is held.
  [[nodiscard]] Seq oldest_seq() const { return held_seq_; }
  [[nodiscard]] Seq next_seq() const { return next_seq_; }
  [[nodiscard]] std::size_t record_size_max() const;
  [[nodiscard]] Stats stats() const {
    return {log_.dropped_records, refused_records_, corrupt_records_, log_.bad_sectors};
  }

 private:
  [[nodiscard]] std::uint32_t sector_size() const { return medium_.geometry().sector_size_bytes; }
  [[nodiscard]] std::uint32_t sector_count() const { return medium_.geometry().sector_count; }
  [[nodiscard]] std::uint32_t index_of(std::uint32_t serial) const { return serial % sector_count(); }
  [[nodiscard]] bool fits(std::size_t payload_size) const {
    return end_ + extent(medium_.geometry(), payload_size) <= sector_size();
  }

  void clear();
  bool read_sector(std::uint32_t serial, SectorHeader& out);
  void find_ring();
  void scan_sector(std::uint32_t serial, std::uint32_t newest);
  Status open_sector();
  Status open_place(std::uint32_t serial);
  Status write(Kind kind, Bytes payload, Seq seq);
  Status write_mark();

  void read_marks_behind(std::uint32_t serial, SectorHeader& header);
  void enter_sector(Seq seq, SectorHeader& header);
  bool advance();
  void look(Entry& out);
  std::expected<Entry, Status> serve(Seq seq, MutableBytes* out);
  Status read_payload(MutableBytes out, Entry& entry);
  static void lose(Seq end, LossReason reason, Entry& entry);
};
static_assert(sizeof(Outbox) <= 512);

}  // namespace godwit::outbox
