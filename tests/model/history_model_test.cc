// SPDX-License-Identifier: Apache-2.0
// The final rule holds in every state within the bounds below; each simpler rule does not. A row is "in
// silence" lost if the log of the gateway neither has it nor says that it is lost or unknown.
#include <gtest/gtest.h>

#include <cstdio>
#include <ostream>

#include "tests/model/history.h"

namespace godwit::model {
namespace {

std::string text_of(const Found& found) {
  std::string text = found.broken + "\n";
  for (const std::string& step : found.trace) text += "  " + step + "\n";
  return text;
}

struct Case {
  const char* description;
  Setting setting;
  const char* breaks = "";  // what the judge says then, in part
  friend void PrintTo(const Case& c, std::ostream* out) { *out << c.description; }
};

class FinalRule : public testing::TestWithParam<Case> {};

TEST_P(FinalRule, HoldsInEveryStateWithinItsBounds) {
  const Found found = explore(GetParam().setting, Order::kDepthFirst, 20'000'000);
  EXPECT_EQ(found.broken, "") << text_of(found);
  EXPECT_TRUE(found.complete);
  std::printf("%s: %llu states\n", GetParam().description, static_cast<unsigned long long>(found.states));
}

INSTANTIATE_TEST_SUITE_P(
    History, FinalRule,
    testing::Values(
        Case{"a flash rolled back, twice",
             {.bounds = {.appends = 4, .mounts = 2, .copies = 2, .rollbacks = 2}}},
        Case{"a flash rolled back while messages are late and lost",
             {.bounds = {.appends = 3, .mounts = 1, .copies = 1, .rollbacks = 1, .delays = 1, .losses = 1}}},
        Case{"a database restored while the flash is rolled back",
             {.bounds =
                  {.appends = 3, .mounts = 1, .copies = 1, .rollbacks = 1, .backups = 1, .restores = 1}}},
        Case{"a database restored while messages are late, and nothing may be dropped",
             {.bounds = {.appends = 4, .mounts = 1, .backups = 1, .restores = 1, .delays = 1, .losses = 1},
              .refuses_when_full = true}},
        Case{"entries rot, and the tail is destroyed",
             {.bounds = {.appends = 3, .mounts = 2, .copies = 1, .rollbacks = 1, .damages = 1, .tails = 1}}},
        Case{"only one mark of what was overwritten is known",
             {.rules = {.marks_kept = 1},
              .bounds = {.appends = 3, .mounts = 3, .copies = 1, .rollbacks = 1, .losses = 1}}},
        Case{"the gateway forgets streams",
             {.bounds = {.appends = 2, .mounts = 3, .copies = 1, .rollbacks = 2}, .streams_max = 2}}));

class SimplerRule : public testing::TestWithParam<Case> {};

TEST_P(SimplerRule, Breaks) {
  const Found found = explore(GetParam().setting, Order::kBreadthFirst, 2'000'000);
  EXPECT_NE(found.broken.find(GetParam().breaks), std::string::npos) << "found: " << text_of(found);
  EXPECT_NE(found.broken, "") << "none within " << found.states << " states";
  std::printf("%s: after %llu states, %s", GetParam().description,
              static_cast<unsigned long long>(found.states), text_of(found).c_str());
}

// That the same bounds are harmless with the final rule.
TEST_P(SimplerRule, IsWhatBreaks) {
  Setting setting = GetParam().setting;
  setting.rules = {};
  const Found found = explore(setting, Order::kDepthFirst, 2'000'000);
  EXPECT_EQ(found.broken, "") << text_of(found);
}

using Names = Rules::Names;
INSTANTIATE_TEST_SUITE_P(
    History, SimplerRule,
    testing::Values(
        Case{"acks name nothing",
             {.rules = {.ack = Names::kNothing},
              .bounds = {.appends = 4, .mounts = 1, .copies = 1, .rollbacks = 1, .delays = 1},
              .refuses_when_full = true},
             "flash frees"},
        Case{"acks name the mark in force",
             {.rules = {.ack = Names::kMark},
              .bounds = {.appends = 4, .mounts = 1, .backups = 1, .restores = 1, .delays = 1},
              .refuses_when_full = true},
             "flash frees"},
        Case{"records name their seq alone",
             {.rules = {.record = Names::kNothing},
              .bounds = {.appends = 3, .mounts = 2, .copies = 1, .rollbacks = 1, .delays = 1}},
             "twice"},
        Case{"a stream is begun by any record",
             {.rules = {.begins_in_order = false}, .bounds = {.appends = 3, .mounts = 1, .losses = 1}},
             "in silence"},
        Case{"a mark that cannot be read is skipped",
             {.rules = {.marks_outlive_damage = false}, .bounds = {.appends = 2, .mounts = 2, .damages = 1}},
             "twice"},
        Case{"one mark is kept, and nothing said of what was before",
             {.rules = {.tells_unknown = false, .marks_kept = 1}, .bounds = {.appends = 4, .mounts = 3}},
             "in silence"}));

}  // namespace
}  // namespace godwit::model
