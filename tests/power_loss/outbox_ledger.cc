// SPDX-License-Identifier: Apache-2.0
#include "tests/power_loss/outbox_ledger.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>

namespace godwit::test {

OutboxLedger::Payload OutboxLedger::payload(std::uint32_t number, std::size_t size) {
  std::minstd_rand random(number + 1);
  Payload bytes(size);
  std::ranges::generate(bytes, [&random] { return static_cast<std::uint8_t>(random() >> 8); });
  return bytes;
}

Status OutboxLedger::append(outbox::Outbox& box, const Payload& payload) {
  const Seq seq = box.next_seq();
  const Status status = box.append(payload);
  if (status == Status::kOk) {
    EXPECT_TRUE(kept_.emplace(seq.value, payload).second) << "seq " << seq.value << " given twice";
    EXPECT_EQ(box.next_seq(), seq + 1);
  } else {
    in_flight_[seq.value].insert(payload);
    EXPECT_EQ(box.next_seq(), seq);
  }
  return status;
}

Status OutboxLedger::ack(outbox::Outbox& box, Seq next) {
  const Status status = box.ack(next);
  if (status == Status::kOk) acked_ = std::max(acked_, next);
  return status;
}

void OutboxLedger::resume(outbox::Outbox& box) const { EXPECT_EQ(box.ack(acked_), Status::kOk); }

Status OutboxLedger::begin_epoch(outbox::Outbox& box) {
  const Status status = box.begin_epoch();
  if (status == Status::kOk) epochs_ = {box.epoch().value};
  if (status != Status::kOk) epochs_.clear();  // Undecided: whatever the next mount finds holds from then on.
  return status;
}

void OutboxLedger::check_record(Seq seq, const Payload& found) {
  const auto kept = kept_.find(seq.value);
  if (kept != kept_.end()) {
    EXPECT_EQ(found, kept->second) << "another content at seq " << seq.value;
    return;
  }
  EXPECT_TRUE(in_flight_[seq.value].contains(found)) << "never appended at seq " << seq.value;
  kept_.emplace(seq.value, found);
}

void OutboxLedger::check(outbox::Outbox& box, bool drops_allowed) {
  ASSERT_NE(box.epoch().value, 0U);
  if (epochs_.empty()) epochs_ = {box.epoch().value};
  EXPECT_TRUE(epochs_.contains(box.epoch().value)) << "epoch changed by itself";

  const std::uint64_t kept_end = kept_.empty() ? kFirstSeq.value : kept_.rbegin()->first + 1;
  EXPECT_GE(box.next_seq().value, kept_end) << "an acknowledged record is gone from the end";
  const std::uint64_t tried_end = in_flight_.empty() ? kFirstSeq.value : in_flight_.rbegin()->first + 1;
  EXPECT_LE(box.next_seq().value, std::max(kept_end, tried_end)) << "a seq is spent that nobody has used";
  if (!drops_allowed) {
    EXPECT_LE(box.oldest_seq(), acked_);
    EXPECT_EQ(box.stats().dropped_records, 0U);
  }
  std::array<std::uint8_t, 2048> buffer;
  std::uint64_t torn = 0;
  std::uint64_t count = 1;
  for (Seq seq = box.oldest_seq(); seq < box.next_seq(); seq = seq + count) {
    const auto entry = box.read(seq, buffer);
    ASSERT_TRUE(entry.has_value()) << "seq " << seq.value;
    ASSERT_EQ(entry->seq, seq);
    count = entry->count;
    if (entry->kind == outbox::Entry::Kind::kLoss) {
      for (std::uint64_t lost = seq.value; lost < seq.value + count; ++lost) {
        EXPECT_FALSE(kept_.contains(lost)) << "seq " << lost << " lost";
        EXPECT_TRUE(in_flight_.contains(lost));
      }
      EXPECT_EQ(entry->reason, outbox::LossReason::kCorrupt);
      torn += count;
      continue;
    }
    check_record(seq,
                 Payload(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(entry->size_bytes)));
  }
  EXPECT_EQ(box.peek(box.next_seq()).error(), Status::kNotFound);
  EXPECT_EQ(box.stats().corrupt_records, torn);
}

}  // namespace godwit::test
