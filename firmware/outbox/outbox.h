// SPDX-License-Identifier: Apache-2.0
// The outbox: a log of records in flash that survives any power cut. append() returning kOk is the moment from
// which Godwit's promise holds for a record.
//
// It is not a file system and knows nothing of what a record means. At most 512 bytes of RAM, no allocation; calls
// do flash I/O and are for the main loop only. Format and theory of operation: outbox.cc, docs/reference/flash.md.
#pragma once

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
  kRefuse,      // append() answers kFull; counted
};

enum class LossReason : std::uint8_t { kDroppedFull, kCorrupt, kNotHeld };

// What stands at a place of the log: a record, or the fact that some are lost.
struct Entry {
  enum class Kind : std::uint8_t { kRecord, kLoss };
  Kind kind;
  Seq seq;                  // of the record, or the first that is lost
  std::uint64_t count = 1;  // records that this entry stands for
  std::size_t size_bytes = 0;                     // kRecord: bytes of payload
  LossReason reason = LossReason::kDroppedFull;   // kLoss
};

struct Stats {
  std::uint64_t dropped_records = 0;  // since the log was formatted, kept in flash
  std::uint64_t refused_records = 0;  // since mount()
  std::uint64_t corrupt_records = 0;  // found since mount()
};

class Outbox {
 public:
  // `flash` and `entropy` must outlive this object.
  Outbox(ports::Flash& flash, ports::Entropy& entropy, FullPolicy policy = FullPolicy::kDropOldest);

  // Recovers the log, or formats the region where it holds none; call once, before anything else. Its time is
  // bounded by one header read per sector plus one sector. kUnsupported: a newer format, left untouched.
  // kInvalidArgument: a geometry that cannot hold a log. kIo: the flash failed, try again or replace it.
  Status mount();

  // Makes `payload` durable as record next_seq(). Copied. kFull: refused by policy. kInvalidArgument: empty or
  // longer than record_size_max(). kIo: not recorded. After anything but kOk, next_seq() is unchanged.
  Status append(Bytes payload);

  // What stands at `seq`, without its bytes. Cheap in ascending order. kNotFound: seq >= next_seq(), nothing there
  // yet. An entry of kind kLoss may begin below oldest_seq(). kIo: the flash failed.
  std::expected<Entry, Status> peek(Seq seq);
  // Like peek(), and for a record copies its payload to the front of `out` once its CRC has been checked; a record
  // that fails comes as kLoss. kInvalidArgument: `out` is smaller than the record; nothing is lost.
  std::expected<Entry, Status> read(Seq seq, MutableBytes out);

  // Everything below `next` is safe elsewhere and may be reclaimed. Lower than what was acked before: no effect.
  // kInvalidArgument: above next_seq() (see begin_epoch()).
  Status ack(Seq next);

  // Gives the records that are held, and all that follow, a new epoch; their sequence numbers stay. For a gateway
  // that expects records which this log never made: its history and ours are not the same. Durable on kOk.
  Status begin_epoch();

  [[nodiscard]] Epoch epoch() const;
  [[nodiscard]] Seq oldest_seq() const;  // = next_seq() when nothing is held
  [[nodiscard]] Seq next_seq() const;
  [[nodiscard]] std::size_t record_size_max() const;
  [[nodiscard]] const Stats& stats() const;
};

}  // namespace godwit::outbox
