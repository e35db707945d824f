// SPDX-License-Identifier: Apache-2.0
// What an outbox was told and what it has answered, by contents, and whether the two agree. It survives the
// outbox, is copied with a snapshot of the flash, and does not know what the outbox does inside.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "firmware/outbox/outbox.h"
#include "sim/flash/sim_flash.h"

namespace godwit::test {

// The record with this number: random bytes, of which 5 or more name the number. Up to 512; valid until the
// next call.
Bytes payload_of(std::uint32_t number, std::size_t size);

// Which contents each (epoch, seq) names, in all copies of one flash.
class Identities {
 public:
  // False: it named another.
  bool note(Epoch epoch, Seq seq, std::uint64_t content);

 private:
  std::unordered_map<std::uint64_t, std::unordered_map<std::uint64_t, std::uint64_t>> contents_;
};

class OutboxLedger {
 public:
  // Appends record `number` and checks what was written in front of it.
  Status append(outbox::Outbox& box, const sim::SimFlash& flash, std::uint32_t number, std::size_t size);
  Status ack(outbox::Outbox& box, Seq next);
  // Call after each mount.
  void mounted(const outbox::Outbox& box);

  // Reads all of `box`. The log must hold, each in its place and with its own bytes, every entry that was
  // confirmed, but for
  //  - those in sectors that were erased since, which were the oldest;
  //  - those that `excuse_*` names, which must be reported as corrupt;
  // may hold appends that failed, once each; and nothing else. No seq that was seen shows anything else
  // later, next_seq() never goes back, and the newest marks are known. `identities` may be null.
  void check(outbox::Outbox& box, const sim::SimFlash& flash, Identities* identities);

  // What the prover has destroyed: entries that begin in [begin, end) of the flash.
  void excuse_bytes(std::uint64_t begin, std::uint64_t end);
  void excuse_from(Seq first);
  // One entry, whichever it is; more: so many.
  void excuse_any(std::uint32_t entries) { excuses_ += entries; }

  [[nodiscard]] const std::string& failure() const { return failure_; }
  [[nodiscard]] Seq next_seq() const { return {rows_.size()}; }
  [[nodiscard]] Seq acked() const { return acked_; }
  // Where the confirmed entry at `seq` begins in the flash; 0: not known.
  [[nodiscard]] std::uint64_t offset_of(Seq seq) const {
    return seq.value < rows_.size() ? rows_[seq.value].offset : 0;
  }

 private:
  struct Row {
    outbox::Kind kind = outbox::Kind::kLoss;  // kLoss: nobody was told of it
    bool excused = false;
    bool lost = false;
    std::uint32_t number = 0;  // kData
    std::uint32_t size = 0;
    std::uint64_t value = 0;  // kMark: epoch; kRefused: count
    std::uint64_t offset = 0;
    std::uint32_t erases = 0;  // of its sector, when it was written
  };

  void fail(const std::string& what, Seq seq);
  void confirm(Seq seq, const Row& row);
  // The sector that it was written to was erased since.
  static bool is_erased(const Row& row, const sim::SimFlash& flash);
  void check_loss(const outbox::Entry& entry, const sim::SimFlash& flash);
  void check_data(Seq seq, Bytes bytes);
  void check_given_up(outbox::Outbox& box, const sim::SimFlash& flash);
  void check_marks(outbox::Outbox& box);

  std::vector<Row> rows_{Row{}};  // by seq; 0 is none
  std::vector<Row> doubtful_;     // data that append() refused with kIo
  Seq acked_ = kFirstSeq;
  std::uint64_t refused_ = 0;  // since the last success of this mount
  bool marked_ = false;
  std::uint32_t excuses_ = 0;
  std::string failure_;
};

}  // namespace godwit::test
