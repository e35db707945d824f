// SPDX-License-Identifier: Apache-2.0
#include "sim/fleet/trial.h"

#include <algorithm>
#include <array>
#include <utility>

#include "sim/judge/fnv1a.h"

namespace godwit::sim {
namespace {

using Payload = std::array<std::uint8_t, agent::Device::kBatchSizeMax>;

double percentile(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) return 0;
  return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))];
}

}  // namespace

void Trial::add(Member& member) {
  judge_.add_device(member.id(), &member.sensors(), member.rows_max());
  watched_.push_back({.member = &member});
  const std::lock_guard lock(mutex_);
  appended_at_.try_emplace(member.id());
}

void Trial::observe(std::size_t index, UnixMillis time) {
  Watched& watched = watched_[index];
  const Member& member = *watched.member;
  while (judge_.rows(index) < member.sensors().sampled()) judge_.sampled(index, time, Judge::Clock::kTrue);
  const agent::Device* const device = member.device();
  if (device == nullptr) return;
  if (std::exchange(watched.boots, member.boots()) != member.boots()) {
    // What the power cut left: what append() had not confirmed may be among it.
    watched.next = device->outbox().next_seq();
    judge_.mounted(index, watched.next);
    judge_.rows_given_up(index);  // what was sampled and not appended
  }
  note_appended(index);
  for (; !watched.unacked.empty() && watched.unacked.front() < device->acked_seq(); ++acked_)
    watched.unacked.pop_front();
}

void Trial::note_appended(std::size_t index) {
  Watched& watched = watched_[index];
  const outbox::Outbox& live = watched.member->device()->outbox();
  if (watched.next == live.next_seq()) return;
  outbox::Outbox copy = live;  // reading moves a cursor, which the device's own must not see
  Payload payload{};
  for (; watched.next < live.next_seq(); watched.next = watched.next + 1) {
    const auto entry = copy.read(watched.next, payload);
    if (entry && entry->kind != outbox::Entry::Kind::kData && entry->kind != outbox::Entry::Kind::kLoss)
      continue;
    try {
      if (!entry || entry->kind == outbox::Entry::Kind::kLoss)
        throw Violation("append_unreadable", watched.member->id() + ": record " +
                                                 std::to_string(watched.next.value) +
                                                 " was confirmed, and cannot be read back at once");
      const Bytes bytes = Bytes(payload).first(entry->size_bytes);
      const RecordId id = judge_.appended(index, live.epoch(), watched.next, bytes);
      held_[id] = {.seq = watched.next, .digest = fnv1a(bytes)};
    } catch (const Violation& violation) {
      violated(violation);
      continue;
    }
    ++recorded_;
    watched.unacked.push_back(watched.next);
    const std::lock_guard lock(mutex_);
    appended_at_.find(watched.member->id())->second[watched.next.value] = Clock::now();
  }
}

bool Trial::holds(std::size_t device, RecordId record) const {
  const auto held = held_.find(record);
  const agent::Device* const running = watched_[device].member->device();
  if (held == held_.end() || running == nullptr) return false;
  outbox::Outbox copy = running->outbox();
  Payload payload{};
  const auto entry = copy.read(held->second.seq, payload);
  return entry && entry->kind == outbox::Entry::Kind::kData &&
         fnv1a(Bytes(payload).first(entry->size_bytes)) == held->second.digest;
}

void Trial::violated(const Violation& violation) {
  if (first_violation_.empty()) first_violation_ = violation.what();
  ++violations_[violation.kind()];
}

void Trial::begin_latencies() {
  const std::lock_guard lock(mutex_);
  for (auto& [device, appended] : appended_at_) appended.clear();
  latencies_ms_.clear();
}

void Trial::received(const SseEvent& event) {
  const auto now = Clock::now();
  const Followed taken = take_down(event);
  const std::lock_guard lock(mutex_);
  gaps_ += taken.note.gap ? 1 : 0;
  notes_.push_back(taken.note);
  if (!taken.event || taken.event->places() == 0) return;
  const auto device = appended_at_.find(taken.event->device);
  if (device == appended_at_.end()) return;
  ++fed_entries_;
  const auto appended = device->second.find(taken.event->seq.value);
  if (!taken.event->is_record() || appended == device->second.end()) return;
  latencies_ms_.push_back(std::chrono::duration<double, std::milli>(now - appended->second).count());
  device->second.erase(appended);
}

std::uint64_t Trial::received_count() const {
  const std::lock_guard lock(mutex_);
  return fed_entries_;
}

void Trial::read_log(const Get& get, const std::string& after) {
  if (read_to_.empty()) read_to_ = after;
  std::vector<Seq> acked;  // what is acked now has been committed, so the log that is read later has it
  for (const Watched& watched : watched_)
    acked.push_back(watched.member->device() != nullptr ? watched.member->device()->acked_seq() : Seq{});
  const auto judged = [this](const auto& judge) {
    try {
      judge();
    } catch (const Violation& violation) {
      violated(violation);
    }
  };
  sim::read_log(
      get, std::string(read_to_),
      [&](const LogEvent& event) {
        read_to_ = event.id;
        read_offset_ = parse_event_id(event.id)->offset;
        judged([&] { show(event, judge_); });
      },
      [&](const Missing& missing) { judged([&] { refuse_missing(missing); }); });
  if (restores_ > 0) return;  // the ack may be of before, and the device not know yet
  for (std::size_t index = 0; index < acked.size(); ++index)
    judged([&] { judge_.acked(index, acked[index]); });
}

bool Trial::online(const Watched& watched) {
  return watched.member->device() != nullptr && watched.member->device()->online();
}

bool Trial::settled() const {
  for (std::size_t index = 0; index < watched_.size(); ++index)
    if (online(watched_[index]) && judge_.said_online(index) == false) return false;
  return judge_.counts().missing == 0;
}

bool Trial::fed() const {
  const std::lock_guard lock(mutex_);
  return read_offset_ == 0 || (!notes_.empty() && notes_.back().id.offset >= read_offset_);
}

Report Trial::judge(std::int64_t after) {
  const Judge::Counts counts = judge_.counts();
  const std::lock_guard lock(mutex_);
  try {
    // What others have done since the log was read is beyond this judge.
    std::vector<FollowerNote> notes = notes_;
    while (!notes.empty() && notes.back().id.offset > read_offset_) notes.pop_back();
    judge_.follower_wrote("of the live feed", after, notes, restores_);
  } catch (const Violation& violation) {
    violated(violation);
  }
  // Who is not back is counted, and not said to be.
  for (std::size_t index = 0; index < watched_.size(); ++index)
    if (!online(watched_[index])) judge_.left(index);
  try {
    judge_.finish();
  } catch (const Violation& violation) {
    violated(violation);
  }
  std::ranges::sort(latencies_ms_);
  return {.devices = watched_.size(),
          .recorded = counts.records,
          .acked = acked_,
          .stored = counts.stored - counts.unconfirmed,
          .lost = counts.lost,
          .missing = counts.missing,
          .in_doubt = counts.unconfirmed,
          .restores = restores_,
          .violations = violations_,
          .first_violation = first_violation_,
          .sse_events = fed_entries_,
          .sse_gaps = gaps_,
          .latency_p50_ms = percentile(latencies_ms_, 0.5),
          .latency_p99_ms = percentile(latencies_ms_, 0.99),
          .latency_max_ms = percentile(latencies_ms_, 1.0)};
}

}  // namespace godwit::sim
