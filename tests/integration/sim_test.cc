// SPDX-License-Identifier: Apache-2.0
// godwit-sim as its users meet it: what it says when a run cannot be made, how many devices it carries, what
// it replays, and what its report holds.
#include <cjson/cJSON.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <sstream>

#include "tests/support/fleet_run.h"
#include "tests/support/gateway_log.h"

namespace godwit::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Json = std::unique_ptr<cJSON, decltype(&cJSON_Delete)>;

constexpr std::chrono::seconds kTimeout{100};
constexpr int kCouldNotRun = 2;

Outcome run_sim(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {sim_program(), "run"});
  return run_program(arguments);
}

TEST(SimErrors, NamesADirectoryThatDoesNotExist) {
  const Outcome outcome = run_sim({"--gateway-dir", "/no/such/dir"});
  EXPECT_EQ(outcome.status, kCouldNotRun);
  EXPECT_THAT(outcome.log, AllOf(HasSubstr("--gateway-dir"), HasSubstr("/no/such/dir")));
}

TEST(SimErrors, SaysWhatMakesAFolderAnInstallation) {
  const TempDir empty;
  const Outcome outcome = run_sim({"--gateway-dir", empty.path().string()});
  EXPECT_EQ(outcome.status, kCouldNotRun);
  EXPECT_THAT(outcome.log, AllOf(HasSubstr("gateway.toml"), HasSubstr("godwit-gateway init")));
}

TEST(SimErrors, NamesTheCommandsThatAreMissingOneAfterTheOther) {
  const GatewayFixture gateway;
  const std::vector<std::string> arguments{"--gateway-dir", gateway.dir().string(), "--devices", "3"};
  const Outcome outcome = run_sim(arguments);
  EXPECT_EQ(outcome.status, kCouldNotRun);
  const std::size_t at = outcome.log.find("godwit-gateway device add ");
  ASSERT_NE(at, std::string::npos) << outcome.log;
  std::istringstream words(outcome.log.substr(at));
  std::vector<std::string> command;
  for (std::string word; words >> word;) command.push_back(word);
  command.front() = gateway_program();
  EXPECT_EQ(run_program(command).status, 0);

  const Outcome no_gateway = run_sim(arguments);
  EXPECT_EQ(no_gateway.status, kCouldNotRun);
  EXPECT_THAT(no_gateway.log, AllOf(HasSubstr("godwit-gateway run " + gateway.dir().string()),
                                    HasSubstr(std::to_string(gateway.http_port()))));
}

TEST(SimErrors, NamesAFileThatCannotBeReplayedAndOneThatCannotBeWritten) {
  const GatewayFixture gateway;
  const std::string dir = gateway.dir().string();
  const Outcome missing = run_sim({"--gateway-dir", dir, "--replay", "/no/such.csv"});
  EXPECT_EQ(missing.status, kCouldNotRun);
  EXPECT_THAT(missing.log, HasSubstr("/no/such.csv"));

  const TempDir files;
  const std::string bad = files.write("bad.csv", "a[Cel],b\n1,2\n3,x\n").string();
  const Outcome malformed = run_sim({"--gateway-dir", dir, "--replay", bad});
  EXPECT_EQ(malformed.status, kCouldNotRun);
  EXPECT_THAT(malformed.log, HasSubstr(bad + ":3: 'x'"));

  const Outcome unwritable = run_sim({"--gateway-dir", dir, "--report", "/no/such/report.json"});
  EXPECT_EQ(unwritable.status, kCouldNotRun);
  EXPECT_THAT(unwritable.log, HasSubstr("/no/such/report.json"));
}

class Sim : public testing::Test {
 protected:
  Sim() {
    gateway_.start_broker();
    gateway_.start_gateway();
  }
  void TearDown() override {
    if (HasFailure()) std::cout << gateway_.log_tail() << "--- fleet:\n" << report_.log << report_.json;
  }
  void run(const FleetOptions& options) { report_ = FleetRun(gateway_, options).report(kTimeout); }

  GatewayFixture gateway_;
  FleetReport report_;
};

TEST_F(Sim, CarriesTwoHundredDevicesAndItsReportHasAllFigures) {
  constexpr unsigned kDevices = 200;
  run({.devices = kDevices, .seconds = 10, .more = {"--ramp", "200"}});
  ASSERT_EQ(report_.status, 0);
  EXPECT_EQ(report_.figure("devices"), kDevices);
  EXPECT_GE(report_.figure("recorded"), kDevices);
  EXPECT_EQ(report_.figure("stored"), report_.figure("recorded"));
  EXPECT_GE(report_.figure("sse_events"), report_.figure("recorded"));
  for (const char* none : {"missing", "duplicated", "out_of_order", "sse_gaps"}) {
    EXPECT_EQ(report_.figure(none), 0) << none;
  }
  EXPECT_GT(report_.figure("latency_ms.p50"), 0);
  EXPECT_GE(report_.figure("latency_ms.p99"), report_.figure("latency_ms.p50"));
  EXPECT_GE(report_.figure("latency_ms.max"), report_.figure("latency_ms.p99"));

  const std::vector<LogEvent> log = read_log(gateway_);
  EXPECT_EQ(first_disorder(log), "");
  std::set<std::string> heard;
  for (const LogEvent& event : log) {
    if (event.is_record()) heard.insert(event.device);
  }
  EXPECT_EQ(heard.size(), kDevices);
}

// The lines of host.csv, and its columns' names without their units.
struct Csv {
  std::vector<std::string> columns;
  std::vector<std::vector<double>> rows;
};

std::vector<std::string> cells(const std::string& line) {
  std::vector<std::string> cells;
  std::istringstream in(line);
  for (std::string cell; std::getline(in, cell, ',');) cells.push_back(cell);
  return cells;
}

Csv read_csv(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  Csv csv;
  for (const std::string& head : cells(line)) csv.columns.push_back(head.substr(0, head.find('[')));
  while (std::getline(file, line)) {
    std::vector<double>& row = csv.rows.emplace_back();
    for (const std::string& cell : cells(line)) row.push_back(std::stod(cell));
  }
  return csv;
}

// The rows of a telemetry event by their number `n`, with the values in the order of the CSV file's columns.
std::map<std::size_t, std::vector<double>> rows_of(const std::string& event,
                                                   const std::vector<std::string>& columns) {
  const Json json(cJSON_Parse(event.c_str()), &cJSON_Delete);
  const cJSON* const channels = cJSON_GetObjectItemCaseSensitive(json.get(), "channels");
  const cJSON* const numbers = cJSON_GetObjectItemCaseSensitive(channels, "n");
  std::map<std::size_t, std::vector<double>> rows;
  for (int i = 0; i < cJSON_GetArraySize(numbers); ++i) {
    const auto n = static_cast<std::size_t>(cJSON_GetNumberValue(cJSON_GetArrayItem(numbers, i)));
    for (const std::string& column : columns) {
      const cJSON* const values = cJSON_GetObjectItemCaseSensitive(channels, column.c_str());
      EXPECT_EQ(cJSON_GetArraySize(values), cJSON_GetArraySize(numbers)) << column << " of " << event;
      rows[n].push_back(cJSON_GetNumberValue(cJSON_GetArrayItem(values, i)));
    }
  }
  return rows;
}

// Each device begins at a line of its own: the lines that all of its rows so far allow are kept.
TEST_F(Sim, ReplaysARecordingValueByValue) {
  const std::string file = GODWIT_RECORDINGS_DIR "/host.csv";
  constexpr unsigned kDevices = 3;
  run({.devices = kDevices,
       .seconds = 6,
       .more = {"--replay", file, "--period", "0.02", "--rows", "16", "--ramp", "200"}});
  ASSERT_EQ(report_.status, 0);
  EXPECT_EQ(report_.figure("corrupted"), 0);

  const Csv csv = read_csv(file);
  ASSERT_GT(csv.rows.size(), 1'000U);
  std::map<std::string, std::set<std::size_t>> starts;
  std::size_t row_count = 0;
  for (const LogEvent& event : read_log(gateway_)) {
    if (!event.is_record()) continue;
    for (const auto& [n, values] : rows_of(event.json, csv.columns)) {
      ++row_count;
      const auto matches = [&](std::size_t start) {
        return csv.rows[(start + n) % csv.rows.size()] == values;
      };
      const auto [at, first] = starts.try_emplace(event.device);
      if (first) {
        for (std::size_t start = 0; start < csv.rows.size(); ++start) at->second.insert(start);
      }
      std::erase_if(at->second, [&](std::size_t start) { return !matches(start); });
      ASSERT_FALSE(at->second.empty()) << "no line of the file fits " << event.json;
    }
  }
  EXPECT_EQ(starts.size(), kDevices);
  EXPECT_GT(row_count, 100U * kDevices);
}

}  // namespace
}  // namespace godwit::test
