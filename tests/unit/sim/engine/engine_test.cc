// SPDX-License-Identifier: Apache-2.0
#include "sim/engine/engine.h"

#include <gtest/gtest.h>

#include <string>

#include "sim/engine/random.h"

namespace godwit::sim {
namespace {

TEST(Engine, RunsByTimeAndThenInTheOrderOfAsking) {
  Engine engine;
  std::string order;
  engine.at(Time{20}, [&] { order += "d"; });
  engine.at(Time{10}, [&] {
    order += "a";
    engine.after(Millis{0}, [&] { order += "c"; });
  });
  engine.at(Time{10}, [&] { order += "b"; });
  engine.at(Time{31}, [&] { order += "never"; });
  engine.run_until(Time{30});
  EXPECT_EQ(order, "abcd");
  EXPECT_EQ(engine.now(), Time{30});
}

TEST(Engine, WhatIsAskedForInThePastHappensNow) {
  Engine engine;
  engine.run_until(Time{100});
  Time when{0};
  engine.at(Time{5}, [&] { when = engine.now(); });
  engine.run_until(Time{100});
  EXPECT_EQ(when, Time{100});
}

TEST(Engine, SomebodyWhoSpinsIsNoticed) {
  Engine engine;
  std::function<void()> spin = [&] { engine.after(Millis{0}, spin); };
  engine.at(Time{7}, spin);
  EXPECT_THROW(engine.run_until(Time{8}), Livelock);
}

TEST(Timer, OnlyTheLastTimeCounts) {
  Engine engine;
  int calls = 0;
  Timer timer(engine, [&] { ++calls; });
  timer.set(Time{10});
  timer.set(Time{20});
  engine.run_until(Time{15});
  EXPECT_EQ(calls, 0);
  engine.run_until(Time{25});
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(timer.when(), std::nullopt);
  timer.set(Time{30});
  timer.set(std::nullopt);
  engine.run_until(Time{35});
  EXPECT_EQ(calls, 1);
}

TEST(Timer, OneThatIsGoneDoesNothing) {
  Engine engine;
  int calls = 0;
  {
    Timer timer(engine, [&] { ++calls; });
    timer.set(Time{10});
  }
  engine.run_until(Time{20});
  EXPECT_EQ(calls, 0);
}

TEST(Random, IsTheSameEverywhereAndDiffersByStream) {
  Random random(1, 2);
  EXPECT_EQ(random.next(), Random(1, 2).next());
  EXPECT_NE(Random(1, 2).next(), Random(1, 3).next());
  EXPECT_NE(Random(1, 2).next(), Random(2, 2).next());
  for (int i = 0; i < 1'000; ++i) {
    const std::uint64_t value = random.between(3, 5);
    EXPECT_TRUE(value >= 3 && value <= 5);
  }
}

TEST(Digest, TellsOrderAndLength) {
  const std::uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  Digest whole;
  whole.add(Bytes(bytes));
  Digest parts;
  parts.add(Bytes(bytes).first(4));
  parts.add(Bytes(bytes).subspan(4));
  EXPECT_NE(whole.value(), parts.value());
  Digest a;
  a.add(1);
  a.add(2);
  Digest b;
  b.add(2);
  b.add(1);
  EXPECT_NE(a.value(), b.value());
}

}  // namespace
}  // namespace godwit::sim
