// SPDX-License-Identifier: Apache-2.0
#include "gateway/domain/history.h"

#include <algorithm>
#include <utility>

#include "proto/base/assert.h"

namespace godwit::gateway {
namespace {

// nullptr: none is of this mark. Nearly always the newest is meant.
template <typename Streams>
auto* find(Streams& streams, Mark mark) {
  const auto found = std::find_if(streams.rbegin(), streams.rend(),
                                  [mark](const StreamState& stream) { return stream.mark == mark; });
  return found == streams.rend() ? nullptr : &*found;
}

}  // namespace

bool History::hear(const codec::Hello& hello) {
  const auto named = hello.named_marks();
  if (hello.marks_before == Seq{}) {
    marks_.clear();
  } else {
    // Of the same boot, or the marks of two flashes would make one path.
    const bool wanted = searching_ && marks_.back().first_seq == hello.marks_before &&
                        hello.epoch == boot_epoch_ && hello.next_seq >= next_;
    if (!wanted) return false;
  }
  try_ = hello.try_id;
  boot_epoch_ = hello.epoch;
  next_ = hello.next_seq;
  marks_.insert(marks_.end(), named.begin(), named.end());

  const auto known =
      std::ranges::find_if(marks_, [this](Mark mark) { return find(streams_, mark) != nullptr; });
  begun_ = known != marks_.end();
  if (begun_) marks_.erase(std::next(known), marks_.end());
  searching_ =
      !begun_ && hello.more_marks && !named.empty() && marks_.size() + codec::kHelloMarksMax <= kPathMarksMax;
  return true;
}

std::optional<History::Answer> History::answer() const {
  if (try_ == Try{}) return std::nullopt;
  if (searching_) return Answer{.try_id = try_, .marks_before = marks_.back().first_seq};
  return Answer{.try_id = try_, .next_seq = std::min(cursor(), next_)};
}

History::Outcome History::take(const Entry& entry) {
  GODWIT_ASSERT(entry.seq < entry.end && entry.end.value <= kSeqMax);
  if (try_ == Try{} || entry.try_id != try_ || searching_ || marks_.empty()) return {};
  next_ = std::max(next_, entry.end);
  const Seq expected = cursor();
  if (entry.end <= expected) return {.verdict = Verdict::kRepeat};
  if (entry.seq > expected) return {.verdict = Verdict::kAhead};

  const Mark* const mark = beginning();
  if (entry.kind == Kind::kMark && (mark == nullptr || mark->epoch != entry.epoch)) return {};
  if (mark != nullptr && entry.kind != Kind::kMark && entry.kind != Kind::kLoss) return {};
  Outcome outcome{.verdict = Verdict::kTaken, .first = expected};
  if (mark != nullptr) {
    begin(outcome);
  } else if (marks_.back() != head_) {  // another copy of the storage, from which or to which it branched off
    if (const StreamState* const head = find(streams_, head_)) outcome.replaced = head->expected;
    head_ = marks_.back();
  }
  StreamState& stream = *find(streams_, marks_.back());
  outcome.epoch = stream.mark.epoch;
  outcome.end = std::min(entry.end, segment_end());
  stream.expected = outcome.end;
  if (entry.kind == Kind::kRecord) ++stream.records;
  if (entry.kind == Kind::kLoss) stream.lost += outcome.end - outcome.first;
  if (entry.kind == Kind::kRefused) stream.lost += entry.count;
  if (changed_.empty() || changed_.back() != stream.mark) changed_.push_back(stream.mark);
  return outcome;
}

void History::lose(Epoch epoch, Seq seq) {
  for (StreamState& stream : streams_) {
    if (stream.holds(epoch, seq)) stream.lose();
  }
}

// The stream of the mark at the cursor.
void History::begin(Outcome& outcome) {
  const Mark mark = *beginning();
  if (const StreamState* const head = find(streams_, head_)) {
    const bool continues = begun_ && marks_.back() == head_ && head->expected == mark.first_seq;
    if (!continues) outcome.replaced = head->expected;
  }
  outcome.unknown_before = !begun_ && mark.first_seq != kFirstSeq;
  if (begun_) marks_.pop_back();
  begun_ = true;
  head_ = mark;
  streams_.push_back({.mark = mark, .expected = mark.first_seq});
  if (streams_.size() <= streams_max_) return;
  outcome.forgotten = streams_.front().mark.epoch;
  forgotten_.push_back(streams_.front());
  streams_.erase(streams_.begin());
}

History::Changes History::take_changes() {
  Changes changes{.streams = {}, .forgotten = std::exchange(forgotten_, {})};
  for (const StreamState& stream : streams_) {
    if (std::ranges::find(changed_, stream.mark) != changed_.end()) changes.streams.push_back(stream);
  }
  changed_.clear();
  return changes;
}

Seq History::segment_end() const {
  return marks_.size() > 1 ? marks_[marks_.size() - 2].first_seq : Seq{kSeqMax};
}

Seq History::cursor() const {
  if (marks_.empty()) return next_;
  if (!begun_) return marks_.back().first_seq;
  return std::min(find(streams_, marks_.back())->expected, segment_end());
}

const Mark* History::beginning() const {
  if (!begun_) return &marks_.back();
  return marks_.size() > 1 && cursor() == segment_end() ? &marks_[marks_.size() - 2] : nullptr;
}

}  // namespace godwit::gateway
