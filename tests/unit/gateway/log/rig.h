// SPDX-License-Identifier: Apache-2.0
// A feed on lanes whose jobs run in the order that a test says.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "gateway/log/live_feed.h"
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

class Rig final : private Lanes {
 public:
  explicit Rig(const LiveFeed::Options& options = {}) : live(*this, log, options), feed(live.feed()) {}

  // The log as it is at the start of the gateway.
  void start() { live.start(log.ends().last); }

  // Writer.
  void publish(const std::string& device = "pump") {
    const Event event = log.append(device, ++count);
    live.publish({&event, 1});
  }
  // The next job of a lane. False: there is none.
  bool encode() { return run_next(encoder_); }
  bool serve() { return run_next(server_); }
  bool wake_all() { return run_next(wakes_); }
  bool read() {
    live.start_reads();
    if (reads_.empty()) return false;
    Read read = std::move(reads_.front());
    reads_.pop_front();
    read({});
    return true;
  }

  // Of one piece, all that follows from it but what the followers do.
  bool encode_some() {
    if (!encode()) return false;
    while (serve()) {
    }
    wake_all();
    return true;
  }

  // Until nobody has anything to do.
  template <typename... Readers>
  void run(Readers&... readers) {
    run_all({&readers...});
  }
  void run_all(const std::vector<Reader*>& readers) {
    for (bool busy = true; busy;) {
      busy = encode();
      busy = read() || busy;
      busy = serve() || busy;
      busy = wake_all() || busy;
      for (Reader* reader : readers) busy = reader->step() || busy;
    }
  }

  [[nodiscard]] std::size_t encodings() const { return encoder_.size(); }
  [[nodiscard]] std::size_t reads_waiting() const { return reads_.size(); }
  [[nodiscard]] std::size_t wakes() const { return wakes_.size(); }

  FakeLog log;
  LiveFeed live;
  Feed& feed;
  std::int64_t count = 0;

 private:
  void encoder(Job job) override { encoder_.push_back(std::move(job)); }
  void reads(Read read) override { reads_.push_back(std::move(read)); }
  void server(Job job) override { server_.push_back(std::move(job)); }
  void wake(Job job) override { wakes_.push_back(std::move(job)); }

  static bool run_next(std::deque<Job>& lane) {
    if (lane.empty()) return false;
    Job job = std::move(lane.front());
    lane.pop_front();
    job();
    return true;
  }

  std::deque<Job> encoder_;
  std::deque<Read> reads_;
  std::deque<Job> server_;
  std::deque<Job> wakes_;
};

inline std::vector<std::int64_t> numbers(std::int64_t first, std::int64_t last) {
  std::vector<std::int64_t> list;
  for (std::int64_t i = first; i <= last; ++i) list.push_back(i);
  return list;
}

}  // namespace godwit::gateway::test
