// SPDX-License-Identifier: Apache-2.0
#include "gateway/domain/history.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace godwit::gateway {
namespace {

using Kind = History::Kind;

constexpr Mark kA{.epoch = {0xa}, .first_seq = {1}};

Mark at(std::uint64_t epoch, std::uint64_t seq) { return {.epoch = {epoch}, .first_seq = {seq}}; }

// Says hellos and entries of one device, each hello under a new try, and answers in words.
class Device {
 public:
  explicit Device(std::size_t streams_max = 64) : history(streams_max, {}, {}) {}

  struct Said {
    std::uint64_t next = 0;
    std::uint64_t before = 0;
    bool more = false;
    Epoch boot{};
  };
  // "12": go on there; "marks below 5"; "whole hello": it did not fit.
  std::string hello(const std::vector<Mark>& newest_first, Said said) {
    codec::Hello hello;
    hello.try_id = {++tries_};
    hello.oldest_seq = kFirstSeq;
    hello.next_seq = {said.next};
    hello.marks_before = {said.before};
    hello.more_marks = said.more;
    hello.epoch = said.boot;
    std::ranges::copy(newest_first, hello.marks.begin());
    hello.marks_count = newest_first.size();
    if (!history.hear(hello)) return "whole hello";
    const auto answer = history.answer();
    EXPECT_EQ(answer->try_id, hello.try_id);
    if (answer->marks_before != Seq{}) return "marks below " + std::to_string(answer->marks_before.value);
    return std::to_string(answer->next_seq.value);
  }

  // "7 of b": taken up to, not including, 7 in stream b; "repeat", "ahead", "foreign".
  std::string data(std::uint64_t seq) { return take({.seq = {seq}, .end = {seq + 1}}); }
  std::string mark(Mark mark) {
    return take({.kind = Kind::kMark, .seq = mark.first_seq, .end = mark.first_seq + 1, .epoch = mark.epoch});
  }
  std::string loss(std::uint64_t seq, std::uint64_t end) {
    return take({.kind = Kind::kLoss, .seq = {seq}, .end = {end}});
  }
  // All of them are taken.
  void data(std::uint64_t seq, std::uint64_t end) {
    for (; seq < end; ++seq) ASSERT_NE(data(seq).find(" of "), std::string::npos) << seq;
  }
  std::string take(History::Entry entry) {
    if (entry.try_id == Try{}) entry.try_id = {tries_};
    const History::Outcome outcome = history.take(entry);
    switch (outcome.verdict) {
      case History::Verdict::kRepeat:
        return "repeat";
      case History::Verdict::kAhead:
        return "ahead";
      case History::Verdict::kForeign:
        return "foreign";
      case History::Verdict::kTaken:
        break;
    }
    std::string text = std::to_string(outcome.end.value) + " of ";
    text += "0123456789abcdef"[outcome.epoch.value % 16];
    if (outcome.replaced) text += ", not " + std::to_string(outcome.replaced->value);
    if (outcome.unknown_before) text += ", unknown before";
    if (outcome.forgotten) text += ", forgot " + std::to_string(outcome.forgotten->value);
    return text;
  }
  // From the database, as after a restart of the gateway.
  void restart() { restore(history); }
  void restore(const History& copy) { history = History(64, copy.streams(), copy.head()); }
  [[nodiscard]] Try current_try() const { return {tries_}; }

  History history;

 private:
  std::uint32_t tries_ = 0;
};

// Stored: the mark and data up to, not including, `end`.
Device with_a(std::uint64_t end) {
  Device device;
  EXPECT_EQ(device.hello({kA}, {.next = end}), "1");
  EXPECT_EQ(device.mark(kA), "2 of a");
  device.data(2, end);
  return device;
}

TEST(History, TakesEachEntryOfAStreamOnceAndInOrder) {
  Device device;
  EXPECT_EQ(device.hello({kA}, {.next = 5}), "1");
  EXPECT_EQ(device.data(1), "foreign") << "the mark's place is not data's";
  EXPECT_EQ(device.mark(kA), "2 of a");
  EXPECT_EQ(device.mark(kA), "repeat");
  EXPECT_EQ(device.data(3), "ahead");
  EXPECT_EQ(device.data(2), "3 of a");
  EXPECT_EQ(device.mark(at(0xb, 3)), "foreign") << "the hello named no mark there";
  EXPECT_EQ(device.loss(1, 5), "5 of a") << "of a loss that reaches further, the rest";
  EXPECT_EQ(device.history.streams()[0], (StreamState{kA, {5}, 1, 2}));
}

TEST(History, CountsNothingThatIsNotOfTheLastHello) {
  Device device = with_a(5);
  const Try old = device.current_try();
  EXPECT_EQ(device.hello({kA}, {.next = 9}), "5");
  EXPECT_EQ(device.take({.try_id = old, .seq = {5}, .end = {6}}), "foreign");
  EXPECT_EQ(device.data(5), "6 of a");
  device.restart();
  EXPECT_EQ(device.history.answer(), std::nullopt) << "a path is not kept over a restart";
  EXPECT_EQ(device.data(6), "foreign");
  EXPECT_EQ(device.hello({kA}, {.next = 9}), "6");
}

TEST(History, TheNextStartOfADeviceGoesOnWhereTheLastOneEnded) {
  Device device = with_a(5);
  const Mark b = at(0xb, 5);
  EXPECT_EQ(device.hello({b, kA}, {.next = 8}), "5");
  EXPECT_EQ(device.data(6), "ahead") << "a stream begins with its mark";
  EXPECT_EQ(device.mark(b), "6 of b");
  EXPECT_EQ(device.data(6), "7 of b");
  EXPECT_EQ(device.history.head(), b);
}

TEST(History, AStreamDoesNotBeginBeforeTheOneBeforeItIsComplete) {
  Device device = with_a(3);
  const Mark b = at(0xb, 5);
  EXPECT_EQ(device.hello({b, kA}, {.next = 8}), "3");
  EXPECT_EQ(device.mark(b), "ahead");
  EXPECT_EQ(device.loss(3, 6), "5 of a");
  EXPECT_EQ(device.loss(5, 6), "6 of b") << "the rest of the range, which covers the mark";
  EXPECT_EQ(device.data(6), "7 of b");
}

// Record 96 was torn and reported lost, then a copy from before it is put back.
TEST(HistoryOfACopyPutBack, WhoseTailWasALoss) {
  Device device = with_a(96);
  EXPECT_EQ(device.loss(96, 97), "97 of a");
  const Mark b = at(0xb, 96);
  EXPECT_EQ(device.hello({b, kA}, {.next = 98}), "96");
  EXPECT_EQ(device.mark(b), "97 of b, not 97");
  EXPECT_EQ(device.data(97), "98 of b");
}

TEST(HistoryOfACopyPutBack, OfWhichTheBeginningIsOverwritten) {
  Device device = with_a(101);
  const Mark b = at(0xb, 95);
  EXPECT_EQ(device.hello({b, kA}, {.next = 141}), "95");
  EXPECT_EQ(device.loss(95, 111), "111 of b, not 101") << "of the fork, which was never stored";
  device.data(111, 141);
  EXPECT_EQ(device.history.streams()[1], (StreamState{b, {141}, 30, 16}));
}

// The gateway took the fork, then a card of the earlier branch returns.
TEST(HistoryOfACopyPutBack, OfAnEarlierBranchIsKnownAgain) {
  Device device = with_a(6);
  const Mark b = at(0xb, 6);
  const Mark c = at(0xc, 4);
  EXPECT_EQ(device.hello({b, kA}, {.next = 9}), "6");
  EXPECT_EQ(device.mark(b), "7 of b");
  device.data(7, 9);
  EXPECT_EQ(device.hello({c, kA}, {.next = 8}), "4");
  EXPECT_EQ(device.mark(c), "5 of c, not 9");
  device.data(5, 8);

  EXPECT_EQ(device.hello({b, kA}, {.next = 10}), "9") << "nothing of it is stored again";
  EXPECT_EQ(device.data(8), "repeat");
  EXPECT_EQ(device.data(9), "10 of b, not 8");
  const Mark d = at(0xd, 10);
  EXPECT_EQ(device.hello({d, b, kA}, {.next = 12}), "10");
  EXPECT_EQ(device.mark(d), "11 of d") << "the branch goes on, nothing is replaced";
}

TEST(HistoryOfACopyPutBack, WithinTheNewestStreamAndNothingAppended) {
  Device device = with_a(9);
  EXPECT_EQ(device.hello({kA}, {.next = 4}), "4") << "not beyond what the device has";
  EXPECT_EQ(device.data(3), "repeat");
  EXPECT_EQ(device.history.answer()->next_seq, Seq{4});
}

TEST(HistoryOfACopyPutBack, FromBeforeTheForkOfAFork) {
  Device device = with_a(6);
  const Mark b = at(0xb, 4);
  EXPECT_EQ(device.hello({b, kA}, {.next = 7}), "4");
  EXPECT_EQ(device.mark(b), "5 of b, not 6");
  const Mark c = at(0xc, 3);
  EXPECT_EQ(device.hello({c, kA}, {.next = 5}), "3");
  EXPECT_EQ(device.mark(c), "4 of c, not 5");
}

TEST(HistoryOfAFormattedLog, BeginsAtOneAndSaysThatItReplacesAnother) {
  Device device = with_a(6);
  const Mark b = at(0xb, 1);
  EXPECT_EQ(device.hello({b}, {.next = 3}), "1");
  EXPECT_EQ(device.mark(b), "2 of b, not 6");
}

// Two marks may have the same random number by chance: identity is both.
TEST(HistoryOfAFormattedLog, KnowsAMarkByBothOfItsNumbers) {
  Device device = with_a(6);
  const Mark b = at(0xa, 2);
  EXPECT_EQ(device.hello({b}, {.next = 4}), "2");
  EXPECT_EQ(device.mark(b), "3 of a, not 6, unknown before");
}

TEST(HistoryAfterARestore, AsksForTheRowsBetweenTheCopyAndTheEpochsSinceThen) {
  Device device = with_a(40);
  const History copy = device.history;
  device.data(40, 61);
  const Mark b = at(0xb, 61);
  EXPECT_EQ(device.hello({b, kA}, {.next = 63}), "61");
  EXPECT_EQ(device.mark(b), "62 of b");

  device.restore(copy);
  EXPECT_EQ(device.hello({b, kA}, {.next = 63}), "40");
  device.data(40, 61);
  EXPECT_EQ(device.mark(b), "62 of b");
  EXPECT_EQ(device.data(62), "63 of b");
}

TEST(HistoryAfterARestore, OfADatabaseThatKnowsNothingSaysThatWhatWasBeforeIsUnknown) {
  Device device;
  const Mark b = at(0xb, 61);
  EXPECT_EQ(device.hello({b}, {.next = 63}), "61") << "the device has forgotten the marks before";
  EXPECT_EQ(device.mark(b), "62 of b, unknown before");
  EXPECT_EQ(device.data(62), "63 of b");

  Device whole;
  EXPECT_EQ(whole.hello({b, kA}, {.next = 63}), "1");
  EXPECT_EQ(whole.loss(1, 61), "61 of a") << "nothing is unknown: it is an exact loss";
}

TEST(HistoryOfALogWithoutMarks, BeginsWhereTheDeviceIs) {
  Device device;
  EXPECT_EQ(device.hello({}, {.next = 1}), "1");
  EXPECT_EQ(device.data(1), "foreign");
  EXPECT_EQ(device.hello({}, {.next = 7}), "7");
}

// Twenty marks, of which a hello has eight.
class HistoryOfManyMarks : public testing::Test {
 protected:
  static std::vector<Mark> marks(std::uint64_t newest, std::size_t count) {
    std::vector<Mark> result;
    for (std::uint64_t i = newest; i > newest - count; --i) result.push_back(at(i, 10 * i));
    return result;
  }
};

TEST_F(HistoryOfManyMarks, AsksForOlderOnesUntilOneIsKnown) {
  Device device;
  EXPECT_EQ(device.hello(marks(1, 1), {.next = 15}), "10");
  EXPECT_EQ(device.mark(at(1, 10)), "11 of 1, unknown before");
  device.data(11, 15);
  EXPECT_EQ(device.hello(marks(20, 8), {.next = 205, .more = true}), "marks below 130");
  EXPECT_EQ(device.mark(at(13, 130)), "foreign") << "nothing counts yet";
  EXPECT_EQ(device.hello(marks(12, 8), {.next = 205, .before = 130, .more = true}), "marks below 50");
  EXPECT_EQ(device.hello(marks(4, 4), {.next = 205, .before = 50}), "15");
  EXPECT_EQ(device.loss(15, 206), "20 of 1");
  for (std::uint64_t i = 2; i < 20; ++i) {
    EXPECT_EQ(device.loss(i * 10, 206), std::to_string(10 * i + 10) + " of " + "0123456789abcdef"[i % 16]);
  }
  EXPECT_EQ(device.loss(200, 206), "206 of 4");
}

TEST_F(HistoryOfManyMarks, AnOlderPartCountsForThePathThatWantedItOnly) {
  Device device;
  EXPECT_EQ(device.hello(marks(12, 8), {.next = 205, .before = 130}), "whole hello") << "of no path";
  EXPECT_EQ(device.history.answer(), std::nullopt);
  EXPECT_EQ(device.hello(marks(20, 8), {.next = 205, .more = true, .boot = {20}}), "marks below 130");
  EXPECT_EQ(device.hello(marks(11, 8), {.next = 205, .before = 120, .boot = {20}}), "whole hello");
  EXPECT_EQ(device.hello(marks(12, 8), {.next = 205, .before = 130, .boot = {7}}), "whole hello")
      << "of another boot: another flash, perhaps";
  EXPECT_EQ(device.hello(marks(12, 8), {.next = 205, .before = 130, .boot = {20}}), "50");
  EXPECT_EQ(device.hello(marks(4, 4), {.next = 205, .before = 50, .boot = {20}}), "whole hello")
      << "nobody asked for more";
}

TEST_F(HistoryOfManyMarks, DoesNotAskWithoutEnd) {
  Device device;
  std::uint64_t newest = 2000;
  std::string answer = device.hello(marks(newest, 8), {.next = 30'000, .more = true});
  std::size_t asked = 0;
  for (; answer.starts_with("marks below"); ++asked) {
    newest -= 8;
    answer = device.hello(marks(newest, 8), {.next = 30'000, .before = 10 * newest + 10, .more = true});
  }
  EXPECT_EQ(asked, History::kPathMarksMax / 8 - 1);
  const std::uint64_t oldest = newest - 7;
  EXPECT_EQ(answer, std::to_string(10 * oldest));
  EXPECT_NE(device.mark(at(oldest, 10 * oldest)).find("unknown before"), std::string::npos);

  EXPECT_EQ(device.hello({}, {.next = 30'000, .more = true}), "30000") << "it says more and names none";
}

TEST(HistoryBeyondItsBound, ForgetsTheStreamThatBeganFirst) {
  Device device(2);
  EXPECT_EQ(device.hello({kA}, {.next = 3}), "1");
  EXPECT_EQ(device.mark(kA), "2 of a");
  const Mark b = at(0xb, 2);
  const Mark c = at(0xc, 3);
  EXPECT_EQ(device.hello({c, b, kA}, {.next = 5}), "2");
  EXPECT_EQ(device.mark(b), "3 of b");
  EXPECT_EQ(device.mark(c), "4 of c, forgot 10");
  EXPECT_EQ(device.data(4), "5 of c");
  EXPECT_EQ(device.hello({b, kA}, {.next = 4}), "3") << "a copy of what is kept is known";
  EXPECT_EQ(device.hello({kA}, {.next = 2}), "1") << "one of what is not is stored again";
}

TEST(HistoryBeyondItsBound, KeepsTheStreamThatIsGoingOn) {
  Device device(1);
  EXPECT_EQ(device.hello({kA}, {.next = 3}), "1");
  EXPECT_EQ(device.mark(kA), "2 of a");
  const Mark b = at(0xb, 2);
  EXPECT_EQ(device.hello({b, kA}, {.next = 5}), "2");
  EXPECT_EQ(device.mark(b), "3 of b, forgot 10");
  EXPECT_EQ(device.data(3), "4 of b");
  EXPECT_EQ(device.mark(b), "repeat");
  EXPECT_EQ(device.loss(1, 3), "repeat");
}

TEST(HistoryBeyondItsBound, ManyStartsAgoIsStillKnown) {
  Device device = with_a(4);
  std::vector<Mark> newest_first{kA};
  for (std::uint64_t i = 1; i < 60; ++i) {
    newest_first.insert(newest_first.begin(), at(100 + i, 3 + i));
    newest_first.resize(std::min<std::size_t>(newest_first.size(), 8));
    ASSERT_EQ(device.hello(newest_first, {.next = 4 + i}), std::to_string(3 + i));
    ASSERT_NE(device.mark(newest_first[0]).find(" of "), std::string::npos);
  }
  EXPECT_EQ(device.hello({kA}, {.next = 4}), "4") << "a copy of the first start: all of it is stored";
}

TEST(History, ChangesAreWhatMustBeWritten) {
  Device device = with_a(4);
  EXPECT_EQ(device.history.take_changes().streams, (std::vector<StreamState>{{kA, {4}, 2, 0}}));
  EXPECT_TRUE(device.history.take_changes().streams.empty());
  const Mark b = at(0xb, 6);
  EXPECT_EQ(device.hello({b, kA}, {.next = 8}), "4");
  device.data(4, 6);
  EXPECT_EQ(device.mark(b), "7 of b");
  EXPECT_EQ(device.history.take_changes().streams,
            (std::vector<StreamState>{{kA, {6}, 4, 0}, {b, {7}, 0, 0}}));
}

}  // namespace
}  // namespace godwit::gateway
