// SPDX-License-Identifier: Apache-2.0
// godwit-sim: see --help. Exit codes: 0 the promise held, 1 it did not, 2 the run could not be made.
#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <optional>
#include <thread>

#include "boards/host/console_log.h"
#include "sim/cli/explore.h"
#include "sim/fleet/fleet.h"
#include "sim/fleet/installation.h"

namespace {

using namespace godwit;
using namespace godwit::sim;

std::atomic<int> interrupts = 0;  // the first ends sampling, the second waiting for delivery too

// Devices that are broken on purpose complain, and rightly so.
class NoLog final : public ports::Log {
  void write(ports::LogLevel /*level*/, std::string_view /*event*/,
             std::initializer_list<ports::LogField> /*fields*/) override {}
};

struct RunOptions {
  std::string gateway_dir;
  std::string prefix = "sim-";
  std::size_t devices = 10;
  double seconds = 30;
  double settle_s = 0;
  std::string report_file;
  std::string replay_file;
  std::string api_url;
  std::size_t restores = 0;
  double reconnect_s = static_cast<double>(MemberOptions{}.reconnect_max.count()) / 1'000;
  std::string log_level = "none";
  double period_s = 1;
  std::uint16_t rows = 4;
  double drain_s = 60;
  FleetOptions fleet;
};

void add_run_options(CLI::App& run, RunOptions& o) {
  run.add_option("--gateway-dir", o.gateway_dir,
                 "Directory made by `godwit-gateway init`; the gateway must run")
      ->required()
      ->check(CLI::ExistingDirectory);
  run.add_option("--devices", o.devices, "How many devices")
      ->check(CLI::Range(1, 20'000))
      ->capture_default_str();
  run.add_option("--prefix", o.prefix, "Use the devices whose ids begin so")->capture_default_str();
  run.add_option("--seconds", o.seconds, "How long they sample; 0: until Ctrl-C")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  run.add_option("--settle", o.settle_s,
                 "Seconds to sample before that, of which no latencies count: devices still connect")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  run.add_option("--drain-seconds", o.drain_s, "How long delivery may take after that")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  run.add_option("--period", o.period_s, "Seconds between samples")
      ->check(CLI::Range(0.001, 86'400.0))
      ->capture_default_str();
  run.add_option("--rows", o.rows, "Samples in a record, at most")
      ->check(CLI::Range(1, 1'024))
      ->capture_default_str();
  run.add_option("--api", o.api_url, "Base URL of the gateway's API, if not the one in DIR/gateway.toml");
  run.add_option("--broker-port", o.fleet.member.broker_port,
                 "Port of the broker, if not the one in DIR/gateway.toml");
  run.add_option("--reconnect-max", o.reconnect_s, "Seconds between two attempts to connect, at most")
      ->check(CLI::Range(1.0, 3'600.0))
      ->capture_default_str();
  run.add_option("--restores", o.restores, "How often the gateway's database is put back meanwhile")
      ->capture_default_str();
  run.add_option("--log", o.log_level, "What devices may write to stderr")
      ->check(CLI::IsMember({"none", "debug", "info", "warning", "error"}))
      ->capture_default_str();
  run.add_option("--replay", o.replay_file, "Replay this CSV file instead of made-up channels");
  run.add_option("--report", o.report_file, "Write the report as JSON to this file");
  run.add_option("--ramp", o.fleet.ramp_per_s, "Devices started per second")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  run.add_option("--seed", o.fleet.seed, "Seed of sensors and faults")->capture_default_str();
  const auto rate = [&run](const char* name, double& value, const char* what) {
    run.add_option(name, value, what)->check(CLI::NonNegativeNumber)->group("Faults, per device and minute");
  };
  rate("--drops", o.fleet.faults.drops, "Connections reset");
  rate("--stalls", o.fleet.faults.stalls, "Connections that stall for up to 10 s");
  rate("--half-opens", o.fleet.faults.half_opens, "Connections whose peer falls silent for good");
  rate("--power-cuts", o.fleet.faults.power_cuts, "Power cuts in the middle of a flash write");
}

// On a terminal one line that is kept up to date; otherwise a line now and then.
void show_progress(const Fleet& fleet, const Trial& trial, std::size_t devices, const char* phase) {
  const bool terminal = isatty(STDERR_FILENO) != 0;
  static int calls = 0;
  if (!terminal && calls++ % 10 != 0) return;
  std::fprintf(stderr, "%s%s: %zu of %zu devices online, recorded %llu, acked %llu, on the live feed %llu%s",
               terminal ? "\r\033[K" : "", phase, fleet.presence().online, devices,
               static_cast<unsigned long long>(trial.recorded()),
               static_cast<unsigned long long>(trial.acked()),
               static_cast<unsigned long long>(trial.received_count()), terminal ? "" : "\n");
}

// Lets the devices deliver, then reads the log until it has all of it, and the feed as much.
void drain(Fleet& fleet, Trial& trial, const ApiAccess& api, const std::string& after,
           std::chrono::steady_clock::time_point end, const std::function<void()>& progress) {
  const auto over = [end] { return interrupts > 1 || std::chrono::steady_clock::now() >= end; };
  constexpr Millis kPause{500};
  fleet.run(
      std::chrono::duration_cast<Millis>(end - std::chrono::steady_clock::now()),
      [&] { return over() || fleet.delivered(); }, progress);
  while (true) {
    trial.read_log([&api](const std::string& path) { return api_get(api, path); }, after);
    if (over() || (trial.settled() && trial.fed())) return;
    fleet.run(kPause, over, progress);
  }
}

int run(RunOptions& o) {
  Installation installation = Installation::read(o.gateway_dir);
  if (!o.api_url.empty()) installation.api.base_url = o.api_url;
  std::optional<Recording> recording;
  if (!o.replay_file.empty()) recording = Recording::read(o.replay_file);
  // Before the run, which may be long: a report that cannot be written is not worth it.
  std::ofstream report_file(o.report_file);
  if (!o.report_file.empty() && !report_file) throw std::runtime_error(o.report_file + ": cannot be written");
  o.fleet.ids = issued_devices(o.gateway_dir, o.prefix, o.devices);
  o.fleet.credentials_dir = installation.credentials_dir;
  o.fleet.member.broker_host = installation.broker_host;
  if (o.fleet.member.broker_port == 0) o.fleet.member.broker_port = installation.broker_port;
  o.fleet.member.ca_file = installation.api.ca_file;
  o.fleet.member.period = Millis{static_cast<std::int64_t>(o.period_s * 1'000)};
  o.fleet.member.rows_max = o.rows;
  o.fleet.member.reconnect_max = Millis{static_cast<std::int64_t>(o.reconnect_s * 1'000)};
  o.fleet.member.recording = recording ? &*recording : nullptr;

  Trial trial(o.restores);
  NoLog no_log;
  boards::ConsoleLog console(boards::parse_log_level(o.log_level).value_or(ports::LogLevel::kError));
  ports::Log& log = o.log_level == "none" ? static_cast<ports::Log&>(no_log) : console;
  Fleet fleet(o.fleet, trial, log);
  const EventFollower follower(installation.api, [&trial](const auto& event) { trial.received(event); });
  const auto progress = [&](const char* phase) {
    return [&, phase] { show_progress(fleet, trial, o.devices, phase); };
  };
  for (int i = 0; i < 100 && !follower.following() && interrupts == 0; ++i) {
    std::this_thread::sleep_for(Millis{100});
  }
  if (!follower.following()) {
    throw std::runtime_error("the live feed of " + installation.api.base_url +
                             " did not start; is `godwit-gateway run " + o.gateway_dir + "` running?");
  }

  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  if (o.settle_s > 0) {
    fleet.run(
        Millis{static_cast<std::int64_t>(o.settle_s * 1'000)}, [] { return interrupts > 0; },
        progress("connecting"));
    trial.begin_latencies();
  }
  const Millis time{o.seconds == 0 ? std::int64_t{1} << 40 : static_cast<std::int64_t>(o.seconds * 1'000)};
  fleet.run(time, [] { return interrupts > 0; }, progress("running"));
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  fleet.finish();
  const auto drain_end =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(o.drain_s));
  drain(fleet, trial, installation.api, follower.start_id(), drain_end, progress("draining"));

  Report report = trial.judge(std::stoll(follower.start_id()));
  report.seconds = seconds;
  report.seed = o.fleet.seed;
  report.online = fleet.presence().online;
  report.sse_reconnects = static_cast<std::uint64_t>(follower.reconnects());
  report.dropped = fleet.dropped_records();
  report.faults = fleet.faults();
  if (isatty(STDERR_FILENO) != 0) std::fputs("\n", stderr);
  std::cout << report.to_text();
  if (!o.report_file.empty()) {
    report_file << report.to_json();
    if (!report_file.flush()) throw std::runtime_error(o.report_file + ": cannot be written");
  }
  return report.promise_held() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Runs the Godwit firmware: fleets against a real broker and gateway, and worlds in virtual time.",
      "godwit-sim");
  app.require_subcommand(1);
  RunOptions options;
  CLI::App* run_command =
      app.add_subcommand("run", "Run devices in real time, then judge what the gateway holds");
  add_run_options(*run_command, options);
  std::function<int()> command = [&] { return run(options); };
  add_explore_commands(app, command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  for (const int signal : {SIGINT, SIGTERM}) {
    std::signal(signal, [](int) { ++interrupts; });
  }
  try {
    return command();
  } catch (const std::exception& error) {
    std::cerr << "godwit-sim: " << error.what() << "\n";
    return 2;
  }
}
