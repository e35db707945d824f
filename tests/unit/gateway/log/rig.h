// SPDX-License-Identifier: Apache-2.0
// A feed with its lanes as steps: what in production four threads do, in the order that a test says.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "gateway/log/event_queue.h"
#include "gateway/log/feed.h"
#include "tests/unit/gateway/fake_log.h"

namespace godwit::gateway::test {

// Takes down what a follower is given, and asks for nothing while it has been told to wait.
class Reader {
 public:
  Reader(Feed& feed, const LogStart& start, LogReader::Filter filter = {})
      : follower_(feed, start, std::move(filter), [this] {
          ready_ = true;
          ++wakes_;
        }) {}

  // False: it waits.
  bool step(std::size_t bytes_max = 64 * 1024) {
    if (!ready_) return false;
    const Follower::Step step = follower_.next(bytes_max);
    last_ = step.kind;
    std::size_t held = 0;
    for (const Slice& slice : step.slices) {
      held += slice.block->size_bytes();
      for (std::size_t i = slice.begin; i < slice.end; ++i) {
        seen_.push_back(slice.block->entries[i].id);
        text_bytes_ += slice.block->frame(slice.block->entries[i]).size();
      }
    }
    held_max_ = std::max(held_max_, held);
    if (step.kind == Kind::kGap) gaps_.push_back(step.gap);
    if (step.kind == Kind::kFailed) ++failures_;
    ready_ = step.kind != Kind::kWait && step.kind != Kind::kRead;
    return true;
  }

  using Kind = Follower::Step::Kind;
  Follower& follower() { return follower_; }
  [[nodiscard]] bool ready() const { return ready_; }
  [[nodiscard]] Kind last() const { return last_; }
  [[nodiscard]] const std::vector<LogId>& seen() const { return seen_; }
  [[nodiscard]] std::vector<std::int64_t> offsets() const {
    std::vector<std::int64_t> list;
    for (const LogId& id : seen_) list.push_back(id.offset.value);
    return list;
  }
  [[nodiscard]] const std::vector<LogGap>& gaps() const { return gaps_; }
  [[nodiscard]] std::size_t held_max() const { return held_max_; }
  [[nodiscard]] std::size_t text_bytes() const { return text_bytes_; }
  [[nodiscard]] int failures() const { return failures_; }
  [[nodiscard]] int wakes() const { return wakes_; }

 private:
  std::vector<LogId> seen_;
  std::vector<LogGap> gaps_;
  std::size_t held_max_ = 0;
  std::size_t text_bytes_ = 0;
  int failures_ = 0;
  int wakes_ = 0;
  bool ready_ = true;
  Kind last_ = Kind::kAgain;
  Follower follower_;
};

inline LogStart now() { return {.kind = LogStart::Kind::kNow, .after = {}}; }
inline LogStart begin() { return {.kind = LogStart::Kind::kBegin, .after = {}}; }
inline LogStart after(LogId id) { return {.kind = LogStart::Kind::kAfter, .after = id}; }

struct Rig {
  explicit Rig(std::size_t cache_bytes_max = Feed::Limits{}.cache_bytes_max)
      : feed({.cache_bytes_max = cache_bytes_max}) {
    queue.set_wanted(true);
  }

  // The log as it is at the start of the gateway.
  void start() { feed.start(log.ends().last); }

  // Writer.
  void publish(const std::string& device = "pump") {
    const Event event = log.append(device, ++count);
    queue.push({&event, 1});
  }
  // Encoder, and what the server does with it. False: there is nothing to do.
  bool encode_some() {
    if (queue.empty()) return false;
    EventQueue::Batch batch = queue.take();
    const LivePiece piece = encode_live(batch, log);
    queue.put_back(batch.events);
    feed.skip_through(piece.skipped_through);
    encoded_max = std::max(encoded_max, text_of(piece.blocks));
    for (const BlockPtr& block : piece.blocks) feed.append(block);
    feed.wake();
    return true;
  }
  // Reads. Two steps, as much may happen between them.
  bool read() {
    const auto request = feed.next_read();
    if (!request) return false;
    results.push_back(run_read(log, *request, {}));
    encoded_max = std::max(encoded_max, text_of(results.back().blocks));
    return true;
  }
  bool finish() {
    if (results.empty()) return false;
    feed.finish_read(std::move(results.front()));
    results.pop_front();
    return true;
  }

  // Until nobody has anything to do.
  template <typename... Readers>
  void run(Readers&... readers) {
    run_all({&readers...});
  }
  void run_all(const std::vector<Reader*>& readers) {
    for (bool busy = true; busy;) {
      busy = encode_some();
      busy = read() || busy;
      busy = finish() || busy;
      for (Reader* reader : readers) busy = reader->step() || busy;
    }
  }

  static std::size_t text_of(const std::vector<BlockPtr>& blocks) {
    std::size_t size = 0;
    for (const BlockPtr& block : blocks) size += block->text.size();
    return size;
  }

  FakeLog log;
  EventQueue queue;
  Feed feed;
  std::deque<ReadResult> results;
  std::size_t encoded_max = 0;  // the most text that one job made
  std::int64_t count = 0;
};

inline std::vector<std::int64_t> numbers(std::int64_t first, std::int64_t last) {
  std::vector<std::int64_t> list;
  for (std::int64_t i = first; i <= last; ++i) list.push_back(i);
  return list;
}

}  // namespace godwit::gateway::test
