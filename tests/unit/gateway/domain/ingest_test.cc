// SPDX-License-Identifier: Apache-2.0
#include "gateway/domain/ingest.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <sstream>

#include "gateway/domain/event_json.h"
#include "gateway/domain/hello.h"
#include "tests/unit/gateway/messages.h"

namespace godwit::gateway {
namespace {

using test::kEpoch;
using test::kNow;

constexpr Epoch kOther{0xfedcba9876543210U};

// "epoch online 1 2 loss3+4": what was appended, in order.
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
        out << "epoch";
        break;
      case EventType::kDeviceOnline:
        out << "online";
        break;
      case EventType::kDeviceOffline:
        out << "offline";
        break;
      case EventType::kDeviceThrottled:
        out << "throttled" << event.count;
        break;
    }
  }
  return out.str();
}

// "3 rewind hello": next_seq and flags of each ack.
std::string text(const std::vector<AckTo>& acks) {
  std::ostringstream out;
  for (const AckTo& entry : acks) {
    if (out.tellp() > 0) out << ", ";
    out << entry.ack.next_seq.value << (entry.ack.rewind ? " rewind" : "")
        << (entry.ack.send_hello ? " hello" : "");
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
    Result result{text(ingest_.changes().events), ""};
    std::vector<AckTo> acks;
    ingest_.committed(acks);
    result.acks = text(acks);
    return result;
  }
  void introduce() { commit({test::hello()}); }

  IngestLimits limits_;
  Ingest ingest_{limits_, {}};
  std::vector<Status> statuses_;
};

UnixMillis later(std::int64_t ms) { return {kNow.value + ms}; }

TEST_F(IngestTest, AnnouncesANewDeviceAndAnswersItsHello) {
  EXPECT_EQ(commit({test::hello()}), (Result{"epoch online", "1"}));
  EXPECT_EQ(commit({test::hello()}), (Result{"", "1"})) << "the same hello again says nothing new";
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

Message rec(std::uint64_t seq, std::int64_t after_ms = 0) {
  return test::record(kEpoch, seq, "d1", later(after_ms));
}
Message gap(std::uint64_t seq, std::uint64_t count) { return test::loss(kEpoch, seq, count); }

INSTANTIATE_TEST_SUITE_P(
    Rules, IngestStream,
    testing::Values(
        StreamCase{
            "in order, one ack for all of a transaction", {{rec(1), rec(2), rec(3)}}, {{"1 2 3", "4"}}},
        StreamCase{"a repeat is acknowledged again", {{rec(1)}, {rec(1)}}, {{"1", "2"}, {"", "2"}}},
        StreamCase{"a repeat in the same transaction", {{rec(1), rec(1), rec(2)}}, {{"1 2", "3"}}},
        StreamCase{"a gap asks for a rewind", {{rec(2)}}, {{"", "1 rewind"}}},
        StreamCase{"a gap asks once, whatever follows it",
                   {{rec(3)}, {rec(4)}, {rec(5, 999)}},
                   {{"", "1 rewind"}, {"", ""}, {"", ""}}},
        StreamCase{"a gap asks again after a pause",
                   {{rec(3)}, {rec(4, 1000)}},
                   {{"", "1 rewind"}, {"", "1 rewind"}}},
        StreamCase{"a gap asks again when the clock was set back",
                   {{rec(3)}, {rec(4, -5)}},
                   {{"", "1 rewind"}, {"", "1 rewind"}}},
        StreamCase{"a new gap after progress asks at once",
                   {{rec(2)}, {rec(1)}, {rec(3)}},
                   {{"", "1 rewind"}, {"1", "2"}, {"", "2 rewind"}}},
        StreamCase{
            "progress in the same transaction takes the rewind back", {{rec(2), rec(1)}}, {{"1", "2"}}},
        StreamCase{"a repeat does not end a gap",
                   {{rec(1)}, {rec(3)}, {rec(1)}, {rec(4)}},
                   {{"1", "2"}, {"", "2 rewind"}, {"", "2"}, {"", ""}}},
        StreamCase{"a loss range is taken whole", {{gap(1, 5)}, {rec(6)}}, {{"loss1+5", "6"}, {"6", "7"}}},
        StreamCase{"a repeated loss range",
                   {{gap(1, 5)}, {gap(1, 5)}, {gap(2, 4)}},
                   {{"loss1+5", "6"}, {"", "6"}, {"", "6"}}},
        StreamCase{"of a loss range that has grown, the rest is taken",
                   {{rec(1), rec(2)}, {gap(1, 4)}},
                   {{"1 2", "3"}, {"loss3+2", "5"}}},
        StreamCase{"a loss range above is a gap", {{gap(2, 3)}}, {{"", "1 rewind"}}},
        StreamCase{"a new epoch begins anew, the old one may go on",
                   {{rec(1), test::record(kOther, 1)}, {rec(2), test::record(kOther, 2)}},
                   {{"1 epoch 1", "2, 2"}, {"2 2", "3, 3"}}},
        StreamCase{"a new epoch that does not begin with its first record",
                   {{test::record(kOther, 7)}},
                   {{"epoch", "1 rewind"}}},
        StreamCase{"the hello of a device that has gone back is answered with what is expected",
                   {{rec(1), rec(2)}, {test::hello()}},
                   {{"1 2", "3"}, {"", "3"}}}),
    [](const auto& instance) { return std::to_string(instance.index); });

// Every order of records, repeats, gaps and loss ranges of two epochs: whatever comes, each epoch's log is
// without gap or repeat, what is next is always taken, and each ack is what is expected.
TEST(IngestOrders, AnySequenceLeavesEachStreamInOrderAndOnce) {
  const std::vector<Message> alphabet{
      test::record(kEpoch, 1),  test::record(kEpoch, 2), test::record(kEpoch, 3), test::loss(kEpoch, 1, 2),
      test::loss(kEpoch, 2, 2), test::record(kOther, 1), test::record(kOther, 2)};
  struct Range {
    Epoch epoch;
    std::uint64_t first;
    std::uint64_t end;
  };
  const std::vector<Range> ranges{{kEpoch, 1, 2}, {kEpoch, 2, 3}, {kEpoch, 3, 4}, {kEpoch, 1, 3},
                                  {kEpoch, 2, 4}, {kOther, 1, 2}, {kOther, 2, 3}};
  constexpr std::size_t kLength = 5;
  std::size_t sequences = 1;
  for (std::size_t i = 0; i < kLength; ++i) sequences *= alphabet.size();

  for (std::size_t number = 0; number < sequences; ++number) {
    Ingest ingest({}, {});
    std::map<Epoch, std::uint64_t> expected;
    std::vector<AckTo> acks;
    std::size_t rest = number;
    for (std::size_t step = 0; step < kLength; ++step, rest /= alphabet.size()) {
      const Range& range = ranges[rest % alphabet.size()];
      std::uint64_t& next = expected.try_emplace(range.epoch, 1).first->second;
      const std::uint64_t first = next;
      const bool taken = range.first <= next && next < range.end;
      if (taken) next = range.end;

      ASSERT_EQ(ingest.handle(alphabet[rest % alphabet.size()]), Status::kOk);
      std::uint64_t appended = first;
      for (const Event& event : ingest.changes().events) {
        if (event.type != EventType::kTelemetry && event.type != EventType::kLoss) continue;
        ASSERT_EQ(event.epoch, range.epoch);
        ASSERT_EQ(event.seq.value, appended) << "sequence " << number;
        appended += event.count;
      }
      ASSERT_EQ(appended, next) << "sequence " << number << ", step " << step;
      ingest.committed(acks);
      for (const AckTo& entry : acks) {
        ASSERT_EQ(entry.ack.next_seq.value, expected.at(entry.ack.epoch)) << "sequence " << number;
      }
    }
  }
}

TEST_F(IngestTest, KeepsARecordWhoseTableItDoesNotKnowAndAsksForTheTableNowAndThen) {
  const auto unknown = [](std::uint64_t seq, std::int64_t after_ms) {
    return test::record(kEpoch, Seq{seq}, test::batch(0, {.table = 77}), "d1", later(after_ms));
  };
  introduce();
  EXPECT_EQ(commit({unknown(1, 0)}), (Result{"1", "2 hello"}));
  EXPECT_EQ(commit({unknown(2, 4999)}), (Result{"2", "3"}));
  EXPECT_EQ(commit({test::hello(), unknown(3, 4999)}), (Result{"3", "4"})) << "its hello has not helped";
  EXPECT_EQ(commit({unknown(4, 5000)}), (Result{"4", "5 hello"}));
}

TEST_F(IngestTest, KeepsARecordWhoseBatchItCannotRead) {
  introduce();
  EXPECT_EQ(commit({test::record(kEpoch, Seq{1}, "\xff\xff"), rec(2)}), (Result{"1 2", "3"}));
}

TEST_F(IngestTest, DropsWhatDoesNotDecodeWithoutAnAnswer) {
  introduce();
  for (const char* garbage : {"", "\xff", "\x01\x02\x03", "\x09\x00\x00\x00\x00\x00\x00\x00\x00"}) {
    for (const auto leaf : {topics::Leaf::kHello, topics::Leaf::kRecord, topics::Leaf::kLive}) {
      EXPECT_EQ(commit({test::message(leaf, garbage)}), (Result{"", ""}));
      EXPECT_EQ(statuses_.back(), Status::kMalformed);
    }
  }
  EXPECT_EQ(ingest_.counters().malformed, 12U);
}

TEST_F(IngestTest, RefusesSequenceNumbersThatTheDatabaseCannotHold) {
  introduce();
  commit({rec(~std::uint64_t{0}), rec(std::uint64_t{1} << 63U), gap(1, std::uint64_t{1} << 63U)});
  for (std::size_t i = 1; i < statuses_.size(); ++i) EXPECT_EQ(statuses_[i], Status::kMalformed) << i;
}

TEST_F(IngestTest, LiveSamplesOfAKnownDeviceHaveNoPlaceInAStream) {
  EXPECT_EQ(commit({test::message(topics::Leaf::kLive, test::batch())}), (Result{"", ""}));
  EXPECT_EQ(statuses_.back(), Status::kNotFound);
  introduce();
  ASSERT_EQ(ingest_.handle(test::message(topics::Leaf::kLive, test::batch())), Status::kOk);
  const Event& event = ingest_.changes().events.back();
  EXPECT_EQ(event.seq, kLiveSeq);
  EXPECT_EQ(event.epoch, kEpoch);
  EXPECT_EQ(finish(), (Result{"0", ""}));
  EXPECT_EQ(commit({rec(1)}), (Result{"1", "2"})) << "the stream has not moved";
}

TEST_F(IngestTest, SaysWhenADeviceComesAndGoes) {
  const Message gone = test::message(topics::Leaf::kGone, "");
  EXPECT_EQ(commit({gone}), (Result{"", ""})) << "nobody we know";
  introduce();
  EXPECT_EQ(commit({gone, gone}), (Result{"offline", ""}));
  EXPECT_EQ(commit({rec(1)}), (Result{"online 1", "2"})) << "a record proves that it is there";
  codec::Hello restarted;
  restarted.epoch = kEpoch;
  restarted.oldest_seq = restarted.next_seq = Seq{2};
  restarted.boot = 2;
  EXPECT_EQ(commit({test::hello(restarted, {})}), (Result{"online", "2"}))
      << "it restarted; its will never came";
}

Message hello_of_boot(std::uint32_t boot, std::optional<codec::Crash> crash = {}) {
  codec::Hello greeting{.epoch = kEpoch, .oldest_seq = kFirstSeq, .next_seq = kFirstSeq};
  greeting.boot = boot;
  greeting.health = codec::Health{.stack_used = boot, .stack_size = 4096};
  greeting.crash = crash;
  return test::hello(greeting, {});
}

// What the gathered events and their device say of crashes: "online:5 last:5", "online last:5".
std::string crashes(Ingest& ingest) {
  std::ostringstream out;
  for (const Event& event : ingest.changes().events) {
    const auto hello = unpack(event.hello);
    if (!hello) continue;
    out << type_name(event.type).substr(7);
    if (hello->crash) out << ':' << hello->crash->pc;
    out << ' ';
  }
  const auto last = unpack(ingest.changes().devices.at(0)->last_crash.hello);
  out << "last:" << (last ? last->boot : 0);
  std::vector<AckTo> acks;
  ingest.committed(acks);
  return out.str();
}

TEST_F(IngestTest, ACrashIsToldOfOnceWhateverManyHellosOfABootTellOfIt) {
  const codec::Crash first{.kind = codec::CrashKind::kFault, .pc = 11};
  const codec::Crash second{.kind = codec::CrashKind::kFault, .pc = 22};
  const Message gone = test::message(topics::Leaf::kGone, "");
  const auto say = [&](const Message& message) {
    EXPECT_EQ(ingest_.handle(message), Status::kOk);
    return crashes(ingest_);
  };
  EXPECT_EQ(say(hello_of_boot(4)), "online last:0");
  EXPECT_EQ(say(hello_of_boot(5, first)), "online:11 last:5");
  EXPECT_EQ(ingest_.handle(hello_of_boot(5, first)), Status::kOk);
  EXPECT_TRUE(ingest_.changes().empty()) << "the same hello again says nothing new";
  EXPECT_EQ(say(gone), "last:5");
  EXPECT_EQ(say(hello_of_boot(5, first)), "online last:5");
  EXPECT_EQ(say(hello_of_boot(6, second)), "online:22 last:6") << "it crashed again, and its will never came";
  EXPECT_EQ(say(hello_of_boot(7)), "online last:6");
}

TEST(IngestOfAnOlderGateway, ACrashThatItDidNotKeepIsToldOf) {
  DeviceState device(test::device());
  device.online = true;
  device.boot = 5;
  Ingest ingest({}, {device});
  EXPECT_EQ(ingest.handle(hello_of_boot(5, codec::Crash{.pc = 11})), Status::kOk);
  EXPECT_EQ(crashes(ingest), "online:11 last:5");
}

TEST_F(IngestTest, KeepsTheHealthOfTheLastHello) {
  commit({hello_of_boot(1)});
  EXPECT_EQ(ingest_.handle(hello_of_boot(2)), Status::kOk);
  EXPECT_EQ(ingest_.changes().devices.at(0)->health.stack_used, 2U);
  finish();
  EXPECT_EQ(ingest_.handle(test::hello()), Status::kOk);
  EXPECT_EQ(ingest_.changes().devices.at(0)->health, codec::Health{}) << "an older firmware says none";
}

TEST_F(IngestTest, AfterItsOwnAbsenceAsksWhoIsThereAndCountsTheSilentAsGone) {
  commit({test::hello(kEpoch, "a"), test::hello(kEpoch, "b"), test::hello(kEpoch, "c"),
          test::message(topics::Leaf::kGone, "", "c")});
  ingest_.session_started(kNow);
  EXPECT_EQ(finish(), (Result{"", "1 hello, 1 hello"}));
  commit({test::hello(kEpoch, "b", later(10))});
  ingest_.tick(later(59'999));
  EXPECT_EQ(finish().events, "");
  ingest_.tick(later(60'000));
  ASSERT_EQ(ingest_.changes().events.size(), 1U);
  EXPECT_EQ(ingest_.changes().events.front().device, "a");
  EXPECT_EQ(finish().events, "offline");
}

TEST_F(IngestTest, OverTheLimitOfDevicesLeavesTheOthersAlone) {
  limits_.devices_max = 2;
  ingest_ = Ingest(limits_, {});
  EXPECT_EQ(commit({test::hello(kEpoch, "a"), test::hello(kEpoch, "b"), test::hello(kEpoch, "c")}),
            (Result{"epoch online epoch online", "1, 1"}));
  EXPECT_EQ(statuses_.back(), Status::kFull);
  EXPECT_EQ(commit({test::record(kEpoch, 1, "c"), test::record(kEpoch, 1, "a")}), (Result{"1", "2"}));
}

TEST_F(IngestTest, OverTheLimitOfEpochsForgetsTheOldest) {
  limits_.epochs_per_device_max = 2;
  ingest_ = Ingest(limits_, {});
  commit({test::record(Epoch{1}, 1), test::record(Epoch{2}, 1)});
  ASSERT_EQ(ingest_.handle(test::record(Epoch{3}, 1)), Status::kOk);
  ASSERT_EQ(ingest_.changes().forgotten.size(), 1U);
  EXPECT_EQ(ingest_.changes().forgotten.front().epoch, Epoch{1});
  EXPECT_EQ(finish(), (Result{"epoch 1", "2"}));
  EXPECT_EQ(commit({test::record(Epoch{2}, 2)}), (Result{"2", "3"}));
}

TEST_F(IngestTest, OverTheLimitOfTablesKeepsRecordsAndDoesNotAskForEver) {
  limits_.tables_per_device_max = 1;
  ingest_ = Ingest(limits_, {});
  const codec::ChannelTable second{.name = "second", .period = Millis{10}, .channels = test::kSystemChannels};
  const std::array<const codec::ChannelTable*, 2> tables{&test::kSystemTable, &second};
  codec::Hello greeting;
  greeting.epoch = kEpoch;
  greeting.oldest_seq = greeting.next_seq = kFirstSeq;
  EXPECT_EQ(commit({test::hello(greeting, tables)}), (Result{"epoch online", "1"}));
  EXPECT_EQ(statuses_.back(), Status::kFull);
  EXPECT_EQ(commit({test::record(kEpoch, Seq{1}, test::batch(0, {.table = codec::hash(second)}))}),
            (Result{"1", "2"}));
}

// A device that repeats, loses and rewinds, and a gateway that forgets what it has not committed, at random:
// in the end the log has each record once and in order.
TEST(IngestWithCrashes, StoresEachRecordOnceAndInOrder) {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    std::mt19937 random(seed);
    const auto chance = [&random](unsigned percent) { return random() % 100 < percent; };
    constexpr std::uint64_t kRecords = 40;
    std::vector<std::uint64_t> log;             // of the gateway: what is committed
    std::vector<DeviceState> committed_states;  // and what a restart would load
    Ingest ingest({}, {});
    std::uint64_t acked = 1;
    std::uint64_t next = 1;  // the device's place in its stream
    std::int64_t now = kNow.value;
    for (int turn = 0; turn < 10'000 && acked <= kRecords; ++turn) {
      now += 100;
      for (auto window = random() % 8; window > 0 && next <= kRecords; --window, ++next) {
        if (chance(20)) continue;  // lost on the way
        const Message message = test::record(kEpoch, next, "d1", {now});
        for (auto copies = chance(20) ? 2 : 1; copies > 0; --copies) {
          ASSERT_EQ(ingest.handle(message), Status::kOk);
        }
      }
      if (chance(25)) {  // crash: what was not committed is gone
        ingest = Ingest({}, committed_states);
        continue;
      }
      for (const Event& event : ingest.changes().events) {
        if (event.type == EventType::kTelemetry) log.push_back(event.seq.value);
      }
      std::vector<AckTo> acks;
      const std::vector<DeviceState*> touched = ingest.changes().devices;
      ingest.committed(acks);
      if (!touched.empty()) committed_states = {*touched.front()};
      for (const AckTo& entry : acks) {
        if (chance(20)) continue;  // acks get lost too
        acked = std::max(acked, entry.ack.next_seq.value);
        if (entry.ack.rewind) next = acked;
      }
      if (chance(10)) next = acked;  // the resend timer
    }
    ASSERT_EQ(log.size(), kRecords) << "seed " << seed;
    for (std::size_t i = 0; i < log.size(); ++i) ASSERT_EQ(log[i], i + 1) << "seed " << seed;
  }
}

}  // namespace
}  // namespace godwit::gateway
