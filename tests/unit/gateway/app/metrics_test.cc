// SPDX-License-Identifier: Apache-2.0
#include "gateway/app/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace godwit::app {
namespace {

using testing::HasSubstr;

TEST(Metrics, AreInPrometheusTextFormat) {
  gateway::Consumer::Stats consumer;
  consumer.connected = true;
  gateway::WriterStats writer;
  writer.commits = 7;
  const std::string text = metrics(consumer, {}, writer, {.subscribers = 3}, 12);
  EXPECT_THAT(text, HasSubstr("# TYPE godwit_broker_connected gauge\ngodwit_broker_connected 1\n"));
  EXPECT_THAT(text, HasSubstr("# HELP godwit_commits_total Transactions, each with one sync of the disk.\n"
                              "# TYPE godwit_commits_total counter\ngodwit_commits_total 7\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE godwit_http_subscribers gauge\ngodwit_http_subscribers 3\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE godwit_http_subscribers_lag gauge\ngodwit_http_subscribers_lag 12\n"));
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
