// SPDX-License-Identifier: Apache-2.0
#include "gateway/app/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace godwit::app {
namespace {

using testing::HasSubstr;

// Each figure has a value of its own.
Figures figures() {
  Figures all{
      .consumer =
          {.connected = true, .sessions = 2, .messages = 3, .foreign = 4, .acks = 5, .dropped_acks = 6},
      .dropped = {.messages = 7, .live = 8, .throttled = 9},
      .load = {.messages = 10, .bytes = 11, .commit_time = std::chrono::milliseconds(1250)},
      .writer = {.ingest = {}, .commits = 12, .failed_commits = 13, .events = 14, .quarantined = 15},
      .store = {.database_bytes = 16, .wal_bytes = 17, .disk_free_bytes = 18},
      .http = {.connections = 19,
               .connections_refused = 20,
               .connections_open = 21,
               .requests = 22,
               .subscribers = 23,
               .slow_subscribers = 24},
      .feed_lag = 25};
  all.writer.disk_low = true;
  all.writer.writable = false;
  gateway::IngestCounters& ingest = all.writer.ingest;
  ingest.records = 26;
  ingest.lost_records = 27;
  ingest.live = 28;
  ingest.duplicates = 29;
  ingest.gaps = 30;
  ingest.malformed = 31;
  ingest.refused = 32;
  ingest.foreign = 33;
  ingest.replaced = 34;
  ingest.forgotten_epochs = 35;
  ingest.table_conflicts = 36;
  return all;
}

// Names and types are what dashboards and alerts are made of.
TEST(Metrics, AreTheseInPrometheusTextFormat) {
  struct Line {
    std::string name;
    std::string type;
    std::string value;
  };
  const std::vector<Line> expected{
      {"godwit_broker_connected", "gauge", "1"},
      {"godwit_broker_sessions_total", "counter", "2"},
      {"godwit_messages_received_total", "counter", "3"},
      {"godwit_messages_foreign_total", "counter", "4"},
      {"godwit_messages_dropped_total", "counter", "7"},
      {"godwit_messages_throttled_total", "counter", "9"},
      {"godwit_intake_messages", "gauge", "10"},
      {"godwit_intake_bytes", "gauge", "11"},
      {"godwit_acks_sent_total", "counter", "5"},
      {"godwit_acks_dropped_total", "counter", "6"},
      {"godwit_records_total", "counter", "26"},
      {"godwit_lost_records_total", "counter", "27"},
      {"godwit_live_batches_total", "counter", "28"},
      {"godwit_duplicates_total", "counter", "29"},
      {"godwit_gaps_total", "counter", "30"},
      {"godwit_malformed_total", "counter", "31"},
      {"godwit_refused_total", "counter", "32"},
      {"godwit_foreign_total", "counter", "33"},
      {"godwit_histories_replaced_total", "counter", "34"},
      {"godwit_epochs_forgotten_total", "counter", "35"},
      {"godwit_table_conflicts_total", "counter", "36"},
      {"godwit_events_total", "counter", "14"},
      {"godwit_commits_total", "counter", "12"},
      {"godwit_commits_failed_total", "counter", "13"},
      {"godwit_commit_seconds_sum", "summary", "1.250000"},
      {"godwit_commit_seconds_count", "", "12"},
      {"godwit_database_bytes", "gauge", "16"},
      {"godwit_database_wal_bytes", "gauge", "17"},
      {"godwit_disk_free_bytes", "gauge", "18"},
      {"godwit_quarantined_total", "counter", "15"},
      {"godwit_disk_low", "gauge", "1"},
      {"godwit_database_writable", "gauge", "0"},
      {"godwit_http_connections_total", "counter", "19"},
      {"godwit_http_connections_refused_total", "counter", "20"},
      {"godwit_http_connections_open", "gauge", "21"},
      {"godwit_http_requests_total", "counter", "22"},
      {"godwit_http_subscribers", "gauge", "23"},
      {"godwit_http_subscribers_lag", "gauge", "25"},
      {"godwit_http_slow_subscribers_total", "counter", "24"},
  };
  std::string text = metrics(figures());
  for (const Line& line : expected) {
    const std::string name = line.type == "summary" ? line.name.substr(0, line.name.rfind('_')) : line.name;
    std::string_view rest = text;
    if (!line.type.empty()) {
      ASSERT_EQ(rest.substr(0, 7 + name.size() + 1), "# HELP " + name + " ") << "instead of " << line.name;
      rest.remove_prefix(rest.find('\n') + 1);
      const std::string type = "# TYPE " + name + " " + line.type + "\n";
      ASSERT_EQ(rest.substr(0, type.size()), type);
      rest.remove_prefix(type.size());
    }
    const std::string value = line.name + " " + line.value + "\n";
    ASSERT_EQ(rest.substr(0, value.size()), value);
    rest.remove_prefix(value.size());
    text = std::string(rest);
  }
  EXPECT_EQ(text, "") << "and nothing else";
}

TEST(Metrics, SayNothingOfADiskThatDoesNotSay) {
  Figures unknown = figures();
  unknown.store.disk_free_bytes.reset();
  EXPECT_EQ(metrics(unknown).find("disk_free"), std::string::npos);
}

TEST(DatabaseState, NamesTheTrouble) {
  using gateway::StoreTrouble;
  gateway::WriterStats writer;
  EXPECT_STREQ(database_state(writer), "writable");
  writer.writable = false;
  writer.trouble = StoreTrouble::kFull;
  EXPECT_THAT(database_state(writer), HasSubstr("full"));
  writer.trouble = StoreTrouble::kDamaged;
  EXPECT_THAT(database_state(writer), HasSubstr("damaged"));
  writer.trouble = StoreTrouble::kDisk;
  EXPECT_THAT(database_state(writer), HasSubstr("errors"));
  for (const auto trouble : {StoreTrouble::kDisk, StoreTrouble::kDamaged, StoreTrouble::kOther}) {
    writer.trouble = trouble;
    EXPECT_THAT(database_state(writer), testing::Not(HasSubstr("full")));
  }
}

}  // namespace
}  // namespace godwit::app
