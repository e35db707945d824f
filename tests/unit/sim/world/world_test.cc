// SPDX-License-Identifier: Apache-2.0
#include "sim/world/world.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

namespace godwit::sim {
namespace {

Plan calm(std::uint64_t seed) {
  Plan plan{.seed = seed, .duration = Time{600'000}, .followers = 2};
  plan.devices.resize(2);
  plan.devices[1].clock_after = 0;
  return plan;
}

TEST(Plan, TextAndBack) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const std::string text = to_text(make_plan(seed));
    const auto plan = parse_plan("# a comment\n\n" + text);
    ASSERT_TRUE(plan) << plan.error();
    EXPECT_EQ(to_text(*plan), text);
  }
}

TEST(Plan, WhatIsNoPlanIsRefusedWithItsLine) {
  const std::string device =
      "device unit=8 sector=4096 sectors=4 period=1 rows=1 age=1 latency=1 rate=1 clock_after=1\n";
  const std::string head = "plan version=1 seed=1 duration=1 followers=0 kept=64 batch=2000\n";
  EXPECT_FALSE(parse_plan(""));
  EXPECT_FALSE(parse_plan(head));
  EXPECT_TRUE(parse_plan(head + device));
  EXPECT_EQ(parse_plan(head + device + "fault at=1 kind=none device=0 a=0 b=0 stream=0\n").error(),
            "line 3: kind=VALUE is missing or is none");
  EXPECT_EQ(parse_plan(head + "device unit=x\n").error().substr(0, 7), "line 2:");
  EXPECT_FALSE(parse_plan(head + device + "fault at=1 kind=flip device=9 a=0 b=0 stream=0\n"));
}

TEST(Plan, EveryKindOfFaultComesUp) {
  std::set<FaultKind> kinds;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    for (const Fault& fault : make_plan(seed).faults) kinds.insert(fault.kind);
  }
  EXPECT_EQ(kinds.size(), kFaultKinds);
}

TEST(World, WithoutFaultsEverythingArrivesSoon) {
  const Outcome outcome = run(calm(1), {});
  EXPECT_EQ(outcome.what, "");
  EXPECT_GT(outcome.counts.records, 100U);
  EXPECT_EQ(outcome.counts.stored, outcome.counts.records);
  EXPECT_EQ(outcome.counts.lost, 0U);
  EXPECT_EQ(outcome.counts.destroyed, 0U);
  EXPECT_LE(outcome.drained, Time{60'000});
}

TEST(World, TheSameSeedIsTheSameRun) {
  std::set<std::uint64_t> hashes;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    const Plan plan = make_plan(seed);
    const Outcome first = run(plan, {});
    const Outcome again = run(plan, {});
    EXPECT_EQ(first.hash, again.hash) << "seed " << seed;
    EXPECT_EQ(first.steps, again.steps) << "seed " << seed;
    EXPECT_EQ(first.what, again.what) << "seed " << seed;
    hashes.insert(first.hash);
  }
  EXPECT_EQ(hashes.size(), 8U);
}

TEST(World, AFaultChangesTheRun) {
  Plan plan = calm(3);
  const std::uint64_t before = run(plan, {}).hash;
  plan.faults.push_back({.at = Time{100'000}, .kind = FaultKind::kCut, .device = 0, .a = 10});
  const Outcome outcome = run(plan, {});
  EXPECT_NE(outcome.hash, before);
  EXPECT_EQ(outcome.what, "");
  EXPECT_EQ(outcome.probes[Probe::kCutInUplink] + outcome.probes[Probe::kCutInDownlink], 1U);
}

// A backup at 100 s; each time it is put back, followers have seen more.
Plan restored(std::uint64_t seed, int times) {
  Plan plan = calm(seed);
  plan.followers = 12;
  plan.faults.push_back({.at = Time{100'000}, .kind = FaultKind::kBackup});
  for (int i = 1; i <= times; ++i)
    plan.faults.push_back({.at = Time{100'000 + 150'000 * i}, .kind = FaultKind::kRestore, .b = 5'000});
  return plan;
}

TEST(World, FollowersAreToldOfARestoreAndGoOnFromWhatBothLogsHave) {
  const Outcome outcome = run(restored(1, 1), {});
  EXPECT_EQ(outcome.what, "");
  EXPECT_GE(outcome.probes[Probe::kFollowerToldRestored], 8U);
}

TEST(World, FollowersOfATermThatASecondRestoreForgotBeginAnew) {
  const Outcome outcome = run(restored(1, 2), {});
  EXPECT_EQ(outcome.what, "");
  EXPECT_GE(outcome.probes[Probe::kFollowerToldRestored], 8U);
  EXPECT_GE(outcome.probes[Probe::kFollowerBeganAnew], 8U);
}

TEST(World, HundredsOfFollowersGetTheWholeLog) {
  Plan plan = restored(2, 1);
  plan.followers = 500;
  plan.faults.push_back({.at = Time{50'000}, .kind = FaultKind::kGatewayKill, .a = 3'000});
  std::ranges::stable_sort(plan.faults, {}, &Fault::at);
  const Outcome outcome = run(plan, {});
  EXPECT_EQ(outcome.what, "");
  EXPECT_GT(outcome.probes[Probe::kFollowerCameBack], 800U);
  EXPECT_GT(outcome.probes[Probe::kFollowerToldRestored], 400U);
}

TEST(World, WatchingDoesNotChangeTheRun) {
  const Plan plan = make_plan(2);
  std::size_t lines = 0;
  const Outcome watched = run(plan, {.trace = [&](std::string_view /*line*/) { ++lines; }});
  EXPECT_EQ(watched.hash, run(plan, {}).hash);
  EXPECT_GT(lines, 100U);
}

}  // namespace
}  // namespace godwit::sim
