// SPDX-License-Identifier: Apache-2.0
#include "gateway/domain/inbox.h"

#include <gtest/gtest.h>

#include "tests/unit/gateway/messages.h"

namespace godwit::gateway {
namespace {

using std::chrono::milliseconds;
using test::message;
constexpr auto kRecord = topics::Leaf::kRecord;
constexpr auto kLive = topics::Leaf::kLive;

std::vector<Message> take(Inbox& inbox, std::size_t max = 100) {
  std::vector<Message> messages;
  inbox.take(messages, {.idle = milliseconds{0}, .gather = milliseconds{0}, .max = max});
  return messages;
}

TEST(Inbox, GivesMessagesInTheOrderInWhichTheyCame) {
  Inbox inbox({});
  for (const char* payload : {"1", "2", "3"}) EXPECT_TRUE(inbox.push(message(kRecord, payload)));
  const auto first = take(inbox, 2);
  ASSERT_EQ(first.size(), 2U);
  EXPECT_EQ(first[0].payload, "1");
  EXPECT_EQ(first[1].payload, "2");
  EXPECT_EQ(take(inbox).at(0).payload, "3");
  EXPECT_TRUE(take(inbox).empty());
}

TEST(Inbox, FullDropsTheNewestAndCountsIt) {
  Inbox inbox({.messages_max = 2});
  EXPECT_TRUE(inbox.push(message(kRecord, "1")));
  EXPECT_TRUE(inbox.push(message(kRecord, "2")));
  EXPECT_FALSE(inbox.push(message(kRecord, "3")));
  EXPECT_EQ(inbox.dropped().messages, 1U);
  EXPECT_EQ(take(inbox).size(), 2U);
  EXPECT_TRUE(inbox.push(message(kRecord, "4")));
}

TEST(Inbox, IsBoundedInBytesToo) {
  Inbox inbox({.bytes_max = 10});
  EXPECT_TRUE(inbox.push(message(kRecord, "123456")));
  EXPECT_FALSE(inbox.push(message(kRecord, "12345")));
  EXPECT_TRUE(inbox.push(message(kRecord, "1234")));
  take(inbox);
  EXPECT_TRUE(inbox.push(message(kRecord, "1234567890")));
}

TEST(Inbox, LiveSamplesGiveWayToRecords) {
  Inbox inbox({.messages_max = 4});
  EXPECT_TRUE(inbox.push(message(kRecord, "1")));
  EXPECT_TRUE(inbox.push(message(kLive, "2")));
  EXPECT_FALSE(inbox.push(message(kLive, "3")));
  EXPECT_TRUE(inbox.push(message(kRecord, "4")));
  EXPECT_EQ(inbox.dropped().live, 1U);
  EXPECT_EQ(inbox.dropped().messages, 0U);
}

TEST(Inbox, ClosedTakesNothingMoreAndGivesWhatItHolds) {
  Inbox inbox({});
  inbox.push(message(kRecord, "1"));
  inbox.close();
  EXPECT_FALSE(inbox.push(message(kRecord, "2")));
  EXPECT_FALSE(inbox.finished());
  EXPECT_EQ(take(inbox).size(), 1U);
  EXPECT_TRUE(inbox.finished());
}

TEST(Inbox, TellsOnceThatASessionHasStarted) {
  Inbox inbox({});
  EXPECT_FALSE(inbox.take_session_started());
  inbox.session_started();
  EXPECT_TRUE(inbox.take_session_started());
  EXPECT_FALSE(inbox.take_session_started());
}

}  // namespace
}  // namespace godwit::gateway
