// SPDX-License-Identifier: Apache-2.0
// The judge must see each way in which the promise can be broken, and nothing else.
#include "sim/judge/judge.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <set>
#include <string>

#include "proto/codec/batch.h"
#include "proto/codec/samples.h"
#include "sim/judge/rows.h"

namespace godwit::sim {
namespace {

constexpr std::uint64_t kSeed = 42;
constexpr Epoch kEpoch{7};

// A batch of rows first to first + count - 1.
std::string batch_of(std::uint64_t first, std::uint64_t count, std::uint64_t seed = kSeed) {
  std::array<codec::ChannelModel, kRowChannels> models{};
  std::array<std::uint8_t, 1024> samples{};
  codec::SampleEncoder encoder(models, samples);
  std::array<std::int64_t, kRowChannels> row{};
  for (std::uint64_t n = first; n < first + count; ++n) {
    fill_row(seed, n, row);
    EXPECT_EQ(encoder.add(row), Status::kOk);
  }
  const std::size_t size = encoder.finish();
  std::array<std::uint8_t, 2048> out{};
  const auto encoded = codec::encode(codec::Batch{.table = 1,
                                                  .quality = codec::TimeQuality::kSynced,
                                                  .time = Millis{1'000'000},
                                                  .rows = static_cast<std::uint32_t>(count),
                                                  .samples = Bytes(samples).first(size)},
                                     out);
  EXPECT_TRUE(encoded);
  return std::string(as_text(Bytes(out).first(*encoded)));
}

constexpr std::uint32_t kTerm = 0xA1;
EventId id(std::int64_t offset, std::uint32_t term = kTerm) { return {offset, term}; }
std::string text(EventId of) {
  std::array<char, 32> out{};
  (void)std::snprintf(out.data(), out.size(), "%lld-%08x", static_cast<long long>(of.offset), of.term);
  return out.data();
}
std::string json(EventId of, const std::string& content) {
  return R"({"id":")" + text(of) + R"(","type":"telemetry","time":"whenever",)" + content + "}";
}
std::string raw_json(std::int64_t offset) {
  return json(id(offset), R"("samples":")" + std::to_string(offset) + R"(")");
}
std::string rows_json(std::int64_t offset, std::uint64_t n) {
  std::array<std::int64_t, kRowChannels> row{};
  fill_row(kSeed, n, row);
  return json(id(offset), R"("rows":1,"channels":{"n":[)" + std::to_string(row[0]) + R"(],"noise":[)" +
                              std::to_string(row[1]) + R"(],"slow":[)" + std::to_string(row[2]) + "]}");
}
SseEvent event(EventId of, const std::string& data) {
  return {.id = text(of), .type = "telemetry", .data = data};
}
SseEvent gap(EventId next, std::int64_t from, std::int64_t to, const std::string& reason = "restored") {
  return {.id = text(next),
          .type = "gap",
          .data = R"({"type":"gap","reason":")" + reason + R"(","from":)" + std::to_string(from) +
                  R"(,"to":)" + std::to_string(to) + "}"};
}

class JudgeTest : public testing::Test, private Judge::Witness {
 protected:
  JudgeTest() { judge.add_device("d", kSeed, 0); }

  RecordId append(std::uint64_t seq, std::uint64_t first, std::uint64_t count = 1) {
    while (judge.rows(0) < first + count) judge.sampled(0, UnixMillis{1'000'000}, Judge::Clock::kTrue);
    const RecordId id = judge.appended(0, kEpoch, Seq{seq}, as_bytes(batch_of(first, count)));
    held.insert(id);
    return id;
  }
  void store(std::uint64_t seq, const std::string& batch) {
    ++offset;
    const std::string json = raw_json(offset);
    judge.logged({.id = id(offset),
                  .kind = Logged::Kind::kRecord,
                  .epoch = kEpoch,
                  .seq = {seq},
                  .batch = as_bytes(batch),
                  .json = json});
  }
  void lose(std::uint64_t seq, std::uint64_t count, Logged::Reason reason = Logged::Reason::kOther) {
    ++offset;
    judge.logged({.id = id(offset),
                  .kind = Logged::Kind::kLoss,
                  .epoch = kEpoch,
                  .seq = {seq},
                  .count = count,
                  .reason = reason,
                  .json = "{}"});
  }
  // An entry that is neither a record nor a loss.
  void tell(Logged::Kind kind, std::uint64_t seq, std::uint64_t places = 0) {
    ++offset;
    judge.logged(
        {.id = id(offset), .kind = kind, .epoch = kEpoch, .seq = {seq}, .json = "{}", .places = places});
  }
  template <typename Act>
  std::string kind_of(Act act) {
    try {
      act();
    } catch (const Violation& violation) {
      return violation.kind();
    }
    return "none";
  }

  bool holds(std::size_t /*device*/, RecordId record) const override { return held.contains(record); }
  bool holds_unharmed(std::size_t device, RecordId record) const override { return holds(device, record); }

  std::set<RecordId> held;
  std::int64_t offset = 0;
  Judge judge{*this};
};

TEST_F(JudgeTest, WhatIsStoredInOrderIsGood) {
  append(1, 0, 3);
  append(2, 3);
  store(1, batch_of(0, 3));
  store(2, batch_of(3, 1));
  EXPECT_TRUE(judge.drained());
  EXPECT_EQ(kind_of([&] { judge.finish(); }), "none");
  EXPECT_EQ(judge.counts().stored, 2U);
}

TEST_F(JudgeTest, WhatIsNowhereIsASilentLoss) {
  append(1, 0);
  append(2, 1);
  store(1, batch_of(0, 1));
  EXPECT_FALSE(judge.drained());
  EXPECT_EQ(kind_of([&] { judge.finish(); }), "silent_loss");
}

TEST_F(JudgeTest, StoredTwice) {
  append(1, 0);
  store(1, batch_of(0, 1));
  EXPECT_EQ(kind_of([&] { store(2, batch_of(0, 1)); }), "stored_twice");
}

TEST_F(JudgeTest, SwappedPayloadsAreInTheWrongPlace) {
  append(1, 0);
  append(2, 1);
  EXPECT_EQ(kind_of([&] { store(1, batch_of(1, 1)); }), "wrong_place");
}

TEST_F(JudgeTest, RowsThatNobodySampledAreWrong) {
  append(1, 0);
  EXPECT_EQ(kind_of([&] { store(1, batch_of(0, 1, kSeed + 1)); }), "wrong_content");
  EXPECT_EQ(kind_of([&] { store(1, batch_of(5, 1)); }), "wrong_content");
}

TEST_F(JudgeTest, PartOfARecordIsOtherContent) {
  append(1, 0, 2);
  EXPECT_EQ(kind_of([&] { store(1, batch_of(0, 1)); }), "wrong_content");
}

TEST_F(JudgeTest, OutOfOrder) {
  append(1, 0);
  append(2, 1);
  store(2, batch_of(1, 1));
  EXPECT_EQ(kind_of([&] { store(1, batch_of(0, 1)); }), "order");
}

TEST_F(JudgeTest, ALossOfWhatIsHeldOrStoredIsNone) {
  const RecordId first = append(1, 0);
  append(2, 1);
  store(1, batch_of(0, 1));
  EXPECT_EQ(kind_of([&] { lose(1, 1); }), "loss_of_stored");
  EXPECT_EQ(kind_of([&] { lose(2, 1); }), "loss_of_held");
  held.erase(first);
}

TEST_F(JudgeTest, ALossOfWhatNobodyHoldsExplainsIt) {
  const RecordId first = append(1, 0);
  append(2, 1);
  held.erase(first);
  lose(1, 1);
  store(2, batch_of(1, 1));
  EXPECT_EQ(kind_of([&] { judge.finish(); }), "none");
  EXPECT_EQ(judge.counts().lost, 1U);
  EXPECT_EQ(kind_of([&] { store(3, batch_of(0, 1)); }), "stored_and_lost");
}

TEST_F(JudgeTest, OnlyWhatAFaultTookIsDestroyed) {
  const RecordId first = append(1, 0);
  const RecordId second = append(2, 1);
  held.erase(second);  // the device itself gave it up, and said nothing
  judge.before_fault(0);
  held.erase(first);
  judge.after_fault(0);
  EXPECT_EQ(judge.counts().destroyed, 1U);
  EXPECT_EQ(kind_of([&] { judge.finish(); }), "silent_loss");
}

TEST_F(JudgeTest, WhatComesBackWithACopyIsHeldAgain) {
  const RecordId first = append(1, 0);
  judge.before_fault(0);
  held.erase(first);
  judge.after_fault(0);
  judge.before_fault(0);
  held.insert(first);
  judge.after_fault(0);
  EXPECT_EQ(kind_of([&] { judge.finish(); }), "silent_loss");
}

TEST_F(JudgeTest, WhatADatabaseForgotMustBeThereAgain) {
  append(1, 0);
  store(1, batch_of(0, 1));
  judge.before_fault(std::nullopt);
  judge.log_replaced();
  offset = 0;
  judge.after_fault(std::nullopt);
  EXPECT_EQ(kind_of([&] { judge.finish(); }), "silent_loss");
  store(1, batch_of(0, 1));
  EXPECT_EQ(kind_of([&] { judge.finish(); }), "none");
}

TEST_F(JudgeTest, AnAckOfWhatIsNotStored) {
  append(1, 0);
  EXPECT_EQ(kind_of([&] { judge.acked(0, Seq{1}); }), "none");
  EXPECT_EQ(kind_of([&] { judge.acked(0, Seq{2}); }), "acked_not_stored");
}

TEST_F(JudgeTest, UnconfirmedRowsMayBeStoredOnce) {
  judge.sampled(0, UnixMillis{1'000'000}, Judge::Clock::kTrue);
  store(1, batch_of(0, 1));
  EXPECT_EQ(kind_of([&] { judge.finish(); }), "none");
  EXPECT_EQ(kind_of([&] { store(2, batch_of(0, 1)); }), "stored_twice");
}

TEST_F(JudgeTest, ATimeThatIsWrong) {
  append(1, 0);
  const std::string batch = batch_of(0, 1);
  const auto told = [&](std::int64_t time, bool synced) {
    return kind_of([&] {
      judge.told_time(0, as_bytes(batch), {.synced = synced, .unix_time = {time}, .period = Millis{0}});
    });
  };
  EXPECT_EQ(told(1'001'000, true), "none");
  EXPECT_EQ(told(1'001'001, true), "wrong_time");
  EXPECT_EQ(told(998'999, true), "wrong_time");
  EXPECT_EQ(told(0, false), "none");
}

TEST_F(JudgeTest, AFollowerMissesRepeatsOrGetsOtherThings) {
  append(1, 0);
  append(2, 1);
  const std::size_t follower = judge.add_follower();
  store(1, batch_of(0, 1));
  store(2, batch_of(1, 1));
  const auto got = [&](const SseEvent& what) { return kind_of([&] { judge.follower_got(follower, what); }); };
  EXPECT_EQ(got(event(id(2), rows_json(2, 1))), "follower_order");
  EXPECT_EQ(got(event(id(1), rows_json(1, 1))), "follower_content") << "rows of the other one";
  EXPECT_EQ(got(event(id(1), raw_json(2))), "follower_content");
  EXPECT_EQ(got(event(id(2), raw_json(1))), "follower_content");
  EXPECT_EQ(got(event(id(1, 7), json(id(1, 7), R"("samples":"1")"))), "follower_content") << "another term";
  EXPECT_EQ(got(event(id(1), "{")), "follower_content");
  SseEvent renamed = event(id(1), rows_json(1, 0));
  renamed.type = "loss";
  EXPECT_EQ(got(renamed), "follower_content");
  EXPECT_EQ(got(event(id(1), rows_json(1, 0))), "none");
  EXPECT_EQ(got(event(id(1), rows_json(1, 0))), "follower_order");
  EXPECT_EQ(kind_of([&] { judge.finish(); }), "follower_gap");
  EXPECT_EQ(got(event(id(2), raw_json(2))), "none") << "before its table was known";
  EXPECT_EQ(kind_of([&] { judge.finish(); }), "none");
}

TEST_F(JudgeTest, AFollowerMustBeToldThatTheLogIsAnother) {
  append(1, 0);
  append(2, 1);
  const std::size_t follower = judge.add_follower();
  const auto got = [&](const SseEvent& what) { return kind_of([&] { judge.follower_got(follower, what); }); };
  const auto told = [&](EventId at) {
    return kind_of([&] { judge.follower_told_position(follower, text(at), false); });
  };
  store(1, batch_of(0, 1));
  store(2, batch_of(1, 1));
  ASSERT_EQ(got(event(id(1), rows_json(1, 0))), "none");
  ASSERT_EQ(got(event(id(2), rows_json(2, 1))), "none");
  EXPECT_EQ(got(gap(id(1), 2, 2)), "false_gap") << "the log is the same";
  judge.log_replaced();
  const std::string first = raw_json(1);
  const std::string second = json(id(2, 0xB2), R"("samples":"new")");
  judge.logged({.id = id(1), .json = first});
  judge.logged({.id = id(2, 0xB2), .json = second});
  EXPECT_EQ(got(event(id(2, 0xB2), second)), "follower_gap");
  EXPECT_EQ(told(id(1)), "follower_gap");
  EXPECT_EQ(told(id(2, 0xB2)), "follower_gap");
  EXPECT_EQ(got(gap({}, 1, 2)), "false_gap") << "event 1 is in both";
  EXPECT_EQ(got(gap(id(1), 2, 9)), "false_gap");
  EXPECT_EQ(got(gap(id(1), 2, 2, "trimmed")), "false_gap");
  EXPECT_EQ(got(gap(id(1), 2, 2)), "none");
  EXPECT_EQ(got(event(id(2, 0xB2), second)), "none");
  EXPECT_EQ(kind_of([&] { judge.finish(); }), "silent_loss");  // of the records; the follower is content
}

TEST_F(JudgeTest, AFollowerOfATermThatTheLogNeverHadBeginsAnew) {
  const std::size_t follower = judge.add_follower();
  judge.logged({.id = id(1), .json = raw_json(1)});
  judge.follower_got(follower, event(id(1), raw_json(1)));
  judge.log_replaced();
  const std::string other = json(id(1, 0xB2), R"("samples":"new")");
  judge.logged({.id = id(1, 0xB2), .json = other});
  judge.follower_got(follower, gap({}, 1, 1));
  EXPECT_EQ(kind_of([&] { judge.finish(); }), "follower_gap");
  judge.follower_got(follower, event(id(1, 0xB2), other));
  EXPECT_EQ(kind_of([&] { judge.finish(); }), "none");
}

TEST_F(JudgeTest, APositionPassesOverNothingThatTheFilterLetsThrough) {
  const std::size_t rare = judge.add_follower(4);
  const std::size_t late = judge.add_follower(4);
  const auto told = [&](std::size_t follower, EventId at, bool begins = false) {
    return kind_of([&] { judge.follower_told_position(follower, text(at), begins); });
  };
  judge.logged({.id = id(1), .json = raw_json(1), .audience = 1});
  judge.logged({.id = id(2), .json = raw_json(2), .audience = 5});
  judge.logged({.id = id(3), .json = raw_json(3), .audience = 1});
  EXPECT_EQ(told(rare, id(9)), "follower_gap");
  EXPECT_EQ(told(rare, id(2)), "follower_order");
  EXPECT_EQ(told(rare, id(1)), "none");
  EXPECT_EQ(told(rare, {}), "follower_order") << "backwards";
  EXPECT_EQ(told(late, id(2), true), "none") << "it wanted what is new only";
  EXPECT_EQ(told(late, id(3)), "none");
  EXPECT_EQ(kind_of([&] { judge.finish(); }), "follower_gap") << "the other one has not got event 2";
  judge.follower_got(rare, event(id(2), raw_json(2)));
  EXPECT_EQ(kind_of([&] { judge.finish(); }), "none");
}

TEST_F(JudgeTest, ARowThatNoRecordHasIsMissed) {
  judge.booted(0);
  append(1, 0, 2);
  EXPECT_EQ(kind_of([&] { append(2, 3); }), "row_lost");
}

TEST_F(JudgeTest, RowsMayBeMissingAfterARefusalOrAStart) {
  judge.booted(0);
  append(1, 0, 2);
  judge.rows_given_up(0);
  EXPECT_EQ(kind_of([&] { append(2, 3); }), "none");
  judge.sampled(0, UnixMillis{1'000'000}, Judge::Clock::kTrue);
  judge.booted(0);
  EXPECT_EQ(kind_of([&] { append(3, 5); }), "none");
}

TEST_F(JudgeTest, NoRecordIsLostTwice) {
  append(1, 0);
  held.clear();
  lose(1, 1);
  EXPECT_EQ(kind_of([&] { lose(1, 1); }), "lost_twice");
}

TEST_F(JudgeTest, ALossForAnAckNamesWhatTheGatewayOnceHad) {
  append(1, 0);
  held.clear();
  EXPECT_EQ(kind_of([&] { lose(1, 1, Logged::Reason::kAcked); }), "wrong_reason");
}

TEST_F(JudgeTest, DamageIsNoReasonIfNothingBefellTheFlash) {
  append(1, 0);
  held.clear();
  judge.flash_is(0, Judge::Flash::kWhole);
  EXPECT_EQ(kind_of([&] { lose(1, 1, Logged::Reason::kDamaged); }), "wrong_reason");
  judge.flash_is(0, Judge::Flash::kTouched);
  EXPECT_EQ(kind_of([&] { lose(1, 1, Logged::Reason::kDamaged); }), "none");
}

TEST_F(JudgeTest, AFullLogThatRefusesDropsNothing) {
  append(1, 0);
  append(2, 1);
  held.clear();
  EXPECT_EQ(kind_of([&] { lose(1, 1, Logged::Reason::kDropped); }), "none");
  judge.drops_nothing(0);
  EXPECT_EQ(kind_of([&] { lose(2, 1, Logged::Reason::kDropped); }), "wrong_reason");
}

TEST_F(JudgeTest, ALogThatNobodyPutBackHasOnePath) {
  EXPECT_EQ(kind_of([&] { tell(Logged::Kind::kReplaced, 3); }), "none");
  judge.flash_is(0, Judge::Flash::kTouched);
  EXPECT_EQ(kind_of([&] { tell(Logged::Kind::kReplaced, 3); }), "false_fork");
  judge.flash_is(0, Judge::Flash::kAnything);
  EXPECT_EQ(kind_of([&] { tell(Logged::Kind::kReplaced, 3); }), "none");
}

TEST_F(JudgeTest, WhatASmallFaultTookHasToBeTold) {
  const RecordId first = append(1, 0);
  const auto fault = [&] {
    judge.before_fault(0);
    held.erase(first);
    judge.after_small_fault(0);
  };
  fault();
  EXPECT_EQ(judge.counts().destroyed, 0U);
  EXPECT_EQ(kind_of([&] { judge.finish(); }), "silent_loss");
  lose(1, 1);
  EXPECT_EQ(kind_of([&] { judge.finish(); }), "none");
}

TEST_F(JudgeTest, WhatALaterFaultMayHaveHiddenNeedNotBeTold) {
  const RecordId first = append(1, 0);
  judge.before_fault(0);
  held.erase(first);
  judge.after_small_fault(0);
  judge.before_fault(0);
  judge.after_fault(0);
  EXPECT_EQ(judge.counts().destroyed, 1U);
  EXPECT_EQ(kind_of([&] { judge.finish(); }), "none");
}

TEST_F(JudgeTest, AWholeLogTellsOfAllSinceTheFirstPlace) {
  judge.log_is_whole();
  EXPECT_EQ(kind_of([&] { tell(Logged::Kind::kEpoch, 5, 1); }), "order");
  judge.log_replaced();
  offset = 0;
  EXPECT_EQ(kind_of([&] { tell(Logged::Kind::kEpoch, 5, 1); }), "order");
  judge.log_replaced();
  offset = 0;
  tell(Logged::Kind::kUnknownBefore, 5);
  EXPECT_EQ(kind_of([&] { tell(Logged::Kind::kEpoch, 5, 1); }), "none");
}

TEST_F(JudgeTest, AnAckOfWhatNoDatabaseEverHadIsNotExcusedByACopyOfIt) {
  append(1, 0);
  append(2, 1);
  store(1, batch_of(0, 1));
  judge.log_replaced();
  offset = 0;
  EXPECT_EQ(kind_of([&] { judge.acked(0, Seq{2}); }), "none");  // it was on its way
  EXPECT_EQ(kind_of([&] { judge.acked(0, Seq{3}); }), "acked_not_stored");
}

TEST_F(JudgeTest, ADeviceGoesOnlineAndOfflineInTurn) {
  const auto go = [&](Logged::Kind kind) {
    ++offset;
    judge.logged({.id = id(offset), .kind = kind, .json = raw_json(offset)});
  };
  go(Logged::Kind::kOnline);
  EXPECT_EQ(kind_of([&] { go(Logged::Kind::kOnline); }), "presence");
  go(Logged::Kind::kOffline);
  EXPECT_EQ(kind_of([&] { judge.finish(); }), "presence");
  go(Logged::Kind::kOnline);
  EXPECT_EQ(kind_of([&] { judge.finish(); }), "none");
}

TEST_F(JudgeTest, ATimeThatIsResolvedIsJudgedUnlessTheClockWasWrong) {
  judge.booted(0);
  judge.sampled(0, UnixMillis{1'000'000}, Judge::Clock::kUnset);
  append(1, 0);
  const std::string batch = batch_of(0, 1);
  const auto tell = [&](std::int64_t at) {
    judge.told_time(0, as_bytes(batch),
                    {.synced = true, .epoch = kEpoch, .unix_time = {at}, .period = Millis{100}});
  };
  EXPECT_EQ(kind_of([&] { tell(1'000'500); }), "none");
  EXPECT_EQ(kind_of([&] { tell(1'100'000); }), "wrong_time");
  judge.clock_misled(0);
  EXPECT_EQ(kind_of([&] { tell(1'100'000); }), "none");
}

TEST_F(JudgeTest, WhatAClockThatIsSetCanTellIsTold) {
  append(1, 0);
  const std::string batch = batch_of(0, 1);
  const auto tell = [&] { judge.told_time(0, as_bytes(batch), {.epoch = kEpoch}); };
  EXPECT_EQ(kind_of(tell), "none");
  judge.clock_known(0, kEpoch);
  EXPECT_EQ(kind_of(tell), "time_unknown");
}

// What cannot be foretold is known by its place and bytes.
TEST_F(JudgeTest, RecordsOfUnknownContentAreComparedByTheirBytes) {
  const std::size_t board = judge.add_device("board", nullptr, 0);
  const auto bytes = [](std::string_view text) { return as_bytes(text); };
  held.insert(judge.appended(board, kEpoch, Seq{2}, bytes("two")));
  judge.appended(board, kEpoch, Seq{3}, bytes("three"));
  const auto store_bytes = [&](std::uint64_t seq, std::string_view text, std::size_t device) {
    return kind_of([&] {
      judge.logged({.id = {++offset, 1},
                    .kind = Logged::Kind::kRecord,
                    .device = device,
                    .epoch = kEpoch,
                    .seq = {seq},
                    .batch = bytes(text),
                    .json = "{}"});
    });
  };
  EXPECT_EQ(store_bytes(1, "never seen in its flash", board), "none");
  EXPECT_EQ(store_bytes(2, "three", board), "wrong_content");
  EXPECT_EQ(store_bytes(2, "two", judge.add_device("other", nullptr, 0)), "wrong_content");
  EXPECT_EQ(store_bytes(2, "two", board), "none");
  EXPECT_EQ(store_bytes(2, "two", board), "stored_twice");
  EXPECT_EQ(kind_of([&] { judge.finish(); }), "silent_loss");
  EXPECT_EQ(judge.counts().missing, 1U);
  EXPECT_EQ(judge.counts().unconfirmed, 1U);
}

class FollowerNotes : public JudgeTest {
 protected:
  FollowerNotes() {
    for (const std::int64_t n : {1, 2, 3, 4}) judge.logged({.id = {n, 1}, .json = "{}", .digest = digest(n)});
  }
  static std::uint64_t digest(std::int64_t offset) { return static_cast<std::uint64_t>(offset) * 3; }
  static FollowerNote event(std::int64_t offset) { return {{offset, 1}, digest(offset), false}; }
  static FollowerNote gap(std::int64_t offset) { return {{offset, 1}, 0, true}; }
  std::string kind(const std::vector<FollowerNote>& notes, std::size_t restores = 0, std::int64_t after = 0) {
    return kind_of([&] { judge.follower_wrote("f", after, notes, restores); });
  }
};

TEST_F(FollowerNotes, AreTheLogFromTheirStartOn) {
  EXPECT_EQ(kind({event(1), event(2), event(3), event(4)}), "none");
  EXPECT_EQ(kind({event(3), event(4)}, 0, 2), "none");
  EXPECT_EQ(kind({}, 0, 4), "none");
}

TEST_F(FollowerNotes, ShowWhatIsMissingRepeatedOrDifferent) {
  EXPECT_EQ(kind({event(1), event(2), event(4)}), "follower_gap");
  EXPECT_EQ(kind({event(1), event(2), event(3)}), "follower_gap");
  EXPECT_EQ(kind({event(2), event(3), event(4)}), "follower_gap");
  EXPECT_EQ(kind({event(1), event(2), event(2), event(3), event(4)}), "follower_order");
  EXPECT_EQ(kind({event(1), event(3), event(2), event(4)}), "follower_order");
  EXPECT_EQ(kind({event(1), {{2, 2}, 77, false}, event(3), event(4)}), "follower_content");
  EXPECT_EQ(kind({event(1), event(2), event(3), event(4), event(5)}), "follower_content");
}

TEST_F(FollowerNotes, MayBeginAnewAfterATrueGapOnly) {
  const std::vector<FollowerNote> restored{
      event(1), event(2), {{3, 2}, 70, false}, {{4, 2}, 71, false}, gap(2), event(3), event(4)};
  EXPECT_EQ(kind(restored, 1), "none");
  EXPECT_EQ(kind(restored, 0), "follower_gap") << "the log was never put back";
  EXPECT_EQ(kind({event(1), event(2), gap(1), event(2), event(3), event(4)}, 1), "follower_gap")
      << "2 is there";
  EXPECT_EQ(kind({event(1), gap(2), event(3), event(4)}, 1), "follower_gap") << "passes 2 over";
  const FollowerNote from_begin{{}, 0, true};
  EXPECT_EQ(kind({event(1), {{2, 2}, 70, false}, from_begin, event(1), event(2), event(3), event(4)}, 1),
            "none")
      << "the log has nothing of run 2";
  EXPECT_EQ(kind({{{3, 2}, 70, false}, from_begin, event(1), event(2), event(3), event(4)}, 1, 2), "none")
      << "not even where the follower began";
  EXPECT_EQ(kind({event(1), from_begin, event(1), event(2), event(3), event(4)}, 1), "follower_gap");
  EXPECT_EQ(kind({event(1), {{2, 2}, 70, false}, event(3), event(4)}, 1), "follower_content")
      << "no gap said so";
}

}  // namespace
}  // namespace godwit::sim
