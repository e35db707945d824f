// SPDX-License-Identifier: Apache-2.0
#include "gateway/domain/intake.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/unit/gateway/messages.h"

namespace godwit::gateway {
namespace {

using topics::Leaf;

constexpr UnixMillis kStart{0};

// Both clocks began at once.
Received at_both(UnixMillis at) { return {.at = Instant(Millis{at.value}), .unix_time = at}; }

Message numbered(std::string_view device, int number, UnixMillis at = kStart) {
  return test::message(Leaf::kRecord, std::to_string(number), device, at_both(at));
}
Message sized(std::string_view device, std::size_t bytes, UnixMillis at = kStart, Leaf leaf = Leaf::kRecord) {
  return test::message(leaf, std::string(bytes, 'x'), device, at_both(at));
}

std::vector<Message> take(Intake& intake, std::size_t messages = SIZE_MAX, std::size_t bytes = SIZE_MAX) {
  std::vector<Message> out;
  intake.take(out, messages, bytes);
  return out;
}

std::vector<std::string> payloads(const std::vector<Message>& messages, std::string_view device) {
  std::vector<std::string> result;
  for (const Message& message : messages) {
    if (message.device.view() == device) result.push_back(message.payload);
  }
  return result;
}

std::vector<std::string> numbers(int first, int last) {
  std::vector<std::string> result;
  for (int number = first; number <= last; ++number) result.push_back(std::to_string(number));
  return result;
}

TEST(Intake, KeepsTheOrderOfEachDevice) {
  Intake intake({});
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(intake.push(numbered("a", i)));
    ASSERT_TRUE(intake.push(numbered("b", i)));
  }
  EXPECT_EQ(intake.waiting(numbered("a", 0).device), 200U);
  EXPECT_EQ(intake.waiting(numbered("c", 0).device), 0U);
  std::vector<Message> taken;
  while (intake.messages() > 0) intake.take(taken, taken.size() + 7, SIZE_MAX);
  EXPECT_EQ(intake.waiting(numbered("a", 0).device), 0U);
  EXPECT_EQ(payloads(taken, "a"), numbers(0, 199));
  EXPECT_EQ(payloads(taken, "b"), numbers(0, 199));
  EXPECT_EQ(intake.dropped().messages, 0U);
}

// What one device floods with is large, what the others say small; each gets the same bytes.
TEST(Intake, ServesDevicesInTurnByBytes) {
  Intake intake({});
  while (intake.push(sized("flood", 10'000))) {
  }
  for (int i = 0; i < 100; ++i) {
    for (const char* const honest : {"h1", "h2"}) ASSERT_TRUE(intake.push(sized(honest, 500)));
  }
  const auto taken = take(intake, SIZE_MAX, 12 * Intake::kQuantum);
  std::map<std::string, std::size_t> bytes;
  for (const Message& message : taken) {
    bytes[std::string(message.device.view())] += message.payload.size() + Intake::kMessageCost;
  }
  EXPECT_GE(bytes["h1"], 3 * Intake::kQuantum);
  EXPECT_GE(bytes["h2"], 3 * Intake::kQuantum);
  EXPECT_GT(bytes["flood"], 2 * Intake::kQuantum);
  EXPECT_LE(bytes["flood"], bytes["h1"] + 10'000 + Intake::kMessageCost);
}

// What a device did not use of its turns does not add up to a turn of many quanta.
TEST(Intake, ADeviceWithLittleToSaySavesNoTurnsForLater) {
  Intake intake({});
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(intake.push(numbered("idle", i)));
    ASSERT_EQ(take(intake).size(), 1U);
  }
  for (const char* const device : {"idle", "other"}) {
    for (int i = 0; i < 40; ++i) ASSERT_TRUE(intake.push(sized(device, 1000)));
  }
  const auto taken = take(intake, 6);
  EXPECT_EQ(payloads(taken, "idle").size(), 3U) << "a quantum of them";
  EXPECT_EQ(payloads(taken, "other").size(), 3U);
}

// The bound that the header declares: whoever floods, one small message waits for one turn of each at most.
TEST(Intake, AMessageWaitsForOneTurnOfEachOtherDeviceAtMost) {
  constexpr std::size_t kLarge = 60'000;
  Intake intake({});
  for (const char* const device : {"f1", "f2", "f3"}) {
    while (intake.push(sized(device, kLarge))) {
    }
  }
  for (int round = 0; round < 50; ++round) {
    for (const char* const device : {"f1", "f2", "f3"}) intake.push(sized(device, kLarge));
    ASSERT_TRUE(intake.push(numbered("honest", round)));
    std::size_t before = 0;
    for (;;) {
      const auto one = take(intake, 1);
      ASSERT_EQ(one.size(), 1U);
      if (one[0].device.view() == "honest") break;
      before += one[0].payload.size() + Intake::kMessageCost;
    }
    EXPECT_LE(before, 3 * (Intake::kQuantum + kLarge + Intake::kMessageCost));
  }
}

TEST(Intake, ADeviceThatFloodsLosesOnlyItsOwn) {
  Intake intake({});
  int accepted = 0;
  for (int i = 0; i < 10'000; ++i) accepted += intake.push(numbered("flood", i)) ? 1 : 0;
  EXPECT_EQ(accepted, 256);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(intake.push(numbered("honest", i)));
  const auto taken = take(intake);
  EXPECT_EQ(payloads(taken, "flood"), numbers(0, 255)) << "the newest are dropped";
  EXPECT_EQ(payloads(taken, "honest"), numbers(0, 99));
  EXPECT_EQ(intake.dropped().messages, 10'000U - 256U);
  EXPECT_EQ(intake.dropped().throttled, intake.dropped().messages);
  EXPECT_TRUE(intake.push(numbered("flood", 256))) << "there is room again";
}

TEST(Intake, QueuesOfADeviceAreBoundedInBytesToo) {
  Intake intake({});
  std::size_t held = 0;
  while (intake.push(sized("flood", 30'000))) held += 30'000 + Intake::kMessageCost;
  EXPECT_LE(held, 256U << 10U);
  EXPECT_GT(held, (256U << 10U) - 30'128U);
}

// An honest device has its window waiting at most. However many have, as when the disk stood still for a
// while, none of it is refused.
TEST(Intake, AWindowOfEachDeviceIsTakenHoweverManyThereAre) {
  constexpr std::size_t kRecord = 540;  // the largest of our firmware, with its envelope
  constexpr int kWindow = 16;
  Intake intake({});
  for (int device = 0; device < 300; ++device) {  // first what others flood with
    while (intake.push(sized("flood" + std::to_string(device), 5000))) {
    }
  }
  const std::size_t flood = intake.bytes();
  static_cast<void>(intake.take_throttled());
  for (int message = 0; message < kWindow; ++message) {
    for (int device = 0; device < 2000; ++device)
      ASSERT_TRUE(intake.push(sized("honest" + std::to_string(device), kRecord))) << device << " " << message;
  }
  EXPECT_TRUE(intake.take_throttled().empty());
  EXPECT_EQ(intake.bytes() - flood, 2000U * kWindow * (kRecord + Intake::kMessageCost));
  EXPECT_LE(flood, Intake::Limits{}.shared_bytes + 300 * Intake::Limits{}.window_bytes);
}

// The bounds hold 10,000 such windows, and no more than they say.
TEST(Intake, TheWholeIsBounded) {
  const Intake::Limits limits{.messages = 3000, .bytes = 1U << 20U};
  for (const std::size_t size : {std::size_t{10}, std::size_t{900}}) {
    Intake intake(limits);
    for (int device = 0; device < 1000; ++device) {
      for (int message = 0; message < 16; ++message) intake.push(sized("d" + std::to_string(device), size));
    }
    EXPECT_LE(intake.messages(), limits.messages);
    EXPECT_LE(intake.bytes(), limits.bytes);
  }
  constexpr Intake::Limits kDefault;
  EXPECT_GE(kDefault.messages, 10'000 * kDefault.window_messages);
  EXPECT_GE(kDefault.bytes, 10'000 * kDefault.window_bytes);
}

// However many devices flood at once, there is room for one that has nothing waiting, and the whole stays
// within its bounds.
TEST(Intake, ManyThatFloodTogetherLeaveRoomForTheOthers) {
  const Intake::Limits limits{.shared_messages = 2000, .shared_bytes = 4U << 20U};
  Intake intake(limits);
  for (int round = 0; round < 300; ++round) {
    for (int device = 0; device < 200; ++device) {
      intake.push(sized("flood" + std::to_string(device), 5000));
    }
  }
  for (int device = 0; device < 20; ++device) {
    EXPECT_TRUE(intake.push(sized("honest" + std::to_string(device), 500))) << device;
  }
  std::size_t bytes = 0;
  const auto taken = take(intake);
  for (const Message& message : taken) bytes += message.payload.size() + Intake::kMessageCost;
  EXPECT_LE(taken.size(), limits.shared_messages);
  EXPECT_LE(bytes, limits.shared_bytes + 200 * limits.window_bytes);
  EXPECT_GT(bytes, limits.shared_bytes / 2);
}

TEST(Intake, LiveSamplesGiveWayToRecords) {
  Intake intake({});
  int live = 0;
  while (intake.push(sized("d", 10, kStart, Leaf::kLive))) ++live;
  EXPECT_EQ(live, 128);
  EXPECT_TRUE(intake.push(sized("d", 10)));
  EXPECT_EQ(intake.dropped().live, 1U);
}

TEST(Intake, AWillIsTakenWhateverWaitsAndOnlyTheLastOfSeveral) {
  Intake intake({});
  while (intake.push(sized("d", 10))) {
  }
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(intake.push(test::message(Leaf::kGone, "", "d")));
  EXPECT_EQ(intake.messages(), 257U);
  EXPECT_EQ(take(intake).back().leaf, Leaf::kGone);
}

// Of two wills in a row the second takes the place of the first, whatever the two are long.
TEST(Intake, AWillOfAnotherLengthLeavesNoTraceInTheCounts) {
  const Intake::Limits limits{.bytes = 64 * 1024};
  for (const auto& [first, second] : {std::pair{0, 1000}, std::pair{1000, 0}}) {
    Intake intake(limits);
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(intake.push(sized("evil", static_cast<std::size_t>(first), kStart, Leaf::kGone)));
      ASSERT_TRUE(intake.push(sized("evil", static_cast<std::size_t>(second), kStart, Leaf::kGone)));
      ASSERT_EQ(take(intake).size(), 1U);
      ASSERT_TRUE(intake.push(sized("honest", 10))) << "after " << i + 1;
      ASSERT_EQ(payloads(take(intake), "honest").size(), 1U);
    }
  }
}

TEST(Intake, SaysOnceAMinuteThatADeviceIsThrottled) {
  Intake intake({});
  const auto flood = [&](std::int64_t at_s) {
    for (int i = 0; i < 300; ++i) intake.push(numbered("flood", i, {at_s * 1000}));
  };
  flood(0);
  ASSERT_TRUE(intake.push(numbered("honest", 1)));
  auto events = intake.take_throttled();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].device.view(), "flood");
  EXPECT_EQ(events[0].count, 1U);
  EXPECT_EQ(events[0].reason, ThrottleReason::kQueueFull);
  flood(30);
  EXPECT_TRUE(intake.take_throttled().empty());
  flood(60);
  events = intake.take_throttled();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].count, 43U + 300U + 1U) << "all since the last one";
  EXPECT_EQ(events[0].received.unix_time, UnixMillis{60'000});
  flood(200);
  flood(300);
  EXPECT_EQ(intake.take_throttled().size(), 1U) << "bounded by the devices, though nobody takes them";
}

TEST(Intake, ADeviceHasABudgetOfBytesForADay) {
  Intake intake({.day_bytes = 100'000});
  const UnixMillis noon{12 * 3'600'000};
  std::size_t accepted = 0;
  for (int i = 0; i < 200; ++i) {
    if (intake.push(sized("greedy", 872, noon))) accepted += 1000;
    take(intake);
  }
  EXPECT_EQ(accepted, 100'000U);
  const auto events = intake.take_throttled();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].reason, ThrottleReason::kDayBudget);
  EXPECT_TRUE(intake.push(sized("other", 872, noon)));
  EXPECT_TRUE(intake.push(test::message(Leaf::kGone, "", "greedy", at_both(noon)))) << "its will is news";
  EXPECT_FALSE(intake.push(sized("greedy", 872, {24 * 3'600'000 - 1})));
  EXPECT_TRUE(intake.push(sized("greedy", 872, {24 * 3'600'000}))) << "another day";
}

// What it owes is worked off with time, and live samples are let in from half of it on.
TEST(Intake, ADeviceThatOwesWhatItsBatchesDecodeToIsRefusedUntilItIsWorkedOff) {
  Intake intake({.day_bytes = 10'000, .device_decoded_bytes = 4'000});
  const Message record = sized("bomber", 72);
  ASSERT_TRUE(intake.push(record));
  intake.charge({.device = record.device, .bytes = 6'000}, Instant{});
  EXPECT_FALSE(intake.push(sized("bomber", 72, {499})));
  EXPECT_EQ(intake.take_throttled().at(0).reason, ThrottleReason::kQueueFull);
  EXPECT_TRUE(intake.push(sized("bomber", 72, {500})));
  EXPECT_FALSE(intake.push(sized("bomber", 72, {999}, Leaf::kLive)));
  EXPECT_TRUE(intake.push(sized("bomber", 72, {1'000}, Leaf::kLive)));
  EXPECT_TRUE(intake.push(sized("other", 72)));
  intake.charge({.device = record.device, .bytes = 3'400}, Instant(Millis{1'000}));
  take(intake);
  EXPECT_FALSE(intake.push(sized("bomber", 72, {60'000}))) << "it counts against the day, too";
  intake.charge({.device = sized("stranger", 1).device, .bytes = 1}, Instant{});
}

TEST(Intake, WithALowDiskADeviceHasATenthOfItsDay) {
  Intake intake({.day_bytes = 100'000});
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(intake.push(sized("much", 872)));
    take(intake);
  }
  ASSERT_TRUE(intake.push(sized("little", 872)));
  intake.set_disk_low(true);
  EXPECT_FALSE(intake.push(sized("much", 872)));
  EXPECT_EQ(intake.take_throttled().at(0).reason, ThrottleReason::kDiskLow);
  EXPECT_TRUE(intake.push(sized("little", 872)));
  intake.set_disk_low(false);
  EXPECT_TRUE(intake.push(sized("much", 872)));
}

TEST(Intake, RemembersABoundedNumberOfDevices) {
  Intake intake({.devices = 3});
  for (const char* const device : {"a", "b", "c"}) ASSERT_TRUE(intake.push(numbered(device, 1)));
  EXPECT_FALSE(intake.push(numbered("d", 1)));
  take(intake);
  EXPECT_FALSE(intake.push(numbered("d", 1))) << "their day is not over";
  ASSERT_TRUE(intake.push(numbered("a", 2, {Intake::kDay.count()})));
  EXPECT_TRUE(intake.push(numbered("d", 1, {Intake::kDay.count()})));
  EXPECT_EQ(payloads(take(intake), "a"), numbers(2, 2));
}

TEST(Intake, TellsOnceThatASessionHasStarted) {
  Intake intake({});
  EXPECT_FALSE(intake.take_session_started());
  intake.session_started();
  EXPECT_TRUE(intake.urgent());
  EXPECT_TRUE(intake.take_session_started());
  EXPECT_FALSE(intake.urgent());
  EXPECT_FALSE(intake.take_session_started());
}

}  // namespace
}  // namespace godwit::gateway
