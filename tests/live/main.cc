// SPDX-License-Identifier: Apache-2.0
// godwit-live: real programs under faults for some minutes, then the judge; see --help and README.md. Exit
// codes: 0 the promise held, 1 it did not, 2 the run could not be made.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <list>
#include <optional>
#include <thread>

#include "sim/judge/judge.h"
#include "tests/live/boards.h"
#include "tests/live/fairness.h"
#include "tests/live/follower.h"
#include "tests/live/hostile.h"
#include "tests/live/plan.h"
#include "tests/live/stage.h"
#include "tests/support/fleet_run.h"
#include "tests/support/gateway_log.h"

namespace {

using namespace godwit;
using namespace godwit::live;
using Clock = std::chrono::steady_clock;

// After the last fault everybody is back and has delivered: the longest pause of a board between two attempts
// to connect (120 s), and a minute for handshakes, what was kept, and a machine that does other things too.
constexpr std::chrono::seconds kDrainMax{180};
// Of a simulated device, so that it is there for most of the faults.
constexpr unsigned kReconnectMax_s = 8;

std::atomic<bool> interrupted = false;

struct Options {
  double minutes = 10;
  std::uint64_t seed = 1;
  unsigned devices = 100;
  unsigned followers = 6;
  double flood_seconds = 10;
  double latency_max_ms = 1'000;
  bool boards = true;
  std::vector<std::string> without;
  std::string json;
  std::string keep = "build/live";
};

struct Result {
  double seconds = 0;
  double drain_s = 0;
  std::string fleet_json;
  std::string what;  // went wrong; empty: nothing
  sim::Judge::Counts boards;
  std::uint64_t reconnects = 0;
  std::int64_t log_end = 0;
  std::vector<Fairness> fairness;
};

class Run {
 public:
  explicit Run(const Options& options);

  Result play();
  void write_json(const Result& result) const;
  // Leaves what helps to find the cause, and returns where.
  std::filesystem::path keep();

 private:
  void flood(Result& result);
  void judge_latencies(const Result& result) const;
  void start_fleet();
  void befall_until_end();
  void drain(Result& result);
  void judge(Result& result);
  void say_progress(Clock::time_point begin);
  bool followers_have(std::int64_t offset) const;

  Options options_;
  std::filesystem::path logs_;
  Stage stage_;
  std::optional<Hostile> hostile_;
  std::optional<Boards> boards_;
  std::list<Follower> followers_;
  std::vector<Fault> plan_;
  std::optional<test::FleetRun> fleet_;
  std::string fleet_log_;
  std::uint64_t board_cuts_ = 0;
};

std::set<FaultKind> kinds_of(const std::vector<std::string>& names) {
  std::set<FaultKind> kinds;
  for (const FaultKind kind : all_kinds())
    if (std::ranges::find(names, name_of(kind)) != names.end()) kinds.insert(kind);
  return kinds;
}

std::filesystem::path fresh_folder(const std::string& path) {
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return std::filesystem::absolute(path);
}

Run::Run(const Options& options)
    : options_(options),
      logs_(fresh_folder(options.keep)),
      stage_(logs_),
      plan_(make_plan(options.seed, Millis{static_cast<std::int64_t>(options.minutes * 60'000)},
                      kinds_of(options.without))) {
  if (options.boards) boards_.emplace(stage_.gateway(), stage_.broker_port());
  const test::HttpsOptions https = stage_.gateway().https();
  for (unsigned i = 0; i < options.followers; ++i) {
    // Most of them through the proxy.
    const bool direct = i % 3 == 0;
    const std::uint16_t port = direct ? stage_.gateway().http_port() : stage_.followers_port();
    followers_.emplace_back(std::to_string(i) + (direct ? " (direct)" : " (through the proxy)"),
                            sim::ApiAccess{.base_url = "https://127.0.0.1:" + std::to_string(port),
                                           .ca_file = https.ca.string(),
                                           .key = https.api_key});
  }
}

// What honest devices wait for beside floods, before anything else befalls them.
void Run::flood(Result& result) {
  if (options_.flood_seconds <= 0) return;
  result.fairness = measure_fairness(stage_, {.seconds = options_.flood_seconds, .seed = options_.seed});
  for (const Fairness& each : result.fairness)
    std::cout << "append to feed, flood " << each.flood << " (" << each.hostile_messages << " messages): p50 "
              << each.p50_ms << " ms, p99 " << each.p99_ms << " ms, max " << each.max_ms << " ms"
              << std::endl;
}

void Run::judge_latencies(const Result& result) const {
  for (const Fairness& each : result.fairness)
    if (options_.latency_max_ms > 0 && each.p99_ms > options_.latency_max_ms)
      throw sim::Violation("latency", "beside the flood " + each.flood +
                                          ", p99 of honest devices from append to feed is " +
                                          std::to_string(each.p99_ms) + " ms, more than " +
                                          std::to_string(options_.latency_max_ms));
}

void Run::start_fleet() {
  hostile_.emplace(stage_.gateway(), Hostile::Options{.seed = options_.seed});
  const auto restores = std::ranges::count(plan_, FaultKind::kRestore, &Fault::kind);
  fleet_.emplace(stage_.gateway(),
                 test::FleetOptions{.devices = options_.devices,
                                    .seconds = 0,
                                    .seed = options_.seed,
                                    .more = {"--broker-port",   std::to_string(stage_.broker_port()),
                                             "--reconnect-max", std::to_string(kReconnectMax_s),
                                             "--restores",      std::to_string(restores),
                                             "--drain-seconds", std::to_string(kDrainMax.count()),
                                             "--period",        "0.5",
                                             "--rows",          "4",
                                             "--power-cuts",    "0.5",
                                             "--drops",         "0.3",
                                             "--stalls",        "0.3",
                                             "--half-opens",    "0.2"}});
}

void Run::say_progress(Clock::time_point begin) {
  const std::string log = fleet_->log();
  const std::size_t end = log.find_last_not_of('\n');
  const std::size_t line = end == std::string::npos ? end : log.rfind('\n', end);
  std::int64_t least = INT64_MAX;
  for (const Follower& follower : followers_) least = std::min(least, follower.at());
  std::cout << std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - begin).count()
            << " s: gateway killed " << stage_.done(FaultKind::kGatewayKill) << " times, broker "
            << stage_.done(FaultKind::kBrokerKill) << "; all followers are at " << least << "; fleet "
            << (end == std::string::npos ? "starts"
                                         : log.substr(line == std::string::npos ? 0 : line + 1, end - line))
            << std::endl;
}

void Run::befall_until_end() {
  const auto begin = Clock::now();
  const auto end = begin + Millis{static_cast<std::int64_t>(options_.minutes * 60'000)};
  auto next_line = begin + std::chrono::seconds(10);
  auto fault = plan_.begin();
  while (!interrupted && (Clock::now() < end || fault != plan_.end())) {
    stage_.tend();
    if (Clock::now() >= next_line) {
      say_progress(begin);
      next_line += std::chrono::seconds(10);
    }
    if (fault == plan_.end() || Clock::now() < begin + fault->at) {
      std::this_thread::sleep_for(Millis{20});
      continue;
    }
    if (fault->kind == FaultKind::kBoardPowerCut && boards_) {
      boards_->cut_power(fault->random, fault->time);
      ++board_cuts_;
    }
    stage_.befall(*fault++);
  }
}

bool Run::followers_have(std::int64_t offset) const {
  return std::ranges::all_of(followers_, [offset](const Follower& f) { return f.at() >= offset; });
}

void Run::drain(Result& result) {
  const auto begin = Clock::now();
  const auto end = begin + kDrainMax;
  stage_.calm();
  hostile_->stop();
  if (boards_) boards_->look_into_all();
  fleet_->finish();
  const test::FleetReport report = fleet_->report(kDrainMax + std::chrono::seconds(30));
  fleet_log_ = report.log;
  result.fleet_json = report.json;
  if (report.json.empty()) throw std::runtime_error("the fleet left no report:\n" + report.log);
  while (boards_ && !boards_->delivered()) {
    if (Clock::now() > end)
      throw sim::Violation("drain", "a board has not delivered " + std::to_string(kDrainMax.count()) +
                                        " s after the last fault:\n" + boards_->log_tail());
    std::this_thread::sleep_for(Millis{200});
  }
  if (boards_) boards_->finish();
  result.drain_s = std::chrono::duration<double>(Clock::now() - begin).count();
  if (report.status != 0) throw sim::Violation("fleet", "the fleet's judge says no:\n" + report.log);
  if (static_cast<unsigned>(report.figure("online")) != options_.devices)
    throw sim::Violation("drain", std::to_string(static_cast<int>(report.figure("online"))) + " of " +
                                      std::to_string(options_.devices) + " devices are back after " +
                                      std::to_string(kDrainMax.count()) + " s");
}

// Boards and followers; the fleet has a judge of its own.
void Run::judge(Result& result) {
  struct Nobody final : sim::Judge::Witness {
    bool holds(std::size_t /*device*/, sim::RecordId /*record*/) const override { return false; }
    bool holds_unharmed(std::size_t /*device*/, sim::RecordId /*record*/) const override { return false; }
  };
  const Nobody nobody;
  sim::Judge judge(boards_ ? static_cast<const sim::Judge::Witness&>(*boards_) : nobody);
  if (boards_) boards_->tell(judge);
  sim::read_log(test::get_from(stage_.gateway()), "begin", [&](const sim::LogEvent& event) {
    result.log_end = sim::parse_event_id(event.id)->offset;
    if (boards_ && boards_->is_mine(event.device)) return boards_->show(event, judge);
    sim::show(event, judge);
  });
  const auto end = Clock::now() + std::chrono::seconds(30);
  while (!followers_have(result.log_end)) {
    if (Clock::now() > end)
      throw sim::Violation(
          "drain", "a follower is not at the end of the log, event " + std::to_string(result.log_end));
    std::this_thread::sleep_for(Millis{50});
  }
  for (const Follower& follower : followers_) {
    std::vector<sim::FollowerNote> notes = follower.notes();
    while (!notes.empty() && notes.back().id.offset > result.log_end) notes.pop_back();
    judge.follower_wrote(follower.name(), 0, notes, stage_.done(FaultKind::kRestore));
    result.reconnects += static_cast<std::uint64_t>(follower.reconnects());
  }
  judge.finish();
  result.boards = judge.counts();
}

Result Run::play() {
  Result result;
  const auto begin = Clock::now();
  try {
    flood(result);
    start_fleet();
    befall_until_end();
    result.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    std::cout << "no more faults; draining" << std::endl;
    drain(result);
    judge(result);
    judge_latencies(result);
  } catch (const sim::Violation& violation) {
    result.what = violation.what();
  }
  return result;
}

void Run::write_json(const Result& result) const {
  std::ofstream file(options_.json);
  file << "{\"held\": " << (result.what.empty() ? "true" : "false") << ", \"seed\": " << options_.seed
       << ", \"seconds\": " << result.seconds << ", \"drain_seconds\": " << result.drain_s
       << ", \"drain_seconds_max\": " << kDrainMax.count() << ", \"devices\": " << options_.devices
       << ", \"boards\": " << (boards_ ? boards_->size() : 0)
       << ", \"board_records\": " << result.boards.records
       << ", \"board_records_stored\": " << result.boards.stored << ", \"log_events\": " << result.log_end
       << ", \"followers\": " << followers_.size() << ", \"follower_reconnects\": " << result.reconnects
       << ", \"hostile_messages\": " << (hostile_ ? hostile_->messages() : 0)
       << ", \"stray_connections\": " << (hostile_ ? hostile_->connections() : 0)
       << ", \"latency_p99_max_ms\": " << options_.latency_max_ms << ",\n \"append_to_feed_ms\": {";
  const char* comma = "";
  for (const Fairness& each : result.fairness)
    file << std::exchange(comma, ", ") << '"' << each.flood << "\": {\"p50\": " << each.p50_ms
         << ", \"p99\": " << each.p99_ms << ", \"max\": " << each.max_ms
         << ", \"hostile_messages\": " << each.hostile_messages << '}';
  file << "},\n \"faults\": {\"board_power_cut\": " << board_cuts_;
  for (const auto& [name, count] : stage_.done()) file << ", \"" << name << "\": " << count;
  file << "},\n \"skipped\": [";
  comma = "";
  for (const std::string& what : stage_.skipped()) file << std::exchange(comma, ", ") << '"' << what << '"';
  file << "],\n \"fleet\": " << (result.fleet_json.empty() ? "null" : result.fleet_json) << "}\n";
  if (!file.flush()) throw std::runtime_error("cannot write " + options_.json);
}

std::filesystem::path Run::keep() {
  std::ofstream(logs_ / "fleet.log") << (fleet_log_.empty() && fleet_ ? fleet_->log() : fleet_log_);
  if (boards_) std::ofstream(logs_ / "boards.log") << boards_->log_tail();
  std::ofstream(logs_ / "last.log") << stage_.gateway().log_tail();
  std::error_code ignored;  // whatever can be copied
  std::filesystem::copy(stage_.gateway().dir() / "data", logs_ / "data",
                        std::filesystem::copy_options::recursive, ignored);
  return logs_;
}

void add_options(CLI::App& app, Options& o) {
  app.add_option("--minutes", o.minutes, "How long faults happen")
      ->check(CLI::Range(0.1, 10'000.0))
      ->capture_default_str();
  app.add_option("--seed", o.seed, "Of the faults, and of the fleet")->capture_default_str();
  app.add_option("--devices", o.devices, "Simulated ones")
      ->check(CLI::Range(1, 5'000))
      ->capture_default_str();
  app.add_option("--followers", o.followers, "Of the live feed")
      ->check(CLI::Range(1, 500))
      ->capture_default_str();
  app.add_option("--flood-seconds", o.flood_seconds,
                 "How long latencies are measured beside each kind of flood; 0: not at all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--latency-max", o.latency_max_ms,
                 "What p99 from append to feed may be beside a flood, in ms; 0: whatever it is")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_flag("--no-boards{false}", o.boards, "Leave out the boards that QEMU plays");
  std::vector<std::string> names;
  for (const FaultKind kind : all_kinds()) names.emplace_back(name_of(kind));
  app.add_option("--without", o.without, "Faults to leave out")->check(CLI::IsMember(names));
  app.add_option("--json", o.json, "Write the figures to this file");
  app.add_option("--keep", o.keep, "Folder for the logs, made afresh")->capture_default_str();
}

void say(const Result& result) {
  std::cout << result.fleet_json << "drained in " << result.drain_s << " s; " << result.log_end
            << " events in the log; boards: " << result.boards.records << " records, " << result.boards.stored
            << " stored, " << result.boards.missing << " missing; followers came back " << result.reconnects
            << " times\n"
            << (result.what.empty() ? "The promise held.\n" : "THE PROMISE DID NOT HOLD.\n");
}

int play(Options& options) {
  if (options.boards && !Boards::available()) {
    std::cout << "Skipped: the boards (no images, or no qemu-system-arm; ./godwit setup, ./godwit build)\n";
    options.boards = false;
  }
  Run run(options);
  const Result result = run.play();
  if (!options.json.empty()) run.write_json(result);
  say(result);
  if (result.what.empty()) return 0;
  std::cout << result.what << "\nThe logs and the database are in " << run.keep().string()
            << "\nSee it again: the same command with --seed " << options.seed
            << "; leave faults out with --without KIND until it holds\n";
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Real programs under faults, then the judge.", "godwit-live");
  Options options;
  add_options(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { interrupted = true; });
  try {
    return play(options);
  } catch (const std::exception& error) {
    std::cerr << "godwit-live: " << error.what() << "\n";
    return 2;
  }
}
