// SPDX-License-Identifier: Apache-2.0
// A device, its flash and a gateway at random, through the real messages: copies of the flash and of the
// database are put back at any time, records, hellos and acks are lost, doubled and late, both sides restart.
// Then the faults stop, and what the log has is compared with what was appended, by content.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "gateway/domain/ingest.h"
#include "tests/unit/gateway/domain/memory_store.h"
#include "tests/unit/gateway/messages.h"

namespace godwit::gateway {
namespace {

using Id = std::uint64_t;  // of an entry, for ever; also the payload of its record

struct Flash {
  std::vector<Id> path;     // of every entry since seq 1; those below `oldest` are overwritten
  std::vector<Mark> marks;  // oldest first, those that are known
  std::uint64_t oldest = 1;
  std::set<Id> unreadable;
  [[nodiscard]] std::uint64_t next() const { return path.size() + 1; }
};

struct Plan {
  std::uint64_t ring = 6;          // entries that a flash holds
  std::size_t marks_kept = 1000;   // of those that are overwritten
  std::size_t epochs_kept = 1000;  // by the gateway
  unsigned steps = 150;
};

class World {
 public:
  World(unsigned seed, Plan plan) : plan_(plan), random_(seed) {}

  // "": all that was appended is stored or lost, once and in order; otherwise what is wrong.
  std::string run() {
    for (unsigned step = 0; step < plan_.steps && wrong_.empty(); ++step) {
      now_ += 700;
      fault();
      act();
    }
    if (wrong_.empty()) drain();
    if (wrong_.empty()) judge();
    return wrong_;
  }

 private:
  bool chance(unsigned percent) { return random_() % 100 < percent; }
  template <typename Values>
  auto& any_of(Values& values) {
    return values[random_() % values.size()];
  }

  // ---- the device -------------------------------------------------------------------------------
  void append() {
    if (flash_.next() - flash_.oldest >= plan_.ring) ++flash_.oldest;
    if (epoch_ == Epoch{}) {
      epoch_ = {random_() | 1U};
      flash_.marks.push_back({epoch_, {flash_.next()}});
      put_entry();
      path_at_[flash_.marks.back().epoch] = flash_.path;
      forget_marks();
      say_hello();
      return append();
    }
    put_entry();
    forget_marks();
  }
  void put_entry() {
    flash_.path.push_back(++ids_);
    truth_[{flash_.marks.back().epoch, flash_.next() - 1}] = ids_;
  }
  void forget_marks() {
    std::size_t below = 0;
    while (below < flash_.marks.size() && flash_.marks[below].first_seq.value < flash_.oldest) ++below;
    if (below <= plan_.marks_kept) return;
    flash_.marks.erase(flash_.marks.begin(),
                       flash_.marks.begin() + static_cast<std::ptrdiff_t>(below - plan_.marks_kept));
  }
  void reboot() {
    epoch_ = {};
    try_ = {};
    answered_ = false;
    ++boot_;
  }

  void say_hello(Seq before = {}) {
    codec::Hello hello;
    try_ = hello.try_id = {static_cast<std::uint32_t>(random_()) | 1U};
    answered_ = false;
    hello.oldest_seq = {flash_.oldest};
    hello.next_seq = {flash_.next()};
    hello.epoch = epoch_;
    hello.boot = boot_;
    hello.marks_before = before;
    for (auto mark = flash_.marks.rbegin(); mark != flash_.marks.rend(); ++mark) {
      if (before != Seq{} && mark->first_seq >= before) continue;
      if (hello.marks_count == codec::kHelloMarksMax) {
        hello.more_marks = true;
        break;
      }
      hello.marks[hello.marks_count++] = *mark;
    }
    transmit(test::hello(hello, {}, "d1", now()));
  }

  // One record or loss range.
  bool send() {
    if (!answered_ || position_ >= flash_.next()) return false;
    codec::Record record{.try_id = try_, .seq = {position_}};
    std::string batch;
    std::uint64_t places = 1;
    const bool readable =
        position_ >= flash_.oldest && !flash_.unreadable.contains(flash_.path[position_ - 1]);
    const auto mark = std::ranges::find(flash_.marks, Seq{position_}, &Mark::first_seq);
    if (!readable) {
      while (position_ + places < flash_.oldest) ++places;
      record.loss = codec::Loss{.count = places, .reason = codec::LossReason::kNotHeld};
    } else if (mark != flash_.marks.end()) {
      record.mark = mark->epoch;
    } else {
      batch = std::to_string(flash_.path[position_ - 1]);
      record.batch = as_bytes(batch);
    }
    position_ += places;
    transmit(test::record(record, "d1", now()));
    return true;
  }

  void heed(const codec::Ack& ack) {
    if (ack.try_id == Try{} && ack.send_hello) return say_hello();
    if (ack.try_id != try_ || try_ == Try{}) return;
    if (ack.marks_before != Seq{}) return say_hello(ack.marks_before);
    const std::uint64_t next = std::min(ack.next_seq.value, flash_.next());
    if (!answered_ || ack.rewind) {
      position_ = next;
    } else {
      position_ = std::max(position_, next);
    }
    answered_ = true;
  }

  // ---- the network ------------------------------------------------------------------------------
  void transmit(const Message& message) {
    if (faults_ && chance(10)) late_messages_.push_back(message);  // a copy that will arrive again
    if (faults_ && chance(10)) return;
    receive(message);
  }
  void receive(const Message& message) {
    EXPECT_EQ(ingest_.handle(message), Status::kOk);
    if (!faults_ || chance(70)) commit();
  }

  // ---- the gateway ------------------------------------------------------------------------------
  void commit() {
    ingest_.tick(now());
    Changes changes = ingest_.take();
    if (!changes.empty()) store_.commit(changes);
    for (const AckTo& entry : ingest_.committed(std::move(changes))) queue(entry.ack);
    for (const AckTo& entry : ingest_.take_asks(10, now().at)) queue(entry.ack);
  }
  void queue(const codec::Ack& ack) {
    if (faults_ && chance(10)) late_acks_.push_back(ack);
    if (faults_ && chance(10)) return;
    acks_.push_back(ack);
  }
  void deliver_acks() {
    const std::vector<codec::Ack> acks = std::exchange(acks_, {});
    for (const codec::Ack& ack : acks) heed(ack);
  }
  void restart_gateway() {
    ingest_ = Ingest(limits(), store_.devices);
    ingest_.session_started();
  }
  [[nodiscard]] IngestLimits limits() const { return {.epochs_per_device_max = plan_.epochs_kept}; }
  [[nodiscard]] Received now() const { return test::received(now_); }

  // ---- what happens -----------------------------------------------------------------------------
  void act() {
    switch (random_() % 4) {
      case 0:
        append();
        break;
      case 1:
        if (!send() && try_ == Try{}) say_hello();
        break;
      case 2:
        deliver_acks();
        break;
      default:
        for (int i = 0; i < 4; ++i) send();
        deliver_acks();
    }
  }
  void fault() {
    switch (random_() % 24) {
      case 0:
        reboot();
        break;
      case 1:
        flashes_.push_back(flash_);
        break;
      case 2:
        if (flashes_.empty()) break;
        flash_ = any_of(flashes_);
        reboot();
        break;
      case 3:
        commit();
        databases_.push_back(store_);
        break;
      case 4:
        if (databases_.empty()) break;
        store_ = any_of(databases_);
        restart_gateway();
        break;
      case 5:
        restart_gateway();
        break;
      case 6:
      case 7:
        if (!late_messages_.empty()) receive(any_of(late_messages_));
        break;
      case 8:
      case 9:
        if (!late_acks_.empty()) heed(any_of(late_acks_));
        break;
      case 10:
        if (!flash_.path.empty()) flash_.unreadable.insert(any_of(flash_.path));
        break;
      default:
        break;
    }
  }

  void drain() {
    faults_ = false;
    commit();
    reboot();
    say_hello();
    for (int turn = 0; turn < 1000; ++turn) {
      now_ += 700;
      deliver_acks();
      const std::size_t before = store_.log.size();
      const bool sent = send();
      commit();
      if (answered_ && !sent && acks_.empty() && before == store_.log.size()) return;
    }
    wrong_ = "it never drains";
  }

  void judge() {
    std::vector<std::int64_t> log;  // ids that are stored, or lost as negative numbers
    std::set<Id> unknown;
    for (const Event& event : store_.log) {
      if (event.type == EventType::kHistoryUnknown) {
        const std::vector<Id>& path = path_at_.at(event.epoch);
        unknown.insert(path.begin(), path.begin() + static_cast<std::ptrdiff_t>(event.seq.value) - 1);
      }
      for (std::uint64_t i = 0; i < places(event); ++i) {
        const auto id = truth_.find({event.epoch, event.seq.value + i});
        if (id == truth_.end()) return fail("an event of an entry that never was", event);
        const bool lost = event.type == EventType::kLoss;
        log.push_back(lost ? -static_cast<std::int64_t>(id->second) : static_cast<std::int64_t>(id->second));
        if (event.type == EventType::kTelemetry && event.batch != std::to_string(id->second)) {
          return fail("the payload of another entry", event);
        }
      }
    }
    std::map<Id, std::size_t> place;
    for (std::size_t i = 0; i < log.size(); ++i) {
      const bool first = place.emplace(std::abs(log[i]), i).second;
      if (!first && plan_.epochs_kept >= 1000) wrong_ = "entry " + std::to_string(log[i]) + " twice";
    }
    std::size_t last = 0;
    for (const Id id : flash_.path) {
      const auto found = place.find(id);
      if (found == place.end()) {
        if (!unknown.contains(id)) wrong_ = "entry " + std::to_string(id) + " is lost in silence";
        continue;
      }
      if (unknown.contains(id)) continue;  // a copy of the flash that had it came later
      if (plan_.epochs_kept >= 1000 && found->second < last) wrong_ = "out of order";
      last = found->second;
    }
  }
  void fail(const char* what, const Event& event) {
    wrong_ = std::string(what) + ": seq " + std::to_string(event.seq.value);
  }

  const Plan plan_;
  std::mt19937_64 random_;
  bool faults_ = true;
  std::int64_t now_ = 0;
  std::string wrong_;

  Flash flash_;
  Epoch epoch_{};
  std::uint32_t boot_ = 1;
  Try try_{};
  bool answered_ = false;
  std::uint64_t position_ = 1;
  Id ids_ = 0;
  std::map<std::pair<Epoch, std::uint64_t>, Id> truth_;
  std::map<Epoch, std::vector<Id>> path_at_;  // when the mark was written

  std::vector<Flash> flashes_;
  std::vector<test::MemoryStore> databases_;
  std::vector<Message> late_messages_;
  std::vector<codec::Ack> late_acks_;
  std::vector<codec::Ack> acks_;

  test::MemoryStore store_;
  Ingest ingest_{limits(), {}};
};

// GODWIT_SEEDS=N: so many times as many.
void explore(Plan plan, unsigned seeds) {
  const char* const more = std::getenv("GODWIT_SEEDS");
  if (more != nullptr) seeds *= static_cast<unsigned>(std::atoi(more));
  for (unsigned seed = 1; seed <= seeds; ++seed) {
    const std::string wrong = World(seed, plan).run();
    ASSERT_EQ(wrong, "") << "seed " << seed;
  }
}

TEST(HistoryWorld, StoresEachEntryOnceAndInOrderOrReportsItLost) { explore({}, 500); }

TEST(HistoryWorld, SaysWhatItCannotKnowWhenTheDeviceForgetsItsMarks) {
  explore({.ring = 4, .marks_kept = 1}, 500);
}

TEST(HistoryWorld, LosesNothingInSilenceWhenTheGatewayForgetsEpochs) {
  explore({.ring = 4, .marks_kept = 2, .epochs_kept = 3}, 500);
}

// Hundreds of starts, so that marks have to be asked for.
TEST(HistoryWorld, GoesOnOverMoreStartsThanAHelloNames) { explore({.ring = 60, .steps = 1200}, 30); }

}  // namespace
}  // namespace godwit::gateway
