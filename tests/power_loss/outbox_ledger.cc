// SPDX-License-Identifier: Apache-2.0
#include "tests/power_loss/outbox_ledger.h"

#include <algorithm>
#include <array>
#include <random>

#include "proto/base/crc32.h"

namespace godwit::test {

using outbox::Entry;
using outbox::Kind;

Bytes payload_of(std::uint32_t number, std::size_t size) {
  constexpr std::size_t kSizeMax = 512;
  thread_local std::vector<std::vector<std::uint8_t>> known;
  while (known.size() <= number) {
    std::minstd_rand random(static_cast<std::minstd_rand::result_type>(known.size() + 1));
    auto& bytes = known.emplace_back(kSizeMax);
    std::ranges::generate(bytes, [&random] { return static_cast<std::uint8_t>(random() >> 8); });
    store_le(bytes.data() + 1, static_cast<std::uint32_t>(known.size()));
  }
  return Bytes(known[number]).first(size);
}

bool Identities::note(Epoch epoch, Seq seq, std::uint64_t content) {
  const auto [it, is_new] = contents_[epoch.value].emplace(seq.value, content);
  return is_new || it->second == content;
}

void OutboxLedger::fail(const std::string& what, Seq seq) {
  if (failure_.empty()) failure_ = what + " at seq " + std::to_string(seq.value);
}

void OutboxLedger::confirm(Seq seq, const Row& row) {
  if (seq.value < rows_.size() && rows_[seq.value].kind != Kind::kLoss) fail("given twice", seq);
  if (rows_.size() <= seq.value) rows_.resize(seq.value + 1);
  rows_[seq.value] = row;
}

Status OutboxLedger::append(outbox::Outbox& box, const sim::SimFlash& flash, std::uint32_t number,
                            std::size_t size) {
  const Seq before = box.next_seq();
  const Status status = box.append(payload_of(number, size));
  if (before < next_seq()) fail("next_seq() went back", before);
  const std::uint32_t sector_size = flash.geometry().sector_size_bytes;
  const std::uint64_t offset = flash.programmed_at();
  Row row{.number = number, .size = static_cast<std::uint32_t>(size)};
  // What was due in front of it may have been written even if it failed itself.
  Seq seq = before;
  const Seq end = status == Status::kOk ? Seq{box.next_seq().value - 1} : box.next_seq();
  for (; seq < end; seq = seq + 1) {
    const auto due = box.peek(seq);
    if (!due || seq < box.oldest_seq()) {
      // It was written; what failed behind it may have been a power cut. Or a ring of one sector that can be
      // written gave it up for what came behind it.
      if (!marked_ && box.epoch().value != 0) {
        marked_ = true;
        confirm(seq, {.kind = Kind::kMark, .excused = true, .value = box.epoch().value});
      } else if (status == Status::kOk) {
        refused_ = 0;
      }
      rows_.resize(std::max<std::size_t>(rows_.size(), seq.value + 1));
      continue;
    }
    if (due->kind == Kind::kMark && !marked_) {
      marked_ = true;
      if (due->epoch != box.epoch()) fail("the mark has another epoch", seq);
      confirm(seq, {.kind = Kind::kMark, .value = due->epoch.value});
    } else if (due->kind == Kind::kRefused && marked_ && refused_ > 0) {
      if (due->count != refused_) fail("refused " + std::to_string(due->count), seq);
      confirm(seq, {.kind = Kind::kRefused, .value = due->count});
      refused_ = 0;
    } else {
      fail("written in front: kind " + std::to_string(static_cast<int>(due->kind)), seq);
    }
  }
  if (status == Status::kOk) {
    if (!marked_ || refused_ > 0) fail("what was due is missing", end);
    row.kind = Kind::kData;
    row.offset = offset;
    row.erases = flash.erases(static_cast<std::uint32_t>(offset / sector_size));
    confirm(end, row);
    return status;
  }
  ++refused_;
  if (status == Status::kIo) doubtful_.push_back(row);
  if (status != Status::kIo && status != Status::kFull) fail(std::string(to_string(status)), before);
  return status;
}

Status OutboxLedger::ack(outbox::Outbox& box, Seq next) {
  const Status status = box.ack(next);
  if (status == Status::kOk) acked_ = next;
  return status;
}

void OutboxLedger::mounted(const outbox::Outbox& box) {
  marked_ = false;
  refused_ = 0;
  if (box.next_seq() < next_seq()) {
    bool excused = true;
    for (std::uint64_t seq = box.next_seq().value; seq < rows_.size(); ++seq) {
      excused = excused && (rows_[seq].excused || rows_[seq].kind == Kind::kLoss);
    }
    if (!excused) fail("next_seq() went back over what was confirmed", box.next_seq());
    rows_.resize(std::max<std::uint64_t>(box.next_seq().value, 1));
  }
  // One append writes three entries at most, and its tries may look like more.
  if (box.next_seq().value > rows_.size() + 6) fail("seqs are spent that nobody has used", box.next_seq());
  rows_.resize(std::max<std::uint64_t>(box.next_seq().value, 1));
}

bool OutboxLedger::is_erased(const Row& row, const sim::SimFlash& flash) {
  return row.erases !=
         flash.erases(static_cast<std::uint32_t>(row.offset / flash.geometry().sector_size_bytes));
}

void OutboxLedger::check_loss(const Entry& entry, const sim::SimFlash& flash) {
  if (entry.reason != outbox::LossReason::kCorrupt) fail("lost what is held", entry.seq);
  for (std::uint64_t seq = entry.seq.value; seq < entry.seq.value + entry.count; ++seq) {
    if (seq >= rows_.size()) return fail("a loss of what was never there", {seq});
    Row& row = rows_[seq];
    if (row.kind == Kind::kLoss || row.excused || row.lost) continue;
    // Given up for a sector whose opening was cut off: nobody can tell it from damage. What was due in front
    // of a record stands beside it.
    std::uint64_t before = seq;
    std::uint64_t behind = seq;
    while (before > 1 && rows_[before].kind != Kind::kData) --before;
    while (behind + 1 < rows_.size() && rows_[behind].kind != Kind::kData) ++behind;
    if (is_erased(rows_[before], flash) || is_erased(rows_[behind], flash)) continue;
    if (excuses_ == 0) return fail("lost", {seq});
    --excuses_;
    row.lost = true;
  }
}

void OutboxLedger::check_data(Seq seq, Bytes bytes) {
  Row& row = rows_[seq.value];
  const auto is = [bytes](const Row& known) {
    return std::ranges::equal(bytes, payload_of(known.number, known.size));
  };
  if (row.kind == Kind::kLoss) {
    const auto found = std::ranges::find_if(doubtful_, is);
    if (found == doubtful_.end()) return fail("never appended", seq);
    const std::uint64_t offset = row.offset;
    row = *found;
    row.kind = Kind::kData;
    row.offset = offset;
    doubtful_.erase(found);  // once
  } else if (row.kind != Kind::kData || !is(row)) {
    fail("another content", seq);
  }
}

void OutboxLedger::check_given_up(outbox::Outbox& box, const sim::SimFlash& flash) {
  const std::uint64_t oldest = box.oldest_seq().value;
  for (std::uint64_t seq = oldest - 1; seq > 0 && seq + 40 > oldest && seq < rows_.size(); --seq) {
    const Row& row = rows_[seq];
    if (row.kind != Kind::kData || row.offset == 0 || row.excused || row.lost) continue;
    if (!is_erased(row, flash)) return fail("given up, though it is still in flash", {seq});
  }
  if (oldest <= 1) return;
  const auto loss = box.peek(kFirstSeq);
  if (!loss || loss->kind != Kind::kLoss || loss->reason == outbox::LossReason::kCorrupt) {
    fail("not reported as given up", kFirstSeq);
  }
}

void OutboxLedger::check_marks(outbox::Outbox& box) {
  std::array<Mark, outbox::Outbox::kMarksKept> found;
  const auto count = box.marks_before(box.next_seq(), found);
  if (!count) return fail("marks_before() fails", box.next_seq());
  std::size_t at = 0;
  for (std::uint64_t seq = rows_.size() - 1; seq > 0 && at < found.size(); --seq) {
    if (rows_[seq].kind != Kind::kMark) continue;
    const bool known =
        at < *count && found[at].first_seq.value == seq && found[at].epoch.value == rows_[seq].value;
    if (!known && (rows_[seq].excused || rows_[seq].lost)) continue;
    if (!known) {
      std::string named;
      for (std::size_t i = 0; i < *count; ++i) named += ' ' + std::to_string(found[i].first_seq.value);
      return fail("a mark is not among" + named + ", that", {seq});
    }
    ++at;
  }
}

void OutboxLedger::check(outbox::Outbox& box, const sim::SimFlash& flash, Identities* identities) {
  std::array<std::uint8_t, 4096> buffer;
  std::array<Mark, 1> mark{};
  if (box.next_seq().value > rows_.size()) fail("nobody told of it", box.next_seq());
  Epoch epoch;
  bool epoch_is_known = false;
  for (Seq seq = box.oldest_seq(); seq < box.next_seq() && failure_.empty();) {
    const auto entry = box.read(seq, buffer);
    if (!entry) return fail("read() says " + std::string(to_string(entry.error())), seq);
    if (entry->seq != seq || entry->count == 0) return fail("entry of another place", seq);
    Row& row = rows_[seq.value];
    std::uint64_t content = 0;
    if (!epoch_is_known && entry->kind != Kind::kLoss) {
      // At the begin, and behind a loss, which a mark may be in.
      if (box.marks_before(seq + 1, mark) == 1U) epoch = mark[0].epoch;
      epoch_is_known = true;
    }
    switch (entry->kind) {
      case Kind::kLoss:
        check_loss(*entry, flash);
        epoch_is_known = false;
        break;
      case Kind::kData:
        check_data(seq, Bytes(buffer).first(entry->size_bytes));
        content = crc32(Bytes(buffer).first(entry->size_bytes)) + std::uint64_t{1};
        break;
      case Kind::kMark:
        if (row.kind == Kind::kLoss) row = {.kind = Kind::kMark, .value = entry->epoch.value};
        if (row.kind != Kind::kMark || row.value != entry->epoch.value) fail("another mark", seq);
        epoch = entry->epoch;
        break;
      case Kind::kRefused:
        if (row.kind == Kind::kLoss) row = {.kind = Kind::kRefused, .value = entry->count};
        if (row.kind != Kind::kRefused || row.value != entry->count) fail("another entry", seq);
        break;
    }
    if (content != 0 && identities != nullptr && !identities->note(epoch, seq, content)) {
      fail("epoch " + std::to_string(epoch.value) + " and seq name two records", seq);
    }
    seq = seq + (entry->kind == Kind::kLoss ? entry->count : 1);
  }
  if (box.peek(box.next_seq()).error() != Status::kNotFound) fail("something behind the end", box.next_seq());
  check_given_up(box, flash);
  check_marks(box);
}

void OutboxLedger::excuse_bytes(std::uint64_t begin, std::uint64_t end) {
  for (Row& row : rows_) {
    if (row.kind == Kind::kData && row.offset + 8 + row.size > begin && row.offset < end) row.excused = true;
  }
  if (end - begin < 512) return;
  // What was due in front of a record stands beside it, or behind the one before.
  for (std::uint64_t seq = 1; seq < rows_.size(); ++seq) {
    std::uint64_t before = seq;
    std::uint64_t behind = seq;
    while (before > 1 && rows_[before].kind != Kind::kData) --before;
    while (behind + 1 < rows_.size() && rows_[behind].kind != Kind::kData) ++behind;
    if (rows_[seq].kind == Kind::kData) continue;
    rows_[seq].excused |= rows_[before].excused || rows_[behind].excused;
  }
}

void OutboxLedger::excuse_from(Seq first) {
  for (std::uint64_t seq = first.value; seq < rows_.size(); ++seq) rows_[seq].excused = true;
}

}  // namespace godwit::test
