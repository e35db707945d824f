// SPDX-License-Identifier: Apache-2.0
// The live feed's promise: the events after an id, each once, in order, then live without a seam, whatever is
// cut.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <random>

#include "gateway/domain/event_json.h"
#include "tests/unit/gateway/http/server_fixture.h"

namespace godwit::http {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class HttpEvents : public ServerTest {
 protected:
  // A client that has asked for the stream; its head has been read.
  TlsClient follow(const std::string& query, const std::string& last_id = "", int receive_buffer = 0) {
    TlsClient client = connect(receive_buffer);
    client.send(
        get("/api/v1/events" + query,
            "Accept: text/event-stream\r\n" + (last_id.empty() ? "" : "Last-Event-ID: " + last_id + "\r\n")));
    const Reply head = client.stream_head();
    if (head.status != 200) throw std::runtime_error("status " + std::to_string(head.status));
    return client;
  }

  // The offsets of the next events.
  static std::vector<std::string> ids(EventReader& events, std::size_t count) {
    std::vector<std::string> list;
    while (list.size() < count) {
      const auto event = events.next();
      if (!event) break;
      list.push_back(event->id.substr(0, event->id.find('-')));
    }
    return list;
  }
  // Of an event of the log's first run.
  static std::string id(std::int64_t offset) { return std::to_string(offset) + "-000000a1"; }
};

TEST_F(HttpEvents, AnEventIsTheJsonOfRestWithItsOffsetAsId) {
  const gateway::Event stored = log_.append("pump", 41);
  start();
  TlsClient client = follow("?after=begin");
  EventReader events(client);
  const gateway::Event live = commit("pump", 42);
  for (const gateway::Event& expected : {stored, live}) {
    std::string json;
    gateway::append_json(json, expected, log_);
    const auto event = events.next();
    ASSERT_TRUE(event.has_value());
    EXPECT_EQ(event->id, id(expected.offset.value));
    EXPECT_EQ(event->type, "telemetry");
    EXPECT_EQ(event->data, json);
  }
  EXPECT_EQ(events.retries(), 1);
}

TEST_F(HttpEvents, WhatIsLiveIsNotReadFromTheLog) {
  start();
  TlsClient client = follow("");
  EventReader events(client);
  ASSERT_TRUE(events.next_block().has_value()) << "the stream follows the feed by then";
  for (int i = 1; i <= 20; ++i) {
    commit("pump", i);
    EXPECT_THAT(ids(events, 1), ElementsAre(std::to_string(i)));
  }
  EXPECT_EQ(log_.reads(), 0U);
}

TEST_F(HttpEvents, BeginsNowUnlessToldOtherwise) {
  log_.append("pump", 1);
  start();
  TlsClient client = follow("");
  EventReader events(client);
  commit("pump", 2);
  EXPECT_THAT(ids(events, 1), ElementsAre("2"));
}

TEST_F(HttpEvents, FiltersStoredAndLiveEventsAlike) {
  log_.append("fan", 1);
  log_.append("pump", 2);
  log_.append(gateway::EventType::kDeviceOnline, "pump");
  start();
  TlsClient client = follow("?after=begin&device=pump&type=telemetry");
  EventReader events(client);
  EXPECT_THAT(ids(events, 1), ElementsAre("2"));
  commit("fan", 4);
  const gateway::Event online = log_.append(gateway::EventType::kDeviceOnline, "pump");
  server_->publish({&online, 1});
  commit("pump", 6);
  EXPECT_THAT(ids(events, 1), ElementsAre("6"));
}

TEST_F(HttpEvents, TellsWhatWasTrimmed) {
  for (int i = 1; i <= 9; ++i) log_.append("pump", i);
  log_.trim(6);
  start();
  TlsClient client = follow("", id(2));
  EventReader events(client);
  const auto gap = events.next();
  ASSERT_TRUE(gap.has_value());
  EXPECT_EQ(gap->type, "gap");
  EXPECT_EQ(gap->id, id(5)) << "who resumes here goes on with what there is";
  EXPECT_EQ(gap->data, R"({"type":"gap","reason":"trimmed","from":3,"to":5})");
  EXPECT_THAT(ids(events, 4), ElementsAre("6", "7", "8", "9"));
  TlsClient from_start = follow("?after=begin");
  EventReader oldest(from_start);
  EXPECT_THAT(ids(oldest, 1), ElementsAre("6")) << "begin is the oldest there is: no gap";
}

// C2.
TEST_F(HttpEvents, TellsAClientThatTheLogWasRestored) {
  for (int i = 1; i <= 21; ++i) log_.append("pump", i);
  log_.restore(10, 0xb2);
  for (int i = 1; i <= 15; ++i) log_.append("pump", i);
  start();
  TlsClient client = follow("", id(21));
  EventReader events(client);
  const auto gap = events.next();
  ASSERT_TRUE(gap.has_value());
  EXPECT_EQ(gap->type, "gap");
  EXPECT_EQ(gap->id, id(10));
  EXPECT_EQ(gap->data, R"({"type":"gap","reason":"restored","from":11,"to":21})");
  const auto next = events.next();
  ASSERT_TRUE(next.has_value());
  EXPECT_EQ(next->id, "11-000000b2");
}

TEST_F(HttpEvents, APlainOffsetIsToldWhatItLacks) {
  start();
  TlsClient client = connect();
  const Reply reply = client.ask(get("/api/v1/events", "Last-Event-ID: 2\r\n"));
  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(reply.body, HasSubstr("urn:godwit:problem:invalid-parameter"));
  EXPECT_THAT(reply.body, HasSubstr("Start with begin"));
}

TEST_F(HttpEvents, KeepsTheConnectionAliveWithIds) {
  log_.append("pump", 1);
  Limits limits;
  limits.heartbeat = milliseconds(20);
  start(limits);
  TlsClient client = follow("");
  std::string text;
  for (int i = 0; i < 3; ++i) text += client.chunk().value();
  EXPECT_EQ(text, "id: 1-000000a1\nretry: 2000\n\nid: 1-000000a1\n\nid: 1-000000a1\n\n");
}

// A client that has seen no event yet, because its filter lets nothing through, is cut off; an event for it
// is committed before it is back.
TEST_F(HttpEvents, AClientCutBeforeItsFirstEventMissesNothing) {
  log_.append("fan", 1);
  start();
  std::string last_id;
  {
    TlsClient client = follow("?device=pump");
    EventReader events(client);
    ASSERT_TRUE(events.next_block().has_value());
    last_id = events.last_id();
    client.cut();
  }
  commit("pump", 2);
  TlsClient again = follow("?device=pump", last_id);
  commit("pump", 3);
  EventReader rest(again);
  ASSERT_THAT(ids(rest, 1), ElementsAre("2"));
  EXPECT_THAT(ids(rest, 1), ElementsAre("3"));
}

TEST_F(HttpEvents, HeartbeatsMoveTheIdPastEventsThatTheFilterHolds) {
  Limits limits;
  limits.heartbeat = milliseconds(20);
  start(limits);
  TlsClient client = follow("?device=pump");
  EventReader events(client);
  for (int i = 1; i <= 3; ++i) commit("fan", i);
  for (int i = 0; i < 200 && events.last_id() != id(3); ++i) {
    const auto block = events.next_block();
    ASSERT_TRUE(block.has_value());
    ASSERT_EQ(block->data, "");
  }
  EXPECT_EQ(events.last_id(), id(3));
}

TEST_F(HttpEvents, HundredClientsCutAtRandomSeeEachEventOnceInOrder) {
  constexpr int kClients = 100;
  constexpr std::int64_t kEvents = 2000;
  Limits limits;
  limits.feed_bytes_max = 20'000;  // small, so that streams fall out of the feed and come back
  limits.requests_per_second = 1e6;
  limits.request_burst = 1e6;
  start(limits);
  std::atomic<int> failed = 0;
  std::atomic<int> resumed = 0;
  const auto client_run = [&](unsigned seed) {
    std::mt19937 random(seed);
    std::int64_t seen = 0;
    while (seen < kEvents) {
      try {
        TlsClient client = follow("?after=begin", seen == 0 ? "" : id(seen));
        EventReader events(client);
        for (auto left = random() % 700; left > 0 && seen < kEvents; --left) {
          const auto event = events.next();
          if (!event || event->id != id(seen + 1) ||
              event->data.find("," + std::to_string(seen + 1) + "]") == std::string::npos) {
            ++failed;
            return;
          }
          ++seen;
        }
        ++resumed;
      } catch (const std::runtime_error&) {
        ++failed;
        return;
      }
    }
  };
  std::vector<std::thread> clients;
  for (unsigned i = 0; i < kClients; ++i) clients.emplace_back(client_run, i);
  for (std::int64_t i = 1; i <= kEvents;) {
    std::vector<gateway::Event> group;
    for (std::int64_t n = 0; n < 1 + i % 13 && i <= kEvents; ++n, ++i)
      group.push_back(log_.append("pump", i));
    server_->publish(group);
    std::this_thread::sleep_for(std::chrono::microseconds(300));  // a commit's worth
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(failed, 0);
  EXPECT_GT(resumed, 2 * kClients) << "each was cut a few times";
}

TEST_F(HttpEvents, ASlowClientIsCutOffAndLosesNothing) {
  Limits limits;
  limits.write_timeout = milliseconds(300);
  limits.feed_bytes_max = 64 * 1024;
  start(limits);
  TlsClient slow = follow("?after=begin", "", 4096);
  TlsClient quick = follow("?after=begin");
  EventReader quick_events(quick);
  // More than the buffers of both kernels hold, in pieces that the other client takes as they come.
  std::int64_t count = 0;
  while (server_->counters().slow_subscribers == 0 && count < 200'000) {
    std::vector<gateway::Event> group;
    for (int i = 0; i < 200; ++i) group.push_back(log_.append("pump", ++count));
    server_->publish(group);
    const auto seen = ids(quick_events, group.size());
    ASSERT_EQ(seen.size(), group.size());
    ASSERT_EQ(seen.back(), std::to_string(count)) << "nobody else waits for the slow one";
  }
  EXPECT_EQ(server_->counters().slow_subscribers, 1U);
  EventReader slow_events(slow);
  std::int64_t seen = 0;
  try {
    for (;;) {
      const auto event = slow_events.next();
      ASSERT_TRUE(event.has_value()) << "the stream did not end in order, so it must not look like it";
      ASSERT_EQ(event->id, id(seen + 1));
      ++seen;
    }
  } catch (const std::runtime_error&) {  // cut off
  }
  ASSERT_LT(seen, count);
  TlsClient again = follow("?after=begin", id(seen));
  EventReader rest(again);
  while (seen < count) {
    const auto event = rest.next();
    ASSERT_TRUE(event.has_value());
    ASSERT_EQ(event->id, id(seen + 1));
    ++seen;
  }
}

TEST_F(HttpEvents, ABurstLargerThanTheFeedIsReadFromTheLog) {
  Limits limits;
  limits.feed_bytes_max = 1000;
  start(limits);
  TlsClient client = follow("");
  EventReader events(client);
  std::vector<gateway::Event> burst;
  for (int i = 1; i <= 1000; ++i) burst.push_back(log_.append("pump", i));
  server_->publish(burst);
  for (int i = 1; i <= 1000; ++i) ASSERT_EQ(events.next()->id, id(i));
}

TEST_F(HttpEvents, AnEventPublishedDuringTheStartIsNotLost) {
  log_.append("pump", 1);
  log_.after_ends([&] { commit("pump", 2); });
  start();
  log_.after_ends({});
  TlsClient client = follow("", id(1));
  EventReader events(client);
  ASSERT_TRUE(events.next_block().has_value()) << "the stream follows the feed by then";
  commit("pump", 3);
  ASSERT_THAT(ids(events, 1), ElementsAre("2"));
  EXPECT_THAT(ids(events, 1), ElementsAre("3"));
}

TEST_F(HttpEvents, AVanishedClientFreesItsPlaceAtOnce) {
  Limits limits;
  limits.subscribers_max = 1;
  start(limits);
  {
    TlsClient first = follow("");
    TlsClient second = connect();
    const Reply refused = second.ask(get("/api/v1/events"));
    EXPECT_EQ(refused.status, 503);
    EXPECT_NE(refused.header("Retry-After"), "(none)");
    EXPECT_EQ(server_->counters().subscribers, 1U);
  }
  EXPECT_TRUE(eventually([&] { return server_->counters().subscribers == 0; }));
  (void)follow("");
}

TEST_F(HttpEvents, OneKeyTakesHalfOfTheStreamsAtMost) {
  Limits limits;
  limits.subscribers_max = 4;
  start(limits);
  const TlsClient first = follow("");
  const TlsClient second = follow("");
  TlsClient client = connect();
  const std::string request = get("/api/v1/events");
  EXPECT_EQ(client.ask(request).status, 503);
  std::string of_another = request;
  of_another.replace(of_another.find(kKey), std::string_view(kKey).size(), kOtherKey);
  client.send(of_another);
  EXPECT_TRUE(eventually([&] { return server_->counters().subscribers == 3; }));
}

TEST_F(HttpEvents, AStreamEndsWhenTheLogCannotBeReadAndResumesLater) {
  log_.append("pump", 1);
  start();
  TlsClient client = follow("?after=begin");
  EventReader events(client);
  EXPECT_THAT(ids(events, 1), ElementsAre("1"));
  log_.fail(true);
  {
    TlsClient reads = follow("", id(1));
    EventReader nothing(reads);
    EXPECT_FALSE(nothing.next().has_value()) << "an end in order, after which clients try again";
  }
  log_.fail(false);
  commit("pump", 2);
  EXPECT_THAT(ids(events, 1), ElementsAre("2")) << "a stream that needs no reading is not touched";
  TlsClient again = follow("", id(1));
  EventReader rest(again);
  EXPECT_THAT(ids(rest, 1), ElementsAre("2"));
}

TEST_F(HttpEvents, StopEndsStreamsInOrder) {
  start();
  TlsClient client = follow("");
  EventReader events(client);
  commit("pump", 1);
  EXPECT_THAT(ids(events, 1), ElementsAre("1"));
  server_->stop();
  EXPECT_FALSE(events.next().has_value());
  EXPECT_TRUE(client.ended());
}

}  // namespace
}  // namespace godwit::http
