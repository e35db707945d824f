// SPDX-License-Identifier: Apache-2.0
#include "gateway/log/event_queue.h"

#include <gtest/gtest.h>

#include <string>

namespace godwit::gateway {
namespace {

std::vector<Event> events(std::int64_t first, std::int64_t last, std::size_t size = 10) {
  std::vector<Event> list;
  for (std::int64_t i = first; i <= last; ++i) {
    Event& event = list.emplace_back();
    event.offset = {i};
    event.term = {7};
    event.batch.assign(size, 'x');
  }
  return list;
}

TEST(EventQueue, GivesWhatWasPushedInOrder) {
  EventQueue queue;
  queue.set_wanted(true);
  EXPECT_TRUE(queue.empty());
  queue.push(events(1, 2));
  queue.push(events(3, 3));
  EXPECT_FALSE(queue.empty());
  const EventQueue::Batch batch = queue.take();
  ASSERT_EQ(batch.events.size(), 3U);
  EXPECT_EQ(batch.events[2].offset, LogOffset{3});
  EXPECT_EQ(batch.skipped_through, LogId{});
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.bytes(), 0U);
}

TEST(EventQueue, LeavesOutWhatNobodyWantsAndSaysSo) {
  EventQueue queue;
  queue.push(events(1, 2));
  EXPECT_FALSE(queue.empty()) << "that they were left out is to be told";
  const EventQueue::Batch batch = queue.take();
  EXPECT_TRUE(batch.events.empty());
  EXPECT_EQ(batch.skipped_through, (LogId{.offset = {2}, .term = {7}}));
  EXPECT_TRUE(queue.empty());
}

// Long strings have blocks of their own, with a terminator and the allocator's header.
TEST(EventQueue, CountsWhatItsStringsTake) {
  const auto bytes = [](const std::string& text) {
    std::vector<Event> list = events(1, 10, 0);
    for (Event& event : list) event.device = event.batch = event.hello = text;
    EventQueue queue;
    queue.set_wanted(true);
    queue.push(list);
    const std::size_t held = queue.bytes();
    EventQueue::Batch batch = queue.take();
    EXPECT_EQ(queue.bytes(), 0U);
    queue.put_back(batch.events);
    EXPECT_EQ(queue.bytes(), held);
    return held;
  };
  EXPECT_EQ(bytes("d"), 10 * sizeof(Event));
  EXPECT_GE(bytes(std::string(32, 'd')), 10 * (sizeof(Event) + 3 * (32 + 1 + 8)));
}

TEST(EventQueue, HoldsNoMoreThanItsBytes) {
  EventQueue queue(10'000);
  queue.set_wanted(true);
  std::int64_t next = 1;
  for (int i = 0; i < 1000; ++i, next += 3) {
    queue.push(events(next, next + 2, 500));
    EXPECT_LE(queue.bytes(), 10'000U);
  }
  if (queue.bytes() == 0) queue.push(events(next, next + 2, 500)), next += 3;  // the last push was left out
  const EventQueue::Batch batch = queue.take();
  ASSERT_FALSE(batch.events.empty());
  EXPECT_EQ(batch.events.front().offset.value, batch.skipped_through.offset.value + 1) << "nothing between";
  EXPECT_EQ(batch.events.back().offset.value, next - 1);
}

TEST(EventQueue, GivesABoundedPieceOfLargeEvents) {
  EventQueue queue;
  queue.set_wanted(true);
  queue.push(events(1, 50, 100'000));
  const EventQueue::Batch batch = queue.take();
  EXPECT_EQ(batch.events.size(), 3U);
  EXPECT_FALSE(queue.empty());
}

TEST(EventQueue, WhatIsPutBackComesNextUnlessItWasLeftOutMeanwhile) {
  EventQueue queue;
  queue.set_wanted(true);
  queue.push(events(1, 4));
  EventQueue::Batch batch = queue.take();
  queue.push(events(5, 5));
  queue.put_back(std::span(batch.events).subspan(1));
  batch = queue.take();
  ASSERT_EQ(batch.events.size(), 4U);
  EXPECT_EQ(batch.events.front().offset, LogOffset{2});
  EXPECT_EQ(batch.events.back().offset, LogOffset{5});

  queue.set_wanted(false);
  queue.push(events(6, 6));
  queue.put_back(batch.events);
  batch = queue.take();
  EXPECT_TRUE(batch.events.empty());
  EXPECT_EQ(batch.skipped_through.offset, LogOffset{6});
  EXPECT_EQ(queue.bytes(), 0U);
}

}  // namespace
}  // namespace godwit::gateway
