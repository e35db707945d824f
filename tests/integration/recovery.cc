// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/recovery.h"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <string>

namespace godwit::test {
namespace {

constexpr std::uint64_t kSeed = 20'260'101;
// Devices that failed to connect several times in a row wait up to a minute before the next attempt.
constexpr std::chrono::seconds kDeliveryTimeout{100};

std::uint64_t seed() {
  const char* text = std::getenv("GODWIT_SEED");
  return text == nullptr ? kSeed : std::stoull(text);
}

std::uint64_t records_in(const std::vector<LogEvent>& log) {
  return static_cast<std::uint64_t>(
      std::ranges::count_if(log, [](const LogEvent& event) { return event.is_record(); }));
}

}  // namespace

Recovery::Recovery() : seed_(seed()), random_(static_cast<std::minstd_rand::result_type>(seed_)) {
  std::cout << "GODWIT_SEED=" << seed_ << "\n";
  gateway_.start_broker();
  gateway_.start_gateway();
}

void Recovery::TearDown() {
  if (!HasFailure()) return;
  std::cout << gateway_.log_tail();
  if (fleet_ != nullptr) std::cout << "--- fleet:\n" << fleet_->log();
}

void Recovery::start_fleet(FleetOptions options) {
  options.seed = seed_;
  options.more.insert(options.more.end(), {"--drain-seconds", "90"});
  fleet_ = std::make_unique<FleetRun>(gateway_, options);
}

bool Recovery::take_records(std::uint64_t count) const {
  return gateway_.wait_for_metric("godwit_records_total", gateway_.metric("godwit_records_total") + count);
}

unsigned Recovery::random(unsigned first, unsigned last) {
  return std::uniform_int_distribution<unsigned>(first, last)(random_);
}

FleetReport Recovery::expect_promise_at_end() {
  fleet_->finish();
  FleetReport report = fleet_->report(kDeliveryTimeout);
  EXPECT_EQ(report.status, 0);
  EXPECT_GT(report.figure("recorded"), 0);
  EXPECT_EQ(report.figure("stored"), report.figure("recorded"));
  EXPECT_EQ(report.figure("acked"), report.figure("recorded"));
  for (const char* none :
       {"missing", "duplicated", "out_of_order", "corrupted", "lost", "dropped", "sse_gaps"}) {
    EXPECT_EQ(report.figure(none), 0) << none << " " << report.json;
  }
  const std::vector<LogEvent> log = read_log(gateway_);
  EXPECT_EQ(first_disorder(log), "");
  EXPECT_EQ(records_in(log), report.figure("stored") + report.figure("in_doubt"));
  return report;
}

}  // namespace godwit::test
