// SPDX-License-Identifier: Apache-2.0
// What an outbox was told and what it has answered, and whether the two agree. Survives the outbox: after a
// power cut a new one is mounted on the same flash and checked against the same ledger.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "firmware/outbox/outbox.h"

namespace godwit::test {

class OutboxLedger {
 public:
  using Payload = std::vector<std::uint8_t>;

  // Different for each `number`, never an alignment by chance: sizes are the caller's, bytes are random.
  static Payload payload(std::uint32_t number, std::size_t size);

  // Appends, and keeps book of it. The status is that of append().
  Status append(outbox::Outbox& box, const Payload& payload);
  Status ack(outbox::Outbox& box, Seq next);
  // What the gateway says when the device is back: how far it is.
  void resume(outbox::Outbox& box) const;
  Status begin_epoch(outbox::Outbox& box);

  // Reads all of `box` and fails the test (GoogleTest) unless
  //  - every acknowledged append that is neither acked nor dropped by policy is there, once, in its place;
  //  - nothing is there that was not appended, and no seq ever shows another content than before;
  //  - nothing is lost as corrupt but an append that was cut off, when all of it but one bit was written:
  //  nobody
  //    can tell that from an acknowledged record with a flipped bit;
  //  - nothing is dropped unless `drops_allowed`;
  //  - the epoch is the one that was last begun.
  void check(outbox::Outbox& box, bool drops_allowed);

 private:
  void check_record(Seq seq, const Payload& found);

  std::map<std::uint64_t, Payload> kept_;                 // by seq: append() said kOk, or it was read once
  std::map<std::uint64_t, std::set<Payload>> in_flight_;  // append() failed: may or may not be there
  std::set<std::uint64_t> epochs_;                        // one, or two while a begin_epoch() is undecided
  Seq acked_ = kFirstSeq;
};

}  // namespace godwit::test
