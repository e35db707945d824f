// SPDX-License-Identifier: Apache-2.0
// A gateway without its edges, on a disk in memory and in virtual time: what would leave it is kept.
#pragma once

#include <gtest/gtest.h>

#include <set>
#include <span>
#include <string>
#include <vector>

#include "gateway/domain/hello.h"
#include "gateway/pipeline/writer.h"
#include "sim/disk/disk.h"
#include "tests/unit/gateway/messages.h"

namespace godwit::gateway::test {

inline constexpr const char* kDirectory = "/data";

// Here records are numbered from 1; the seq of each is one more, as that of its device's mark is 1.
inline Message nth(Epoch epoch, std::uint64_t n, std::string_view from = "d1") {
  return record(epoch, Seq{n + 1}, batch(static_cast<std::int64_t>(n)), from);
}
inline Message nth(Epoch epoch, Seq n, std::string_view content, std::string_view from = "d1") {
  return record(epoch, n + 1, content, from);
}
inline Seq next_number(const AckTo& entry) { return {entry.ack.next_seq.value - 1}; }
inline std::vector<std::uint64_t> seqs(const std::vector<Event>& events) {
  std::vector<std::uint64_t> result;
  for (const Event& event : events) {
    if (event.type == EventType::kTelemetry) result.push_back(event.seq.value - 1);
  }
  return result;
}

inline std::vector<std::uint64_t> up_to(std::uint64_t last) {
  std::vector<std::uint64_t> result;
  for (std::uint64_t seq = 1; seq <= last; ++seq) result.push_back(seq);
  return result;
}

struct Rig {
  explicit Rig(sim::Disk& its_disk, const Writer::Options& options = {}, const Intake::Limits& limits = {})
      : disk(its_disk),
        store((its_disk.make_directory(kDirectory), kDirectory), Term{}, its_disk),
        intake(limits),
        writer(store, options,
               {.acks =
                    [this](std::span<const AckTo> sent) {
                      if (disk.dead()) return;
                      acks.insert(acks.end(), sent.begin(), sent.end());
                      for (const AckTo& entry : sent) {
                        if (entry.ack.send_hello) introduced.erase(std::string(entry.device.view()));
                      }
                    },
                .feed =
                    [this](std::span<const Event> events) {
                      if (disk.dead()) return;
                      // Durable before visible: another connection sees what is fed.
                      EXPECT_EQ(store.reader().ends().last.offset, events.back().offset);
                      feed.insert(feed.end(), events.begin(), events.end());
                    },
                .damaged = [this] { ++damaged; }},
               [this](LogLevel, std::string_view line) { log.emplace_back(line); }) {}

  // One turn, now.
  void turn() {
    writer.take(intake, now);
    writer.turn(now);
  }
  void advance(Millis by) {
    now.at += by;
    now.unix_time.value += by.count();
  }
  // All that is due until the writer waits for messages, or to try again. True if it holds nothing.
  bool settle() {
    do turn();
    while (!writer.idle() && writer.wait().until <= now.at);
    return writer.idle();
  }
  void push(Message message) {
    message.received = now;
    EXPECT_TRUE(intake.push(std::move(message)));
  }
  // A device that was not heard since the start, or that was asked, says hello and its mark first.
  bool write(const std::vector<Message>& messages) {
    for (const Message& message : messages) {
      const std::string device(message.device.view());
      const bool hello = message.leaf == topics::Leaf::kHello;
      const bool known = introduced.contains(device);
      if (!known && message.leaf == topics::Leaf::kRecord) push(test::hello(kEpoch, device));
      if (!known && message.leaf == topics::Leaf::kRecord) push(mark(kEpoch, 1, device));
      push(message);
      if (!known && hello) push(mark(unpack(message.payload)->epoch, 1, device));
      introduced.insert(device);
    }
    turn();
    advance(Millis{5});
    return settle();
  }
  // Waits for the next attempt.
  bool retry() {
    advance(writer.wait().until - now.at);
    return settle();
  }
  [[nodiscard]] std::vector<Event> events() const {
    return store.reader().read({0}, {}, {.events = 10'000}).events;
  }
  [[nodiscard]] std::vector<std::uint64_t> stored() const { return seqs(events()); }

  sim::Disk& disk;
  Received now = received();
  std::vector<AckTo> acks;
  std::set<std::string> introduced;
  std::vector<Event> feed;
  std::vector<std::string> log;
  int damaged = 0;  // how often it was asked to end
  Store store;
  Intake intake;
  Writer writer;
};

// Does what `answer` says at operation number `step` from now that changes the disk, once.
class FaultAt {
 public:
  FaultAt(sim::Disk& disk, int step, sim::Disk::Answer answer) : disk_(disk) {
    disk_.set_hook([this, step, answer](const sim::Disk::Operation& operation) {
      if (!operation.changes() || count_++ != step) return sim::Disk::Answer::kDo;
      hit_ = true;
      return answer;
    });
  }
  ~FaultAt() { disk_.set_hook(nullptr); }
  FaultAt(const FaultAt&) = delete;
  FaultAt& operator=(const FaultAt&) = delete;

  [[nodiscard]] bool hit() const { return hit_; }

 private:
  sim::Disk& disk_;
  int count_ = 0;
  bool hit_ = false;
};

}  // namespace godwit::gateway::test
