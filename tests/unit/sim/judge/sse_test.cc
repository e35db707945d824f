// SPDX-License-Identifier: Apache-2.0
#include "sim/judge/sse.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace godwit::sim {
namespace {

constexpr std::string_view kText =
    "id: 3-000000a1\nretry: 2000\n\n"
    "id: 4-000000a1\nevent: loss\ndata: {\"a\":1}\n\n"
    ":\n\n"
    "event: gap\ndata: {}\n\n"
    "id: 9-000000b2\n\n"
    "id: 10-000000b2\ndata: cut off";

struct Heard {
  std::vector<std::string> lines;
  void feed(SseParser& parser, std::string_view bytes) {
    parser.feed(
        bytes,
        [&](const SseEvent& event) { lines.push_back(event.id + " " + event.type + " " + event.data); },
        [&](const std::string& id) { lines.push_back("at " + id); });
  }
};

TEST(SseParser, TextCutAnywhereIsTheSame) {
  const std::vector<std::string> expected{"at 3-000000a1", "4-000000a1 loss {\"a\":1}", "4-000000a1 gap {}",
                                          "at 9-000000b2"};
  for (std::size_t cut = 0; cut <= kText.size(); ++cut) {
    SseParser parser;
    Heard heard;
    heard.feed(parser, kText.substr(0, cut));
    heard.feed(parser, kText.substr(cut));
    EXPECT_EQ(heard.lines, expected) << "cut at " << cut;
    EXPECT_EQ(parser.last_id(), "9-000000b2") << "an id counts when its event is whole";
    EXPECT_EQ(parser.retry_ms(), 2000);
    EXPECT_TRUE(parser.drop());
    EXPECT_FALSE(parser.drop());
    heard.feed(parser, "data: x\n\n");
    EXPECT_EQ(heard.lines.back(), "9-000000b2  x") << "nothing of what was dropped";
  }
}

TEST(EventId, IsAnOffsetAndATerm) {
  EXPECT_EQ(parse_event_id("1041-9f3c02ab"), (EventId{1041, 0x9f3c02ab}));
  EXPECT_EQ(parse_event_id("0-00000000"), EventId{});
  for (const char* text :
       {"", "1041", "1041-", "-9f3c02ab", "1041-9f3c02a", "1041-9f3c02abc", "1041-9f3c02ax", "x-9f3c02ab"}) {
    EXPECT_FALSE(parse_event_id(text)) << text;
  }
}

TEST(Shown, TellsWhatStaysFromWhatMayBeShownAnotherWay) {
  const auto raw = parse_shown(
      R"({"id":"1-0000000a","type":"telemetry","table_hash":"7","samples":"abc","channels":null})");
  const auto rows = parse_shown(
      R"({"id":"1-0000000a","type":"telemetry","table":"a\"b","time":"t","channels":{"n":[1,null]}})");
  ASSERT_TRUE(raw && rows);
  EXPECT_EQ(raw->id, "1-0000000a");
  EXPECT_EQ(raw->type, "telemetry");
  EXPECT_EQ(raw->digest, rows->digest);
  EXPECT_EQ(raw->content, R"("abc")");
  EXPECT_EQ(rows->content, R"({"n":[1,null]})");
  EXPECT_NE(raw->digest, parse_shown(R"({"id":"1-0000000a","type":"loss"})")->digest);
  EXPECT_NE(parse_shown(R"({"a":1,"b":2})")->digest, parse_shown(R"({"a":2,"b":1})")->digest);
  EXPECT_EQ(parse_shown(R"({"type":"gap","reason":"restored","from":3,"to":5})")->to, 5);
  for (const char* text : {"", "{", "[]", R"({"a})", R"({"a":"b)", R"({"a":{"b":1)", R"({a:1})"}) {
    EXPECT_FALSE(parse_shown(text)) << text;
  }
}

}  // namespace
}  // namespace godwit::sim
