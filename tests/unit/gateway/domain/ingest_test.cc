// SPDX-License-Identifier: Apache-2.0
// What Ingest makes of messages: events, acks, presence, tables, limits. The history of one log:
// history_test.cc; at random: history_world_test.cc.
#include "gateway/domain/ingest.h"

#include <gtest/gtest.h>

#include <sstream>

#include "gateway/domain/event_json.h"
#include "gateway/domain/hello.h"
#include "tests/unit/gateway/domain/memory_store.h"
#include "tests/unit/gateway/messages.h"

namespace godwit::gateway {
namespace {

using test::kEpoch;
using test::received;
using test::try_of;

constexpr Epoch kOther{0xfedcba9876543210U};

// "epoch1 online 2 3 loss4+4 offline:will": what was appended, in order.
std::string text(const std::vector<Event>& events) {
  std::ostringstream out;
  for (const Event& event : events) {
    if (out.tellp() > 0) out << ' ';
    switch (event.type) {
      case EventType::kTelemetry:
        out << event.seq.value;
        break;
      case EventType::kLoss:
        out << "loss" << event.seq.value << '+' << event.count;
        break;
      case EventType::kEpoch:
        out << "epoch" << event.seq.value;
        break;
      case EventType::kDeviceOnline:
        out << "online";
        break;
      case EventType::kDeviceOffline:
        out << "offline" << static_cast<int>(event.offline_reason);
        break;
      case EventType::kHistoryReplaced:
        out << "replaced" << event.seq.value << "not" << event.count;
        break;
      case EventType::kHistoryUnknown:
        out << "unknown" << event.seq.value;
        break;
      case EventType::kHistoryForgotten:
        out << "forgotten" << event.count;
        break;
      case EventType::kTableConflict:
        out << "conflict";
        break;
      case EventType::kDeviceThrottled:
        out << "throttled" << event.count;
        break;
    }
  }
  return out.str();
}

// "3 rewind": next_seq and flags of each ack; "hello": one that asks for a hello, under no try.
std::string text(const std::vector<AckTo>& acks) {
  std::ostringstream out;
  for (const auto& [device, ack] : acks) {
    if (out.tellp() > 0) out << ", ";
    if (ack.try_id == Try{}) {
      out << (ack.send_hello ? "hello" : "nonsense");
      continue;
    }
    out << ack.next_seq.value << (ack.rewind ? " rewind" : "") << (ack.send_hello ? " hello" : "");
    if (ack.marks_before != Seq{}) out << " marks<" << ack.marks_before.value;
  }
  return out.str();
}

struct Result {
  std::string events;
  std::string acks;
  friend bool operator==(const Result&, const Result&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Result& result) {
    return out << "events [" << result.events << "] acks [" << result.acks << "]";
  }
};

class IngestTest : public testing::Test {
 protected:
  // Handles the messages as one transaction.
  Result commit(const std::vector<Message>& messages) {
    for (const Message& message : messages) statuses_.push_back(ingest_.handle(message));
    return finish();
  }
  Result finish() {
    Changes changes = ingest_.take();
    store_.commit(changes);
    const std::string events = text(changes.events);
    return {events, text(ingest_.committed(std::move(changes)))};
  }
  void introduce(std::string_view from = "d1") { commit(test::introduction(kEpoch, from)); }
  // Another process goes on with what is committed.
  void restart() { ingest_ = Ingest(limits_, store_.devices); }
  const DeviceRow& row(std::string_view id = "d1") { return store_.of(test::device(id)).row; }

  IngestLimits limits_;
  test::MemoryStore store_;
  Ingest ingest_{limits_, {}};
  std::vector<Status> statuses_;
};

Message rec(std::uint64_t seq, std::int64_t after_ms = 0) {
  return test::record(kEpoch, seq, "d1", received(after_ms));
}
Message gap(std::uint64_t seq, std::uint64_t count) { return test::loss(kEpoch, seq, count); }

TEST_F(IngestTest, AnnouncesANewDeviceAndAnswersItsHello) {
  EXPECT_EQ(commit({test::hello()}), (Result{"online", "1"}));
  EXPECT_EQ(commit({test::hello()}), (Result{"", "1"})) << "the same hello again says nothing new";
  EXPECT_EQ(commit({test::mark()}), (Result{"epoch1", "2"}));
}

struct StreamCase {
  const char* description;
  std::vector<std::vector<Message>> transactions;
  std::vector<Result> results;
};

class IngestStream : public IngestTest, public testing::WithParamInterface<StreamCase> {};

TEST_P(IngestStream, KeepsOrderAndAnswers) {
  introduce();
  const StreamCase& scenario = GetParam();
  for (std::size_t i = 0; i < scenario.transactions.size(); ++i) {
    EXPECT_EQ(commit(scenario.transactions[i]), scenario.results[i])
        << scenario.description << ", step " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Rules, IngestStream,
    testing::Values(
        StreamCase{
            "in order, one ack for all of a transaction", {{rec(2), rec(3), rec(4)}}, {{"2 3 4", "5"}}},
        StreamCase{"a repeat is acknowledged again", {{rec(2)}, {rec(2)}}, {{"2", "3"}, {"", "3"}}},
        StreamCase{"a repeat in the same transaction", {{rec(2), rec(2), rec(3)}}, {{"2 3", "4"}}},
        StreamCase{"a gap asks for a rewind", {{rec(3)}}, {{"", "2 rewind"}}},
        StreamCase{"a gap asks once, whatever follows it",
                   {{rec(4)}, {rec(5)}, {rec(6, 999)}},
                   {{"", "2 rewind"}, {"", ""}, {"", ""}}},
        StreamCase{"a gap asks again after a pause",
                   {{rec(4)}, {rec(5, 1000)}},
                   {{"", "2 rewind"}, {"", "2 rewind"}}},
        StreamCase{"a new gap after progress asks at once",
                   {{rec(3)}, {rec(2)}, {rec(4)}},
                   {{"", "2 rewind"}, {"2", "3"}, {"", "3 rewind"}}},
        StreamCase{
            "progress in the same transaction takes the rewind back", {{rec(3), rec(2)}}, {{"2", "3"}}},
        StreamCase{"a repeat does not end a gap",
                   {{rec(2)}, {rec(4)}, {rec(2)}, {rec(5)}},
                   {{"2", "3"}, {"", "3 rewind"}, {"", "3"}, {"", ""}}},
        StreamCase{"a loss range is taken whole", {{gap(2, 5)}, {rec(7)}}, {{"loss2+5", "7"}, {"7", "8"}}},
        StreamCase{"a repeated loss range",
                   {{gap(2, 5)}, {gap(2, 5)}, {gap(3, 4)}},
                   {{"loss2+5", "7"}, {"", "7"}, {"", "7"}}},
        StreamCase{"of a loss range that has grown, the rest is taken",
                   {{rec(2), rec(3)}, {gap(2, 4)}},
                   {{"2 3", "4"}, {"loss4+2", "6"}}},
        StreamCase{"a loss range above is a gap", {{gap(3, 3)}}, {{"", "2 rewind"}}},
        StreamCase{"a hello in between is answered with what is expected",
                   {{rec(2), rec(3)}, {test::hello()}, {rec(4)}},
                   {{"2 3", "4"}, {"", "4"}, {"4", "5"}}}),
    [](const auto& instance) { return std::to_string(instance.index); });

// ---- under which hello -----------------------------------------------------------------------------

TEST_F(IngestTest, ARecordUnderAnotherHelloIsNotTakenAndAsksForOne) {
  introduce();
  EXPECT_EQ(commit({test::record(kOther, 2)}), (Result{"", "hello"}));
  EXPECT_EQ(commit({test::record(kOther, 2, "d1", received(4999))}), (Result{"", ""})) << "asked already";
  EXPECT_EQ(commit({test::record(kOther, 2, "d1", received(5000))}), (Result{"", "hello"}));
  EXPECT_EQ(commit({rec(2, 5001)}), (Result{"2", "3"})) << "the stream has not moved";
  EXPECT_EQ(
      commit({test::record(kOther, 2, "d1", received(5002)), test::hello(kEpoch, "d1", received(5003))}),
      (Result{"", "3"}))
      << "its hello came by itself";
  EXPECT_EQ(commit({test::record(kOther, 2, "d1", received(5004))}), (Result{"", "hello"}))
      << "no request is under way since that hello";
}

TEST_F(IngestTest, AfterARestartARecordCountsOnceAHelloWasHeard) {
  introduce();
  restart();
  EXPECT_EQ(commit({rec(2)}), (Result{"", "hello"}));
  EXPECT_EQ(commit({test::hello(), rec(2)}), (Result{"2", "3"}));
}

TEST_F(IngestTest, ALateHelloOfAnotherFlashDoesNotFileRecordsUnderItsPath) {
  introduce();
  codec::Hello late = test::greeting(kOther);
  late.try_id = {77};
  EXPECT_EQ(commit({test::hello(late)}).acks, "1");
  EXPECT_EQ(commit({rec(2)}), (Result{"", "hello"}));
}

TEST_F(IngestTest, AnAckNamesTheTryThatItAnswers) {
  introduce();
  for (const Message& message : {test::hello(), rec(2)}) {
    ASSERT_EQ(ingest_.handle(message), Status::kOk);
    const auto acks = ingest_.committed(ingest_.take());
    ASSERT_EQ(acks.size(), 1U);
    EXPECT_EQ(acks[0].ack.try_id, try_of(kEpoch));
  }
}

TEST_F(IngestTest, AsksForOlderMarksWhenNoneIsKnown) {
  codec::Hello greeting = test::greeting();
  greeting.oldest_seq = Seq{50};
  greeting.marks[0] = {kEpoch, {60}};
  greeting.more_marks = true;
  EXPECT_EQ(commit({test::hello(greeting)}), (Result{"online", "1 marks<60"}));
  greeting.marks[0] = {kOther, {40}};
  greeting.marks_before = Seq{60};
  greeting.more_marks = false;
  EXPECT_EQ(commit({test::hello(greeting)}), (Result{"", "40"}));
  EXPECT_EQ(commit({gap(40, 21)}), (Result{"unknown40 loss40+20 loss60+1", "61"}))
      << "one range of the device, split where its epochs change";
  EXPECT_EQ(store_.log[2].epoch, kOther);
  EXPECT_EQ(store_.log[3].epoch, kEpoch);
}

TEST_F(IngestTest, AsksForAWholeHelloWhenItGetsAPartOfNone) {
  codec::Hello part = test::greeting();
  part.marks_before = Seq{60};
  EXPECT_EQ(commit({test::hello(part)}), (Result{"online", "hello"}));
}

TEST_F(IngestTest, SaysWhenTheStorageOfADeviceWasReplaced) {
  introduce();
  commit({rec(2), rec(3), rec(4)});
  codec::Hello restored = test::greeting(kOther);
  restored.marks[0] = {kOther, {3}};
  restored.marks[1] = {kEpoch, {1}};
  restored.marks_count = 2;
  EXPECT_EQ(commit({test::hello(restored)}), (Result{"", "3"}));
  EXPECT_EQ(commit({test::mark(kOther, 3)}), (Result{"replaced3not5 epoch3", "4"}));
  EXPECT_EQ(row().head, (Mark{kOther, {3}}));
  EXPECT_EQ(ingest_.counters().replaced, 1U);
}

// ---- records --------------------------------------------------------------------------------------

TEST_F(IngestTest, RecordsThatTheDeviceRefusedAreALossWithOneSeq) {
  introduce();
  const auto refused = [](std::uint64_t seq, codec::RefusedReason reason) {
    return test::record(
        {.try_id = try_of(kEpoch), .seq = {seq}, .refused = codec::Refused{.count = 9, .reason = reason}});
  };
  EXPECT_EQ(
      commit({refused(2, codec::RefusedReason::kFull), refused(3, codec::RefusedReason::kFlash), rec(4)}),
      (Result{"loss2+9 loss3+9 4", "5"}));
  EXPECT_EQ(store_.log[2].loss_reason, LossReason::kRefusedFull);
  EXPECT_EQ(store_.log[3].loss_reason, LossReason::kRefusedFlash);
  EXPECT_EQ(places(store_.log[2]), 1U);
  EXPECT_EQ(store_.of(test::device()).streams[0].lost, 18U);
}

// A loss that the gateway made stays one, whatever the device says afterwards.
TEST_F(IngestTest, AQuarantinedRecordIsALossAndTheStreamGoesOn) {
  introduce();
  for (std::uint64_t seq = 2; seq <= 4; ++seq) ASSERT_EQ(ingest_.handle(rec(seq)), Status::kOk);
  ASSERT_EQ(ingest_.handle(test::message(topics::Leaf::kLive, test::batch())), Status::kOk);
  Changes changes = ingest_.take();
  EXPECT_TRUE(ingest_.quarantine(changes, 1, "too big"));
  EXPECT_TRUE(ingest_.quarantine(changes, 3, "too big")) << "live samples";
  EXPECT_FALSE(ingest_.quarantine(changes, 3, "too big")) << "nothing is left of it";
  EXPECT_TRUE(changes.latest.empty()) << "it would have been the newest of its table";
  store_.commit(changes);
  EXPECT_EQ(text(changes.events), "2 loss3+1 4 0");
  EXPECT_EQ(changes.events[1].loss_reason, LossReason::kQuarantined);
  EXPECT_EQ(text(ingest_.committed(std::move(changes))), "5");
  EXPECT_EQ(store_.of(test::device()).streams[0], (StreamState{{kEpoch, kFirstSeq}, {5}, 2, 1}));
  EXPECT_EQ(commit({test::hello(), rec(3), rec(5)}), (Result{"5", "6"}));
  EXPECT_EQ(store_.of(test::device()).streams[0], (StreamState{{kEpoch, kFirstSeq}, {6}, 3, 1}));
}

TEST_F(IngestTest, KeepsARecordWhoseBatchItCannotRead) {
  introduce();
  EXPECT_EQ(commit({test::record(kEpoch, Seq{2}, "\xff\xff"), rec(3)}), (Result{"2 3", "4"}));
}

// Nobody would send it again had it been lost on the way.
TEST_F(IngestTest, ARecordAtQos0IsMalformed) {
  introduce();
  Message unsure = rec(2);
  unsure.qos = 0;
  EXPECT_EQ(commit({unsure}), (Result{"", ""}));
  EXPECT_EQ(statuses_.back(), Status::kMalformed);
}

TEST_F(IngestTest, DropsWhatDoesNotDecodeWithoutAnAnswer) {
  introduce();
  for (const char* garbage : {"", "\xff", "\x01\x02\x03", "\x0d\x00\x00\x00\x00\x10\x01"}) {
    for (const auto leaf : {topics::Leaf::kHello, topics::Leaf::kRecord, topics::Leaf::kLive}) {
      EXPECT_EQ(commit({test::message(leaf, garbage)}), (Result{"", ""}));
      EXPECT_EQ(statuses_.back(), Status::kMalformed);
    }
  }
  EXPECT_EQ(ingest_.counters().malformed, 12U);
}

TEST_F(IngestTest, RefusesSequenceNumbersThatTheDatabaseCannotHold) {
  introduce();
  constexpr std::uint64_t kHuge = std::uint64_t{1} << 63U;
  codec::Hello greeting = test::greeting();
  greeting.next_seq = Seq{kHuge};
  const std::size_t before = statuses_.size();
  commit({rec(~std::uint64_t{0}), rec(kHuge), gap(2, kHuge), test::hello(greeting),
          test::record({.try_id = try_of(kEpoch), .seq = {2}, .refused = codec::Refused{.count = kHuge}})});
  for (std::size_t i = before; i < statuses_.size(); ++i) EXPECT_EQ(statuses_[i], Status::kMalformed) << i;
}

TEST_F(IngestTest, LiveSamplesOfAKnownDeviceHaveNoPlaceInAStream) {
  EXPECT_EQ(commit({test::message(topics::Leaf::kLive, test::batch())}), (Result{"", ""}));
  EXPECT_EQ(statuses_.back(), Status::kNotFound);
  introduce();
  EXPECT_EQ(commit({test::message(topics::Leaf::kLive, test::batch())}), (Result{"0", ""}));
  EXPECT_EQ(store_.log.back().seq, kLiveSeq);
  EXPECT_EQ(store_.log.back().epoch, kEpoch);
  EXPECT_EQ(commit({rec(2)}), (Result{"2", "3"})) << "the stream has not moved";
  restart();
  commit({test::message(topics::Leaf::kLive, test::batch())});
  EXPECT_EQ(store_.log.back().epoch, Epoch{}) << "which boot took them is not known before its hello";
}

// ---- presence -------------------------------------------------------------------------------------

TEST_F(IngestTest, SaysWhenADeviceComesAndGoes) {
  const Message will = test::message(topics::Leaf::kGone, "");
  EXPECT_EQ(commit({will}), (Result{"", ""})) << "nobody we know";
  introduce();
  EXPECT_EQ(commit({will, will}), (Result{"offline1", ""}));
  EXPECT_EQ(commit({rec(2)}), (Result{"online 2", "3"})) << "a record proves that it is there";
  EXPECT_EQ(commit({test::message(topics::Leaf::kGone, "bye")}), (Result{"offline2", ""})) << "it said so";
}

TEST_F(IngestTest, ADeviceThatRestartedUnseenGoesOfflineBeforeItComesOnline) {
  introduce();
  codec::Hello restarted = test::greeting();
  restarted.boot = 2;
  EXPECT_EQ(commit({test::hello(restarted)}), (Result{"offline4 online", "2"}));
  EXPECT_EQ(commit({test::hello(restarted)}), (Result{"", "2"}));
}

Message hello_of_boot(std::uint32_t boot, std::optional<codec::Crash> crash = {}) {
  codec::Hello greeting = test::greeting();
  greeting.boot = boot;
  greeting.health = codec::Health{.stack_used = boot, .stack_size = 4096};
  greeting.crash = crash;
  return test::hello(greeting);
}

TEST_F(IngestTest, ACrashIsToldOfOnceWhateverManyHellosOfABootTellOfIt) {
  const codec::Crash first{.kind = codec::CrashKind::kFault, .pc = 11};
  const codec::Crash second{.kind = codec::CrashKind::kFault, .pc = 22};
  const Message gone = test::message(topics::Leaf::kGone, "");
  // What the events tell of crashes, and the boot that told of the last one.
  const auto say = [&](const Message& message) {
    const std::size_t before = store_.log.size();
    commit({message});
    std::ostringstream out;
    for (std::size_t i = before; i < store_.log.size(); ++i) {
      const auto hello = unpack(store_.log[i].hello);
      if (hello) out << "online";
      if (hello && hello->crash) out << ':' << hello->crash->pc;
    }
    const auto last = unpack(row().last_crash.hello);
    out << " last:" << (last ? last->boot : 0);
    return out.str();
  };
  EXPECT_EQ(say(hello_of_boot(4)), "online last:0");
  EXPECT_EQ(say(hello_of_boot(5, first)), "online:11 last:5");
  EXPECT_EQ(say(hello_of_boot(5, first)), " last:5") << "the same hello again says nothing new";
  EXPECT_EQ(say(gone), " last:5");
  EXPECT_EQ(say(hello_of_boot(5, first)), "online last:5");
  EXPECT_EQ(say(hello_of_boot(6, second)), "online:22 last:6") << "it crashed again, and its will never came";
  EXPECT_EQ(say(hello_of_boot(7)), "online last:6");
}

TEST_F(IngestTest, KeepsWhatTheLastHelloSaid) {
  commit({hello_of_boot(1)});
  codec::Hello worse = test::greeting();
  worse.health = codec::Health{.stack_used = 2, .stack_size = 4096};
  worse.log_state = codec::LogState::kDegraded;
  worse.bad_sectors = 3;
  commit({test::hello(worse)});
  EXPECT_EQ(row().report.health.stack_used, 2U);
  EXPECT_EQ(row().report.log_state, codec::LogState::kDegraded);
  EXPECT_EQ(row().report.bad_sectors, 3U);
  commit({test::hello()});
  EXPECT_EQ(row().report.health, codec::Health{}) << "what it does not say any more is not known";
}

std::string names(const std::vector<AckTo>& acks) {
  std::string out;
  for (const auto& [device, ack] : acks) out += std::string(device.view()) + (ack.send_hello ? " " : "? ");
  return out;
}

TEST_F(IngestTest, AfterItsStartAsksEverybodyAFewAtATime) {
  for (const char* name : {"c", "a", "e", "b"}) introduce(name);
  commit({test::message(topics::Leaf::kGone, "", "c")});
  restart();
  EXPECT_FALSE(ingest_.asks_due());
  ingest_.session_started();
  EXPECT_EQ(names(ingest_.take_asks(2, Instant(Millis{0}))), "a e ");
  commit({test::hello(kEpoch, "b", received(10))});
  EXPECT_EQ(names(ingest_.take_asks(2, Instant(Millis{20}))), "c ")
      << "b came by itself; the database may be a copy from before c came online";
  EXPECT_FALSE(ingest_.asks_due());

  ingest_.session_started();
  EXPECT_EQ(names(ingest_.take_asks(9, Instant(Millis{30}))), "a e b ") << "only the broker was away";
}

TEST_F(IngestTest, CountsTheSilentAsGoneAfterTheyWereAskedThreeTimes) {
  for (const char* name : {"silent", "alive"}) introduce(name);
  ingest_.session_started();
  std::int64_t now = 0;
  for (int asked = 1; asked <= 3; ++asked, now += 20'000) {
    EXPECT_EQ(names(ingest_.take_asks(9, Instant(Millis{now}))), asked == 1 ? "silent alive " : "silent ");
    commit({test::hello(kEpoch, "alive", received(now + 1))});
    ingest_.tick(received(now + 19'999));
    EXPECT_FALSE(ingest_.asks_due());
    EXPECT_EQ(finish().events, "");
    ingest_.tick(received(now + 20'000));
    EXPECT_EQ(ingest_.asks_due(), asked < 3);
  }
  EXPECT_EQ(finish().events, "offline3");
  EXPECT_EQ(store_.log.back().device, "silent");
}

// A Raspberry Pi without a clock starts in 1970, and is then set.
TEST_F(IngestTest, AStepOfTheWallClockMovesNoTimer) {
  introduce();
  ingest_.session_started();
  EXPECT_EQ(ingest_.take_asks(9, Instant(Millis{0})).size(), 1U);
  for (const std::int64_t year_ms : {31'536'000'000, -31'536'000'000}) {
    Received stepped = received(10);
    stepped.unix_time.value += year_ms;
    ingest_.tick(stepped);
    EXPECT_FALSE(ingest_.asks_due());
    EXPECT_EQ(finish().events, "");
  }
  Message above = rec(9, 20);
  EXPECT_EQ(commit({above}).acks, "2 rewind");
  above.received.unix_time.value += 31'536'000'000;
  EXPECT_EQ(commit({above}).acks, "") << "a year of the wall clock is no pause";
}

TEST_F(IngestTest, TheTimeOfTheLastMessageOfADeviceIsKeptNowAndThen) {
  introduce();
  ingest_.tick(received(0));
  finish();
  commit({test::hello(kEpoch, "d1", received(3000))});
  ingest_.tick(received(9999));
  Changes nothing = ingest_.take();
  EXPECT_TRUE(nothing.empty()) << "not for each message";
  EXPECT_TRUE(ingest_.committed(std::move(nothing)).empty());
  ingest_.tick(received(10'000));
  finish();
  EXPECT_EQ(row().last_seen, received(3000).unix_time);

  commit({rec(2, 11'000)});
  ingest_.tick(received(20'000));
  finish();
  EXPECT_EQ(row().last_seen, received(11'000).unix_time);
  ingest_.tick(received(30'000));
  EXPECT_TRUE(ingest_.take().seen.empty()) << "nothing was heard";
}

TEST_F(IngestTest, CountsWhatBecameOfEachMessage) {
  limits_.devices_max = 1;
  restart();
  introduce();  // a hello and a mark
  commit({rec(2), rec(3), rec(2), rec(9), gap(4, 5)});
  commit({test::record({.try_id = try_of(kEpoch), .seq = {9}, .refused = codec::Refused{.count = 7}})});
  commit({test::message(topics::Leaf::kLive, test::batch()), test::record(kOther, 2),
          test::message(topics::Leaf::kRecord, "\xff"), test::mark(kEpoch, 1, "d2"),
          test::message(topics::Leaf::kAck, "")});
  const IngestCounters& counters = ingest_.counters();
  EXPECT_EQ(counters.messages, 13U);
  EXPECT_EQ(counters.records, 2U);
  EXPECT_EQ(counters.losses, 2U) << "one of them of what the device refused";
  EXPECT_EQ(counters.lost_records, 12U);
  EXPECT_EQ(counters.duplicates, 1U);
  EXPECT_EQ(counters.gaps, 1U);
  EXPECT_EQ(counters.live, 1U);
  EXPECT_EQ(counters.foreign, 1U) << "of another try";
  EXPECT_EQ(counters.malformed, 1U);
  EXPECT_EQ(counters.refused, 1U) << "a device too many";
  EXPECT_EQ(counters.table_conflicts, 0U);
}

// ---- time -----------------------------------------------------------------------------------------

Message hello_with_time(Epoch epoch, std::int64_t zero, codec::TimeQuality quality, std::uint32_t boot = 1) {
  codec::Hello greeting = test::greeting(epoch);
  greeting.boot = boot;
  greeting.boot_time = UnixMillis{zero};
  greeting.health = codec::Health{.time_quality = quality};
  return test::hello(greeting);
}

TEST_F(IngestTest, KeepsTheTimeOfABootThatWasToldFirstOrByTheBetterClock) {
  using enum codec::TimeQuality;
  const auto time = [&] { return store_.of(test::device()).boots.at(0).time; };
  commit({hello_with_time(kEpoch, 1000, kHoldover)});
  EXPECT_EQ(time(), (BootTime{{1000}, kHoldover}));
  commit({hello_with_time(kEpoch, 1500, kHoldover)});
  EXPECT_EQ(time(), (BootTime{{1000}, kHoldover})) << "drift since then is no news of its beginning";
  commit({hello_with_time(kEpoch, 2000, kSynced)});
  EXPECT_EQ(time(), (BootTime{{2000}, kSynced}));
  commit({hello_with_time(kEpoch, 3000, kHoldover), hello_with_time(kEpoch, 3000, kSynced)});
  EXPECT_EQ(time(), (BootTime{{2000}, kSynced}));
  restart();
  commit({hello_with_time(kEpoch, 3000, kSynced)});
  EXPECT_EQ(time(), (BootTime{{2000}, kSynced}));
}

TEST_F(IngestTest, ATimeOfNoEpochIsOfNoUse) {
  codec::Hello greeting = test::greeting();
  greeting.epoch = {};  // nothing was appended since the log was mounted
  greeting.boot_time = UnixMillis{1000};
  commit({test::hello(greeting)});
  EXPECT_TRUE(store_.of(test::device()).boots.empty());
}

TEST_F(IngestTest, OverTheLimitOfBootsForgetsTheTimeToldFirst) {
  limits_.boots_per_device_max = 3;
  restart();
  for (std::uint64_t i = 1; i <= 100; ++i) {
    commit({hello_with_time({i}, 1000, codec::TimeQuality::kSynced, static_cast<std::uint32_t>(i))});
  }
  const auto& boots = store_.of(test::device()).boots;
  ASSERT_EQ(boots.size(), 3U);
  EXPECT_EQ(boots[0].epoch, Epoch{98});
  EXPECT_EQ(boots[2].epoch, Epoch{100});
}

TEST_F(IngestTest, OverTheLimitOfBootsForgetsThoseOfTheSameTransactionToo) {
  limits_.boots_per_device_max = 3;
  restart();
  std::vector<Message> flood;
  for (std::uint64_t i = 1; i <= 100; ++i) {
    flood.push_back(hello_with_time({i}, 1000, codec::TimeQuality::kSynced, static_cast<std::uint32_t>(i)));
  }
  commit(flood);
  const auto& boots = store_.of(test::device()).boots;
  ASSERT_EQ(boots.size(), 3U);
  EXPECT_EQ(boots[0].epoch, Epoch{98});
  EXPECT_EQ(boots[2].epoch, Epoch{100});
}

// ---- tables ---------------------------------------------------------------------------------------

TEST_F(IngestTest, KeepsARecordWhoseTableItDoesNotKnowAndAsksForTheTableNowAndThen) {
  const auto unknown = [](std::uint64_t seq, std::int64_t after_ms) {
    return test::record(kEpoch, Seq{seq}, test::batch(0, {.table = 77}), "d1", received(after_ms));
  };
  introduce();
  EXPECT_EQ(commit({unknown(2, 0)}), (Result{"2", "3, hello"}));
  EXPECT_EQ(commit({unknown(3, 4999)}), (Result{"3", "4"}));
  EXPECT_EQ(commit({test::hello(), unknown(4, 4999)}), (Result{"4", "5"})) << "its hello has not helped";
  EXPECT_EQ(commit({unknown(5, 5000)}), (Result{"5", "6, hello"}));
}

std::array<codec::Channel, 1> channel(std::string_view unit) { return {{{.name = "x", .unit = unit}}}; }

Message hello_with(std::initializer_list<const codec::ChannelTable*> tables) {
  const std::vector<const codec::ChannelTable*> all(tables);
  return test::hello(test::greeting(), all);
}

TEST_F(IngestTest, OverTheLimitOfTablesForgetsTheOneLeastRecentlyUsed) {
  limits_.tables_per_device_max = 2;
  restart();
  const auto channels = channel("V");
  const auto table = [&](std::string_view name) {
    return codec::ChannelTable{.name = name, .period = Millis{10}, .channels = channels};
  };
  const codec::ChannelTable a = table("a");
  const codec::ChannelTable b = table("b");
  const codec::ChannelTable c = table("c");
  const auto use = [](std::uint64_t seq, const codec::ChannelTable& used) {
    return test::record(kEpoch, Seq{seq}, test::batch(0, {.table = codec::hash(used)}));
  };
  const auto kept = [&] {
    std::vector<std::uint32_t> hashes;
    for (const TableState& one : store_.of(test::device()).tables) hashes.push_back(one.hash);
    return hashes;
  };
  commit({hello_with({&a}), test::mark()});
  commit({hello_with({&b}), use(2, b), use(3, a)});
  EXPECT_EQ(kept(), (std::vector{codec::hash(a), codec::hash(b)}));
  EXPECT_EQ(commit({hello_with({&c})}).events, "");
  EXPECT_EQ(kept(), (std::vector{codec::hash(a), codec::hash(c)})) << "a was used after b";
  EXPECT_EQ(commit({hello_with({&c, &b, &a}), use(4, a)}), (Result{"4", "5"}))
      << "three at once: the third has no room, and is not asked for again";
  EXPECT_EQ(statuses_[statuses_.size() - 2], Status::kFull);
  EXPECT_EQ(kept(), (std::vector{codec::hash(c), codec::hash(b)}));
}

TEST_F(IngestTest, ATableThatComesAndGoesInOneTransactionIsNotWritten) {
  limits_.tables_per_device_max = 1;
  restart();
  const auto volts = channel("V");
  const auto watts = channel("W");
  const codec::ChannelTable a{.name = "a", .period = Millis{10}, .channels = volts};
  const codec::ChannelTable b{.name = "b", .period = Millis{10}, .channels = watts};
  commit({hello_with({&a}), hello_with({&b}), hello_with({&a})});
  ASSERT_EQ(store_.of(test::device()).tables.size(), 1U);
  EXPECT_EQ(store_.of(test::device()).tables[0].hash, codec::hash(a));
}

// What is stored gets another digest: as if another table with the same CRC-32 had been announced before.
TEST_F(IngestTest, AnotherTableWithTheHashOfAKnownOneIsAConflictAndToldOnce) {
  introduce();
  store_.of(test::device()).tables.at(0).digest ^= 1U;
  restart();
  EXPECT_EQ(commit({test::hello()}).events, "conflict");
  EXPECT_EQ(store_.log.back().count, codec::hash(test::kSystemTable));
  EXPECT_TRUE(store_.of(test::device()).tables.at(0).conflict);
  EXPECT_EQ(commit({test::hello()}).events, "");
  EXPECT_EQ(ingest_.counters().table_conflicts, 1U);
  restart();
  EXPECT_EQ(commit({test::hello()}).events, "");
}

// ---- limits ---------------------------------------------------------------------------------------

TEST_F(IngestTest, OverTheLimitOfDevicesLeavesTheOthersAlone) {
  limits_.devices_max = 2;
  restart();
  EXPECT_EQ(commit({test::hello(kEpoch, "a"), test::hello(kEpoch, "b"), test::hello(kEpoch, "c")}),
            (Result{"online online", "1, 1"}));
  EXPECT_EQ(statuses_.back(), Status::kFull);
  EXPECT_EQ(commit({test::mark(kEpoch, 1, "c"), test::mark(kEpoch, 1, "a")}), (Result{"epoch1", "2"}));
}

// A device that begins epochs without end costs one event a minute.
TEST_F(IngestTest, OverTheLimitOfEpochsForgetsTheOldestAndSaysSoOnceAMinute) {
  limits_.epochs_per_device_max = 2;
  restart();
  std::string events;
  for (std::uint64_t i = 0; i < 120; ++i) {
    const Received at = received(static_cast<std::int64_t>(i) * 1000);
    codec::Hello greeting = test::greeting({i + 1});
    greeting.marks[0] = {{i + 1}, {i + 1}};
    greeting.marks[1] = {{i}, {i}};
    greeting.marks_count = i == 0 ? 1 : 2;
    greeting.next_seq = Seq{i + 2};
    events +=
        commit({test::hello(greeting, {}, "d1", at), test::mark({i + 1}, i + 1, "d1", at)}).events + ' ';
  }
  std::size_t told = 0;
  for (auto at = events.find("forgotten"); at != std::string::npos; at = events.find("forgotten", at + 1)) {
    ++told;
  }
  EXPECT_EQ(told, 2U) << events;
  EXPECT_EQ(ingest_.counters().forgotten_epochs, 118U);
  EXPECT_EQ(store_.of(test::device()).streams.size(), 2U);
  EXPECT_EQ(row().forgotten_records, 0U);
}

TEST_F(IngestTest, WhatForgottenEpochsHadStoredIsStillCounted) {
  limits_.epochs_per_device_max = 1;
  restart();
  introduce();
  commit({rec(2), rec(3), gap(4, 5)});
  codec::Hello next = test::greeting(kOther);
  next.marks[0] = {kOther, {9}};
  next.marks[1] = {kEpoch, {1}};
  next.marks_count = 2;
  EXPECT_EQ(commit({test::hello(next), test::mark(kOther, 9)}), (Result{"forgotten1 epoch9", "10"}));
  EXPECT_EQ(row().forgotten_records, 2U);
  EXPECT_EQ(row().forgotten_lost, 5U);
}

}  // namespace
}  // namespace godwit::gateway
