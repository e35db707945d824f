// SPDX-License-Identifier: Apache-2.0
// The parts of the server that are values and functions: no thread, no socket, no clock.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <set>

#include "gateway/http/api_keys.h"
#include "gateway/http/json.h"
#include "gateway/http/parameters.h"
#include "gateway/http/problem.h"
#include "gateway/http/rate_limit.h"
#include "gateway/http/router.h"
#include "gateway/http/target.h"

namespace godwit::http {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

TEST(Target, DecodesPathAndQueryOnce) {
  const auto target = parse_target("/a%20b/%2541?x=1+2&y=%26%3d&empty=&flag");
  ASSERT_TRUE(target.has_value()) << target.error();
  EXPECT_EQ(target->path, "/a b/%41");
  EXPECT_THAT(target->query,
              ElementsAre(Pair("x", "1 2"), Pair("y", "&="), Pair("empty", ""), Pair("flag", "")));
}

TEST(Target, TakesTheFormsThatAServerMustTake) {
  struct Case {
    const char* target;
    const char* path;
  };
  for (const Case& c :
       {Case{"/", "/"}, Case{"*", "*"}, Case{"https://host:8443/x?a=b", "/x"}, Case{"http://host", "/"},
        Case{"/x/", "/x/"}, Case{"/x?", "/x"}, Case{"/x?&a=1&", "/x"}}) {
    const auto target = parse_target(c.target);
    // An empty pair between '&' has no name.
    if (std::string_view(c.target).find("?&") != std::string_view::npos) {
      EXPECT_FALSE(target.has_value()) << c.target;
      continue;
    }
    ASSERT_TRUE(target.has_value()) << c.target << ": " << target.error();
    EXPECT_EQ(target->path, c.path) << c.target;
  }
}

TEST(Target, RefusesWhatTwoProgramsCouldReadInTwoWays) {
  for (const char* hostile : {"",       "x",       "//x",      "/a//b",      "/a/../b",
                              "/..",    "/.",      "/a/.",     "/%2e%2e/x",  "/%2E",
                              "/a%2fb", "/a%2Fb",  "/a%5cb",   "/a\\b",      "/%",
                              "/%4",    "/%zz",    "/%00",     "/a%0d%0ab",  "/a\x7f",
                              "/a?x=%", "/a?x=%0", "/a?x=%00", "/a?x=1&x=2", "/a?x=1&%78=2",
                              "/a?=1",  "/a#b",    "/a?b#c",   "https:/x",   "ftp://host/x",
                              "?x=1",   "**"}) {
    EXPECT_FALSE(parse_target(hostile).has_value()) << hostile;
  }
}

TEST(Target, BoundsTheNumberOfParameters) {
  std::string target = "/x?p0=";
  for (std::size_t i = 1; i < kQueryParametersMax; ++i) target += "&p" + std::to_string(i) + "=1";
  EXPECT_TRUE(parse_target(target).has_value());
  EXPECT_FALSE(parse_target(target + "&more=1").has_value());
}

TEST(Target, AnyBytesGiveATargetOrAnError) {
  // Every prefix, and every byte at every place, of a target with all features.
  const std::string whole = "https://h/a%20b/c?x=%41+1&y";
  for (std::size_t i = 0; i <= whole.size(); ++i) (void)parse_target(std::string_view(whole).substr(0, i));
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string changed = whole;
      changed[i] = static_cast<char>(byte);
      const auto target = parse_target(changed);
      if (target) {
        EXPECT_EQ(target->path.find('\0'), std::string::npos);
        EXPECT_TRUE(target->path.starts_with('/'));
      }
    }
  }
}

Route route(const char* method, const char* pattern) {
  return {.method = method, .pattern = pattern, .access = Access::kKey, .runs = Runs::kAtOnce, .handler = {}};
}

TEST(Router, FindsTheRouteAndTheValuesInItsPath) {
  const Router router({route("GET", "/v1/devices"), route("GET", "/v1/devices/{id}"),
                       route("GET", "/v1/devices/{id}/latest"), route("DELETE", "/v1/devices/{id}")});
  struct Case {
    const char* description;
    const char* method;
    const char* path;
    const char* pattern;  // nullptr: none
    std::vector<std::string> values;
    const char* allow;
  };
  const std::vector<Case> cases = {
      {"plain", "GET", "/v1/devices", "/v1/devices", {}, "GET, HEAD, OPTIONS"},
      {"HEAD is GET without a body", "HEAD", "/v1/devices", "/v1/devices", {}, "GET, HEAD, OPTIONS"},
      {"a value", "GET", "/v1/devices/pump", "/v1/devices/{id}", {"pump"}, "GET, HEAD, DELETE, OPTIONS"},
      {"the other method",
       "DELETE",
       "/v1/devices/pump",
       "/v1/devices/{id}",
       {"pump"},
       "GET, HEAD, DELETE, OPTIONS"},
      {"after a value",
       "GET",
       "/v1/devices/pump/latest",
       "/v1/devices/{id}/latest",
       {"pump"},
       "GET, HEAD, OPTIONS"},
      {"no such method", "POST", "/v1/devices/pump", nullptr, {}, "GET, HEAD, DELETE, OPTIONS"},
      {"methods have case", "get", "/v1/devices", nullptr, {}, "GET, HEAD, OPTIONS"},
      {"an empty value", "GET", "/v1/devices/", nullptr, {}, ""},
      {"paths have case", "GET", "/V1/devices", nullptr, {}, ""},
      {"too short", "GET", "/v1", nullptr, {}, ""},
      {"too long", "GET", "/v1/devices/a/latest/b", nullptr, {}, ""},
      {"a trailing slash", "GET", "/v1/devices/a/latest/", nullptr, {}, ""},
      {"all of the server", "OPTIONS", "*", nullptr, {}, "GET, HEAD, OPTIONS"}};
  for (const Case& c : cases) {
    const Router::Match match = router.match(c.method, c.path);
    EXPECT_EQ(match.route == nullptr ? "" : match.route->pattern, c.pattern == nullptr ? "" : c.pattern)
        << c.description;
    if (match.route != nullptr) {
      EXPECT_EQ(match.path_values, c.values) << c.description;
    }
    EXPECT_EQ(match.allow, c.allow) << c.description;
  }
}

TEST(Problem, EachKindHasATypeOfItsOwnAndAnErrorStatus) {
  std::set<std::string> types;
  for (const ProblemKind kind : all_problem_kinds()) {
    EXPECT_TRUE(types.insert(type_of(kind)).second) << type_of(kind);
    EXPECT_TRUE(type_of(kind).starts_with("urn:godwit:problem:"));
    EXPECT_GE(status_of(kind), 400);
    EXPECT_NE(reason_phrase(status_of(kind)), "") << status_of(kind);
  }
}

TEST(Problem, BodyIsAProblemDetailsObject) {
  const Response response = to_response({.kind = ProblemKind::kInvalidParameter,
                                         .detail = "It must be \"small\".",
                                         .parameter = "limit",
                                         .headers = {{"X", "y"}}},
                                        "/a", "00ff");
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(find_header(response.headers, "content-type"), "application/problem+json");
  EXPECT_EQ(find_header(response.headers, "x"), "y");
  EXPECT_EQ(
      response.body,
      R"({"type":"urn:godwit:problem:invalid-parameter","title":"A query parameter is not valid","status":400,)"
      R"("detail":"It must be \"small\".","instance":"/a","trace_id":"00ff",)"
      R"("errors":[{"parameter":"limit","detail":"It must be \"small\"."}]})");
}

TEST(ApiKeys, FindTheKeyBehindABearerToken) {
  // sha256("secret"), as sha256sum prints it.
  const ApiKeys keys = ApiKeys::parse(
      "# keys\n\n"
      "ops admin 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\n"
      "  view\tviewer  e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\r\n",
      "api-keys");
  EXPECT_EQ(keys.count(), 2U);
  ASSERT_NE(keys.find("Bearer secret"), nullptr);
  EXPECT_EQ(keys.find("bearer  secret")->name, "ops");
  for (const char* bad :
       {"", "secret", "Basic secret", "Bearer", "Bearersecret", "Bearer Secret", "Bearer secret "}) {
    EXPECT_EQ(keys.find(bad), nullptr) << bad;
  }
}

TEST(ApiKeys, NameTheLineThatIsWrong) {
  const std::string digest(64, 'a');
  for (const std::string& bad :
       {std::string("ops admin"), "ops admin " + digest + " more", "ops root " + digest,
        "o/ps admin " + digest, "ops admin " + digest.substr(1), "ops admin " + std::string(64, 'A'),
        "ops admin " + std::string(64, 'g')}) {
    try {
      (void)ApiKeys::parse("a viewer " + digest + "\n" + bad, "FILE");
      ADD_FAILURE() << bad;
    } catch (const std::runtime_error& error) {
      EXPECT_THAT(error.what(), HasSubstr("FILE:2: ")) << bad;
    }
  }
  EXPECT_THROW((void)ApiKeys::parse("a viewer " + digest + "\na admin " + digest, "FILE"),
               std::runtime_error);
  EXPECT_THROW((void)ApiKeys::load("/nonexistent/api-keys"), std::runtime_error);
}

TEST(RateLimiter, GivesABurstThenTheRate) {
  RateLimiter limiter(10, 3);
  const RateLimiter::Time start{};
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(limiter.take("a", start)) << i;
  const auto wait = limiter.take("a", start);
  ASSERT_TRUE(wait);
  EXPECT_GE(*wait, std::chrono::milliseconds(100));
  EXPECT_LE(*wait, std::chrono::milliseconds(101));
  EXPECT_FALSE(limiter.take("b", start)) << "callers have buckets of their own";
  EXPECT_FALSE(limiter.take("a", start + std::chrono::milliseconds(101)));
  EXPECT_TRUE(limiter.take("a", start + std::chrono::milliseconds(101)));
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(limiter.take("a", start + std::chrono::hours(1)));
  EXPECT_TRUE(limiter.take("a", start + std::chrono::hours(1))) << "a bucket holds no more than the burst";
}

TEST(RateLimiter, HoldsABoundedNumberOfCallers) {
  RateLimiter limiter(1, 2);
  RateLimiter::Time now{};
  for (std::size_t i = 0; i < RateLimiter::kCallersMax; ++i)
    EXPECT_FALSE(limiter.take(std::to_string(i), now));
  EXPECT_TRUE(limiter.take("one more", now)) << "all the others have just asked";
  now += std::chrono::seconds(2);
  EXPECT_FALSE(limiter.take("one more", now)) << "the others are forgotten";
}

TEST(Json, KeepsWhatDoublesCannotHoldAndReplacesWhatIsNotText) {
  Json json = Json::object();
  json.set("big", std::uint64_t{18'446'744'073'709'551'615U})
      .set("small", std::int64_t{-9'007'199'254'740'993});
  json.set("text", "a\"\\\n\x01\xc3\xa9")
      .set("bad", std::string_view("\xff\xc0\xaf\xed\xa0\x80x\0y\xe2\x82", 11));
  json.set("yes", true).set("none", Json::null()).set("raw", Json::raw("1.50"));
  EXPECT_EQ(
      json.dump(),
      "{\"big\":18446744073709551615,\"small\":-9007199254740993,\"text\":\"a\\\"\\\\\\n\\u0001\xc3\xa9\","
      "\"bad\":\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx\xef\xbf\xbdy"
      "\xef\xbf\xbd\xef\xbf\xbd\",\"yes\":true,\"none\":null,\"raw\":1.50}");
}

TEST(Negotiation, PicksWhatTheClientLikesBest) {
  constexpr std::array<std::string_view, 2> kOffered{"text/event-stream", "application/json"};
  struct Case {
    const char* accept;
    std::optional<std::size_t> chosen;
  };
  for (const Case& c :
       {Case{"", 0}, Case{"*/*", 0}, Case{"application/json", 1}, Case{"Application/JSON", 1},
        Case{"application/*", 1}, Case{"text/event-stream", 0},
        Case{"application/json, text/event-stream;q=0.9", 1}, Case{"application/json;q=0.5, */*;q=0.1", 1},
        Case{"text/event-stream;q=0, */*", 1}, Case{"application/json;version=1;q=0.2, text/*;q=0.1", 1},
        Case{"text/html", std::nullopt}, Case{"*/*;q=0", std::nullopt}, Case{"*/*;q=0.000", std::nullopt},
        Case{",;,", std::nullopt}}) {
    EXPECT_EQ(negotiate(c.accept, kOffered), c.chosen) << c.accept;
  }
  EXPECT_EQ(negotiate(std::nullopt, kOffered), 0U);
}

TEST(Parameters, NumbersAreDecimalDigitsOnly) {
  EXPECT_EQ(parse_decimal("0"), 0);
  EXPECT_EQ(parse_decimal("9223372036854775807"), INT64_MAX);
  for (const char* bad : {"", "-1", "+1", " 1", "1 ", "0x1", "1.0", "9223372036854775808", "1e3"}) {
    EXPECT_FALSE(parse_decimal(bad)) << bad;
  }
}

TEST(Parameters, CursorsOfOneListAreNotThoseOfAnother) {
  const gateway::LogId id{.offset = {5}, .term = {0x89abcdef}};
  EXPECT_EQ(make_cursor(id), "e5-89abcdef");
  EXPECT_EQ(*log_cursor_of({{"cursor", "e5-89abcdef"}}), id);
  EXPECT_EQ(*device_cursor_of({{"cursor", make_cursor("pump")}}), "pump");
  for (const char* bad : {"", "5", "e", "e-1", "dpump", "e5", "e5-89abcde"}) {
    EXPECT_FALSE(log_cursor_of({{"cursor", bad}}).has_value()) << bad;
  }
  for (const char* bad : {"", "d", "e5", "dPUMP", "d../x"}) {
    EXPECT_FALSE(device_cursor_of({{"cursor", bad}}).has_value()) << bad;
  }
}

TEST(Parameters, AMisspeltNameIsAnErrorThatNamesTheKnownOnes) {
  const auto checked = check_names({{"limt", "5"}}, {"cursor", "limit"});
  ASSERT_FALSE(checked.has_value());
  EXPECT_EQ(checked.error().parameter, "limt");
  EXPECT_THAT(checked.error().detail, HasSubstr("Known: cursor limit"));
}

}  // namespace
}  // namespace godwit::http
