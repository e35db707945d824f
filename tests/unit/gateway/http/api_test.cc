// SPDX-License-Identifier: Apache-2.0
// The handlers as functions from a request to a response, over a log in memory.
#include "gateway/http/api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/domain/hello.h"
#include "tests/unit/gateway/fake_log.h"

namespace godwit::http {
namespace {

using gateway::test::FakeLog;
using testing::HasSubstr;
using testing::Not;

class Api : public testing::Test {
 protected:
  Result ask(const std::string& target, Headers headers = {}) {
    const auto parsed = parse_target(target);
    Request request{.method = "GET",
                    .target = target,
                    .headers = std::move(headers),
                    .body = {},
                    .remote_address = "192.0.2.1",
                    .path = parsed->path,
                    .query = parsed->query,
                    .path_values = {},
                    .trace_id = {}};
    const Router router(api_routes(sources_));
    Router::Match match = router.match("GET", request.path);
    if (match.route == nullptr) return std::unexpected(Problem{.kind = ProblemKind::kNotFound});
    request.path_values = match.path_values;
    return match.route->handler(request);
  }
  std::string body(const std::string& target, Headers headers = {}) {
    const Result result = ask(target, std::move(headers));
    return result ? result->body : type_of(result.error().kind) + " " + result.error().detail;
  }
  ProblemKind problem(const std::string& target, Headers headers = {}) {
    const Result result = ask(target, std::move(headers));
    EXPECT_FALSE(result.has_value()) << target;
    return result ? ProblemKind::kInternal : result.error().kind;
  }

  FakeLog log_;
  Sources sources_{.log = &log_, .interrupt_reads = {}, .readiness = {}, .metrics = {}, .log_sink = {}};
};

const Headers kJson{{"Accept", "application/json"}};

TEST_F(Api, ShowsADevice) {
  log_.append("pump", 41);
  EXPECT_EQ(body("/api/v1/devices/pump"),
            R"({"id":"pump","online":true,"first_seen":"2026-01-01T00:00:00.001Z",)"
            R"("last_seen":"2026-01-01T00:00:00.001Z","firmware":"1.0","board":"host","boot":3,)"
            R"("reset_reason":"power_on","health":{},"last_crash":null,)"
            R"("dropped_records":7,"refused_records":0,"corrupt_records":0,"missed_samples":1,)"
            R"("log":{"state":"ok","bad_sectors":0},)"
            R"("stream":{"epoch":"0123456789abcdef","next_seq":2,"records":1,"lost_records":0}})");
}

TEST_F(Api, ShowsTheHealthAndTheLastCrashOfADevice) {
  log_.append("pump", 41);
  codec::Hello hello{.try_id = {1}, .oldest_seq = kFirstSeq, .next_seq = kFirstSeq};
  hello.firmware = "0.9";
  hello.boot = 2;
  hello.crash = codec::Crash{.kind = codec::CrashKind::kFault, .pc = 0x1234, .cause = 0x0200'0000};
  log_.tell("pump", {.stack_used = 100, .stack_size = 4096, .time_quality = codec::TimeQuality::kSynced},
            {.hello = gateway::pack(hello), .received_at = {1'767'225'600'000}});
  EXPECT_THAT(body("/api/v1/devices/pump"),
              HasSubstr(R"("health":{"time_quality":"synced","stack_used":100,"stack_size":4096},)"
                        R"("last_crash":{"boot":2,"reported_at":"2026-01-01T00:00:00.000Z","firmware":"0.9",)"
                        R"("kind":"fault","pc":"0x00001234","cause":"0x02000000",)"
                        R"("causes":["divide by zero"]},)"));
}

TEST_F(Api, ShowsTheNewestValueOfEachChannel) {
  log_.append("pump", 41);
  log_.append("pump", 42);
  EXPECT_EQ(
      body("/api/v1/devices/pump/latest"),
      R"({"device":"pump","channels":[)"
      R"({"name":"temperature","table":"env","value":21.52,"unit":"Cel","time":"2026-01-01T00:00:01.000Z",)"
      R"("time_quality":"synced","received_at":"2026-01-01T00:00:00.002Z","offset":2},)"
      R"({"name":"count","table":"env","value":42,"unit":"1","time":"2026-01-01T00:00:01.000Z",)"
      R"("time_quality":"synced","received_at":"2026-01-01T00:00:00.002Z","offset":2}],"undecoded":[]})");
}

TEST_F(Api, TheVersionOfAResourceChangesWithIt) {
  log_.append("pump", 1);
  const std::string before(*find_header(ask("/api/v1/devices/pump")->headers, "ETag"));
  EXPECT_EQ(find_header(ask("/api/v1/devices/pump")->headers, "ETag"), before);
  log_.append("pump", 2);
  EXPECT_NE(find_header(ask("/api/v1/devices/pump")->headers, "ETag"), before);
}

TEST_F(Api, UnknownDevicesAreNotFound) {
  log_.append("pump", 1);
  for (const char* target : {"/api/v1/devices/other", "/api/v1/devices/PUMP", "/api/v1/devices/other/latest",
                             "/api/v1/devices/other/telemetry", "/api/v1/devices/a%20b"}) {
    EXPECT_EQ(problem(target), ProblemKind::kNotFound) << target;
  }
}

std::string next_cursor(const std::string& page) {
  static constexpr std::string_view kName = R"("next_cursor":")";
  const std::size_t begin = page.find(kName);
  if (begin == std::string::npos) return "";
  return page.substr(begin + kName.size(), page.find('"', begin + kName.size()) - begin - kName.size());
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST_F(Api, DeviceListIsTheSameWhateverThePageSize) {
  for (int i = 0; i < 7; ++i) log_.append("dev-" + std::to_string(i), 1);
  for (std::size_t limit = 1; limit <= 8; ++limit) {
    std::string ids;
    std::string cursor;
    do {
      const std::string page = body("/api/v1/devices?limit=" + std::to_string(limit) + cursor);
      EXPECT_LE(count(page, R"("id":)"), limit);
      for (int i = 0; i < 7; ++i) {
        if (page.find("dev-" + std::to_string(i) + "\",\"online") != std::string::npos)
          ids += std::to_string(i);
      }
      cursor = next_cursor(page).empty() ? "" : "&cursor=" + next_cursor(page);
    } while (!cursor.empty());
    EXPECT_EQ(ids, "0123456") << limit;
  }
}

TEST_F(Api, TelemetryPagesHoldEachRecordOnceThoughOthersAreAppendedMeanwhile) {
  for (int i = 1; i <= 5; ++i) log_.append("pump", i);
  std::string seen;
  std::string target = "/api/v1/devices/pump/telemetry?limit=2";
  for (int appended = 6; !target.empty(); ++appended) {
    const Result page = ask(target);
    ASSERT_TRUE(page.has_value());
    for (int i = 1; i <= 9; ++i) {
      if (page->body.find("\"seq\":" + std::to_string(i) + ",") != std::string::npos)
        seen += std::to_string(i);
    }
    if (appended <= 7) log_.append("pump", appended);
    log_.append("other", appended);
    target = find_header(page->headers, "Link").value_or("");
    if (target.empty()) break;
    EXPECT_THAT(target, testing::EndsWith(">; rel=\"next\""));
    target = target.substr(1, target.find('>') - 1);
  }
  EXPECT_EQ(seen, "1234567");
}

TEST_F(Api, PagesOfEventsKeepTheirFilter) {
  log_.append("pump", 1);
  log_.append("fan", 2);
  log_.append(gateway::EventType::kDeviceOffline, "pump");
  log_.append("pump", 3);
  const Result page = ask("/api/v1/events?device=pump&type=device.offline,telemetry&limit=2", kJson);
  ASSERT_TRUE(page.has_value());
  EXPECT_THAT(page->body, HasSubstr(R"({"items":[{"id":"1-000000a1","offset":1,)"));
  EXPECT_THAT(page->body, HasSubstr(R"({"id":"3-000000a1","offset":3,"type":"device.offline")"));
  EXPECT_THAT(page->body, HasSubstr(R"("next_cursor":"e3-000000a1")"));
  EXPECT_EQ(find_header(page->headers, "Link"),
            "</api/v1/events?cursor=e3-000000a1&device=pump&type=device.offline,telemetry&limit=2>; "
            "rel=\"next\"");
  EXPECT_THAT(body("/api/v1/events?after=3-000000a1", kJson), HasSubstr(R"({"items":[{"id":"4-000000a1",)"));
  EXPECT_EQ(body("/api/v1/events?after=now", kJson),
            R"({"items":[],"next_cursor":null,"last_id":"4-000000a1"})");
}

TEST_F(Api, TheLinkToTheNextPageIsAUrlThatAsksForTheSame) {
  for (int i = 1; i <= 3; ++i) log_.append("pump", i);
  const Result page = ask("/api/v1/events?type=telemetry,+loss&limit=2", kJson);
  ASSERT_TRUE(page.has_value());
  const std::string link(find_header(page->headers, "Link").value_or(""));
  EXPECT_EQ(link, "</api/v1/events?cursor=e2-000000a1&type=telemetry,%20loss&limit=2>; rel=\"next\"");
  EXPECT_THAT(body(link.substr(1, link.find('>') - 1), kJson),
              HasSubstr(R"({"items":[{"id":"3-000000a1","offset":3,)"));
}

// C2: what the client holds of 11 to 21 is not in the restored log, though that has grown beyond 21.
TEST_F(Api, ACursorOfALogThatWasReplacedIsGoneAndTellsWhereToGoOn) {
  for (int i = 1; i <= 21; ++i) log_.append("pump", i);
  log_.restore(10, 0xb2);
  for (int i = 1; i <= 15; ++i) log_.append("pump", i);
  struct Case {
    const char* id;
    const char* next;
  };
  for (const Case& c :
       {Case{"21-000000a1", "10-000000a1"}, Case{"11-000000a1", "10-000000a1"},
        Case{"26-000000b2", "25-000000b2"}, Case{"5-000000cc", "0-00000000"},
        Case{"5-000000b2", "0-00000000"}, Case{"9223372036854775807-000000a1", "10-000000a1"}}) {
    for (const std::string target :
         {"/api/v1/events?cursor=e", "/api/v1/events?after=", "/api/v1/devices/pump/telemetry?cursor=e"}) {
      const Result result = ask(target + c.id, kJson);
      ASSERT_FALSE(result.has_value()) << target << c.id;
      EXPECT_EQ(status_of(result.error().kind), 410);
      EXPECT_EQ(result.error().after, c.next) << target << c.id;
      const Response response = to_response(result.error(), "/", "");
      EXPECT_THAT(response.body, HasSubstr(R"("after":")" + std::string(c.next) + '"'));
      EXPECT_THAT(response.body, HasSubstr("urn:godwit:problem:log-replaced"));
    }
  }
  EXPECT_EQ(count(body("/api/v1/events?after=10-000000a1", kJson), "\"offset\":"), 15U);
  EXPECT_EQ(count(body("/api/v1/events?after=0-00000000", kJson), "\"offset\":"), 25U);
}

TEST_F(Api, APlainOffsetIsToldWhatItLacks) {
  log_.append("pump", 1);
  EXPECT_THAT(body("/api/v1/events?after=1", kJson), HasSubstr("id of an older gateway"));
  EXPECT_THAT(body("/api/v1/events", {{"Last-Event-ID", "1"}}), HasSubstr("id of an older gateway"));
}

TEST_F(Api, APageSaysWhatWasTrimmed) {
  for (int i = 1; i <= 5; ++i) log_.append("pump", i);
  log_.trim(4);
  EXPECT_THAT(
      body("/api/v1/events?after=1-000000a1&limit=1", kJson),
      HasSubstr(R"("gap":{"type":"gap","reason":"trimmed","from":2,"to":3},"next_cursor":"e4-000000a1")"));
  EXPECT_THAT(body("/api/v1/events?after=begin", kJson), Not(HasSubstr("gap")));
  EXPECT_THAT(body("/api/v1/devices/pump/telemetry?cursor=e2-000000a1"),
              HasSubstr(R"("reason":"trimmed","from":3,"to":3})"));
}

// H7: what is read for a page is what fits into it.
TEST_F(Api, APageOfLargeEventsReadsNoMoreThanItShows) {
  for (int i = 0; i < 100; ++i) {
    gateway::Event event;
    event.device = "pump";
    event.batch = std::string(60'000, 'x');
    log_.append(std::move(event));
  }
  const std::string page = body("/api/v1/events?limit=500", kJson);
  EXPECT_LE(page.size(), kPageBytesMax + 100'000);
  EXPECT_LT(log_.bytes_read(), 2 * kPageBytesMax);
  EXPECT_THAT(page, HasSubstr(R"("next_cursor":"e)"));
}

TEST_F(Api, APageEndsBeforeItTakesTooMuchMemory) {
  std::string text;
  for (int i = 0; i < 5000; ++i) log_.append("pump", i);
  const std::string page = body("/api/v1/events?limit=500", kJson);
  EXPECT_LE(page.size(), kPageBytesMax + 2000);
  EXPECT_EQ(count(page, "\"offset\":"), 500U);
}

TEST_F(Api, StreamsBeginWhereTheClientSays) {
  for (int i = 1; i <= 5; ++i) log_.append("pump", i);
  struct Case {
    const char* target;
    Headers headers;
    gateway::LogStart::Kind kind;
    std::int64_t after;
  };
  using enum gateway::LogStart::Kind;
  const std::vector<Case> cases = {
      {"/api/v1/events", {}, kNow, 0},
      {"/api/v1/events?after=now", {}, kNow, 0},
      {"/api/v1/events?after=begin", {}, kBegin, 0},
      {"/api/v1/events?after=2-000000a1", {}, kAfter, 2},
      {"/api/v1/events?after=begin", {{"last-event-id", "3-000000a1"}}, kAfter, 3},
      {"/api/v1/events?after=2-000000a1", {{"Last-Event-ID", ""}}, kAfter, 2}};
  for (const Case& c : cases) {
    const Result result = ask(c.target, c.headers);
    ASSERT_TRUE(result.has_value() && result->events.has_value()) << c.target;
    EXPECT_EQ(result->events->start.kind, c.kind) << c.target;
    EXPECT_EQ(result->events->start.after.offset.value, c.after) << c.target;
    EXPECT_EQ(find_header(result->headers, "Cache-Control"), "no-store");
    EXPECT_EQ(find_header(result->headers, "X-Accel-Buffering"), "no");
  }
  EXPECT_EQ(problem("/api/v1/events", {{"Last-Event-ID", "x"}}), ProblemKind::kInvalidParameter);
}

TEST_F(Api, HostileParametersAreAProblemWithAName) {
  log_.append("pump", 1);
  for (const char* target : {"/api/v1/devices?limit=0",
                             "/api/v1/devices?limit=501",
                             "/api/v1/devices?limit=-1",
                             "/api/v1/devices?limit=",
                             "/api/v1/devices?limit=99999999999999999999",
                             "/api/v1/devices?cursor=x",
                             "/api/v1/devices?sort=id",
                             "/api/v1/devices/pump?x=1",
                             "/api/v1/devices/pump/latest?limit=1",
                             "/api/v1/devices/pump/telemetry?order=desc",
                             "/api/v1/devices/pump/telemetry?cursor=dpump",
                             "/api/v1/events?after=-1",
                             "/api/v1/events?after=later",
                             "/api/v1/events?after=1",
                             "/api/v1/events?after=1-",
                             "/api/v1/events?after=1-a1",
                             "/api/v1/events?after=1-000000A1",
                             "/api/v1/events?after=1-000000a1x",
                             "/api/v1/events?after=+1-000000a1",
                             "/api/v1/events?after=-000000a1",
                             "/api/v1/events?after=0-000000a1",
                             "/api/v1/events?after=1-00000000",
                             "/api/v1/events?after=9223372036854775808-000000a1",
                             "/api/v1/events?device=A",
                             "/api/v1/events?device=",
                             "/api/v1/events?type=",
                             "/api/v1/events?type=telemetry,x",
                             "/api/v1/events?type=telemetry,,loss",
                             "/api/v1/events?limit=5",
                             "/healthz?x",
                             "/readyz?x"}) {
    const Result result = ask(target);
    ASSERT_FALSE(result.has_value()) << target;
    EXPECT_EQ(result.error().kind, ProblemKind::kInvalidParameter) << target;
    EXPECT_FALSE(result.error().parameter.empty()) << target;
  }
}

TEST_F(Api, WhatCannotBeShownAsAskedIsNotAcceptable) {
  log_.append("pump", 1);
  EXPECT_EQ(problem("/api/v1/devices", {{"Accept", "text/html"}}), ProblemKind::kNotAcceptable);
  EXPECT_EQ(problem("/api/v1/events", {{"Accept", "text/html"}}), ProblemKind::kNotAcceptable);
}

TEST_F(Api, ReadinessIsThatOfEachCheck) {
  EXPECT_EQ(body("/readyz"), R"({"status":"ready","checks":[]})");
  bool connected = false;
  sources_.readiness = [&] {
    return std::vector<Check>{{"database", true, ""}, {"broker", connected, "away"}};
  };
  const Result result = ask("/readyz");
  EXPECT_EQ(result->status, 503);
  EXPECT_TRUE(find_header(result->headers, "Retry-After").has_value());
  EXPECT_EQ(result->body, R"({"status":"not_ready","checks":[{"name":"database","ok":true,"detail":""},)"
                          R"({"name":"broker","ok":false,"detail":"away"}]})");
  connected = true;
  EXPECT_EQ(ask("/readyz")->status, 200);
}

TEST_F(Api, MetricsAreThereIfSomebodyGivesThem) {
  EXPECT_EQ(problem("/metrics"), ProblemKind::kNotFound);
  sources_.metrics = [] { return std::string("godwit_up 1\n"); };
  EXPECT_EQ(body("/metrics"), "godwit_up 1\n");
}

}  // namespace
}  // namespace godwit::http
