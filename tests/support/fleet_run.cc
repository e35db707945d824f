// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fleet_run.h"

#include <cjson/cJSON.h>

#include <csignal>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>

namespace godwit::test {
namespace {

std::optional<double> find_figure(const std::string& json, std::string_view path) {
  const std::unique_ptr<cJSON, decltype(&cJSON_Delete)> root(cJSON_Parse(json.c_str()), &cJSON_Delete);
  const cJSON* item = root.get();
  while (item != nullptr) {
    const std::size_t dot = path.find('.');
    item = cJSON_GetObjectItemCaseSensitive(item, std::string(path.substr(0, dot)).c_str());
    if (dot == std::string_view::npos) break;
    path.remove_prefix(dot + 1);
  }
  if (!cJSON_IsNumber(item)) return std::nullopt;
  return item->valuedouble;
}

}  // namespace

std::string sim_program() { return GODWIT_SIM_PROGRAM; }

std::string device_program() { return GODWIT_DEVICE_PROGRAM; }

double FleetReport::figure(std::string_view path) const {
  const auto found = find_figure(json, path);
  if (!found) throw std::runtime_error("no " + std::string(path) + " in the report: " + json + "\n" + log);
  return *found;
}

double FleetReport::fault(const std::string& name) const {
  return find_figure(json, "faults." + name).value_or(0);
}

FleetRun::FleetRun(GatewayFixture& gateway, const FleetOptions& options)
    : report_file_((dir_.path() / "report.json").string()),
      process_(command(gateway, options, report_file_)) {}

std::vector<std::string> FleetRun::command(GatewayFixture& gateway, const FleetOptions& options,
                                           const std::string& report_file) {
  gateway.add_devices(options.prefix, options.devices);
  std::vector<std::string> words{sim_program(),   "run",
                                 "--gateway-dir", gateway.dir().string(),
                                 "--devices",     std::to_string(options.devices),
                                 "--prefix",      options.prefix,
                                 "--seconds",     std::to_string(options.seconds),
                                 "--seed",        std::to_string(options.seed),
                                 "--report",      report_file};
  words.insert(words.end(), options.more.begin(), options.more.end());
  return words;
}

void FleetRun::finish() { process_.signal(SIGINT); }

FleetReport FleetRun::report(std::chrono::milliseconds timeout) {
  if (!process_.wait(timeout)) process_.signal(SIGKILL);
  FleetReport report;
  report.status = process_.wait(std::chrono::seconds(10)).value_or(-1);
  report.log = process_.log();
  if (std::filesystem::exists(report_file_)) report.json = read_file(report_file_);
  return report;
}

}  // namespace godwit::test
