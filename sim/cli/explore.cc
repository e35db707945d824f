// SPDX-License-Identifier: Apache-2.0
#include "sim/cli/explore.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "sim/cli/seeds.h"
#include "sim/cli/shrink.h"
#include "sim/world/plan.h"
#include "sim/world/world.h"

namespace godwit::sim {
namespace {

struct ExploreOptions {
  std::string seeds;
  double minutes = 0;
  std::string report;
  bool to_failure = false;
  bool hashes = false;
  unsigned jobs = std::max(1U, std::thread::hardware_concurrency());
  std::uint64_t failures_max = 10;
  bool probes = false;
};

std::pair<std::uint64_t, std::uint64_t> parse_range(const std::string& text) {
  const auto dots = text.find("..");
  try {
    const std::uint64_t begin = std::stoull(text);
    return {begin, dots == std::string::npos ? begin + 1 : std::stoull(text.substr(dots + 2)) + 1};
  } catch (const std::exception&) {
    throw std::runtime_error("--seeds takes a range such as 1..1000");
  }
}

Outcome run_seed(std::uint64_t seed) { return run(make_plan(seed), {}); }

// From so many minutes on a run must have reached every probe.
constexpr double kAllProbesMinutes = 10;
constexpr std::chrono::seconds kProgress{10};

class Exploration {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Exploration(const ExploreOptions& options) : o_(options) {}

  bool take(const SeedResult& result) {
    ++runs_;
    steps_ += result.outcome.steps;
    records_ += result.outcome.counts.records;
    events_ += result.outcome.counts.events;
    probes_.add(result.outcome.probes);
    for (const Fault& fault : make_plan(result.seed).faults) ++faults_[name_of(fault.kind)];
    if (o_.hashes)
      std::printf("%llu %016llx\n", static_cast<unsigned long long>(result.seed),
                  static_cast<unsigned long long>(result.outcome.hash));
    if (!result.outcome.violation.empty()) {
      show(result);
      if (o_.to_failure) return false;
    }
    const auto now = Clock::now();
    if (o_.minutes > 0 && now >= next_progress_) {
      next_progress_ = now + kProgress;
      std::fprintf(stderr, "%.1f of %.1f min: %llu seeds, %zu failed, %zu of %zu probes\n", seconds() / 60,
                   o_.minutes, static_cast<unsigned long long>(runs_), failed(), reached(), kProbes);
    }
    return o_.minutes <= 0 || seconds() < 60 * o_.minutes;
  }

  int finish() {
    std::printf("%llu seeds in %.1f s, %.0f a minute; %zu failed, %zu of %zu probes reached\n",
                static_cast<unsigned long long>(runs_), seconds(),
                60 * static_cast<double>(runs_) / seconds(), failed(), reached(), kProbes);
    for (const auto& [kind, seeds] : failures_)
      std::printf("  %-20s %5zu, first %llu\n", kind.c_str(), seeds.size(),
                  static_cast<unsigned long long>(*std::ranges::min_element(seeds)));
    const bool long_enough = seconds() >= 60 * kAllProbesMinutes;
    for (std::size_t i = 0; i < kProbes; ++i) {
      const auto probe = static_cast<Probe>(i);
      if (o_.probes || (long_enough && probes_[probe] == 0))
        std::printf("  %10llu %s\n", static_cast<unsigned long long>(probes_[probe]),
                    std::string(name_of(probe)).c_str());
    }
    if (o_.minutes > 0) {
      std::printf("faults:");
      for (const auto& [kind, count] : faults_)
        std::printf(" %s %llu", std::string(kind).c_str(), static_cast<unsigned long long>(count));
      std::printf("\n");
    }
    if (!o_.report.empty()) write_report();
    return failed() > 0 || (long_enough && reached() < kProbes) ? 1 : 0;
  }

 private:
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(Clock::now() - begin_).count();
  }
  [[nodiscard]] std::size_t failed() const {
    std::size_t count = 0;
    for (const auto& [kind, seeds] : failures_) count += seeds.size();
    return count;
  }
  [[nodiscard]] std::size_t reached() const {
    std::size_t count = 0;
    for (std::size_t i = 0; i < kProbes; ++i) count += probes_[static_cast<Probe>(i)] > 0 ? 1U : 0U;
    return count;
  }

  void show(const SeedResult& result) {
    auto& of_kind = failures_[result.outcome.violation];
    of_kind.push_back(result.seed);
    if (of_kind.size() > o_.failures_max) return;
    std::printf("seed %llu: %s\n  godwit-sim replay %llu --trace\n",
                static_cast<unsigned long long>(result.seed), result.outcome.what.c_str(),
                static_cast<unsigned long long>(result.seed));
    std::fflush(stdout);
  }

  void write_report() const {
    std::ofstream file(o_.report);
    file << "{\"seeds\":" << runs_ << ",\"steps\":" << steps_ << ",\"records\":" << records_
         << ",\"events\":" << events_ << ",\"seconds\":" << seconds()
         << ",\"first_seed\":" << parse_range(o_.seeds).first << ",\"failed\":" << failed()
         << ",\"failures\":{";
    const char* comma = "";
    for (const auto& [kind, seeds] : failures_) {
      file << comma << '"' << kind << "\":{\"count\":" << seeds.size()
           << ",\"first_seed\":" << *std::ranges::min_element(seeds) << "}";
      comma = ",";
    }
    file << "},\"faults\":{";
    comma = "";
    for (const auto& [kind, count] : faults_) {
      file << comma << '"' << kind << "\":" << count;
      comma = ",";
    }
    file << "},\"probes\":{";
    comma = "";
    for (std::size_t i = 0; i < kProbes; ++i) {
      file << comma << '"' << name_of(static_cast<Probe>(i)) << "\":" << probes_[static_cast<Probe>(i)];
      comma = ",";
    }
    file << "}}\n";
    if (!file.flush()) throw std::runtime_error(o_.report + ": cannot be written");
  }

  const ExploreOptions& o_;
  const Clock::time_point begin_ = Clock::now();
  Clock::time_point next_progress_ = begin_ + kProgress;
  std::map<std::string, std::vector<std::uint64_t>> failures_;
  Probes probes_;
  std::uint64_t runs_ = 0;
  std::uint64_t steps_ = 0;
  std::uint64_t records_ = 0;
  std::uint64_t events_ = 0;
  std::map<std::string_view, std::uint64_t> faults_;  // planned, by kind
};

int explore(const ExploreOptions& o) {
  const auto [begin, end] = parse_range(o.seeds);
  Exploration exploration(o);
  run_seeds({.begin = begin, .end = end, .jobs = o.jobs}, run_seed,
            [&](const SeedResult& result) { return exploration.take(result); });
  return exploration.finish();
}

// `what` is a seed or the name of a file with a plan.
Plan plan_of(const std::string& what) {
  if (!what.empty() && what.find_first_not_of("0123456789") == std::string::npos)
    return make_plan(std::stoull(what));
  std::ifstream file(what);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) throw std::runtime_error(what + ": cannot be read; give a seed or the file of a plan");
  auto plan = parse_plan(text.str());
  if (!plan) throw std::runtime_error(what + ": " + plan.error());
  return std::move(*plan);
}

int replay(const std::string& what, bool trace) {
  RunOptions options;
  if (trace) options.trace = [](std::string_view line) { std::cout << line << "\n"; };
  const Plan plan = plan_of(what);
  if (trace) std::cout << to_text(plan);
  const Outcome outcome = run(plan, options);
  std::printf(
      "hash %016llx, %llu steps, %llu rows, %llu records, %llu stored, %llu lost, %llu destroyed, drained in "
      "%lld ms\n",
      static_cast<unsigned long long>(outcome.hash), static_cast<unsigned long long>(outcome.steps),
      static_cast<unsigned long long>(outcome.counts.rows),
      static_cast<unsigned long long>(outcome.counts.records),
      static_cast<unsigned long long>(outcome.counts.stored),
      static_cast<unsigned long long>(outcome.counts.lost),
      static_cast<unsigned long long>(outcome.counts.destroyed),
      static_cast<long long>(outcome.drained.count()));
  std::printf("%s\n", outcome.violation.empty() ? "the promise held" : outcome.what.c_str());
  return outcome.violation.empty() ? 0 : 1;
}

int shrink_plan(const std::string& what, const std::string& out) {
  const Plan plan = plan_of(what);
  const Outcome outcome = run_apart(plan);
  if (outcome.violation.empty()) {
    std::printf("the promise held: there is nothing to shrink\n");
    return 2;
  }
  const Shrunk shrunk = shrink(plan, outcome);
  const std::string text = "# " + shrunk.outcome.what + "\n" + to_text(shrunk.plan);
  std::printf("%zu of %zu faults left after %llu runs\n%s", shrunk.plan.faults.size(), plan.faults.size(),
              static_cast<unsigned long long>(shrunk.runs), text.c_str());
  if (out.empty()) return 1;
  std::ofstream file(out);
  file << text;
  if (!file.flush()) throw std::runtime_error(out + ": cannot be written");
  return 1;
}

}  // namespace

void add_explore_commands(CLI::App& app, std::function<int()>& run) {
  auto* const explore_command = app.add_subcommand("explore", "Run deterministic worlds made of seeds");
  const auto o = std::make_shared<ExploreOptions>();
  explore_command->add_option("--seeds", o->seeds, "A..B, both included")->required();
  explore_command->add_option("--jobs", o->jobs, "Processes at once")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  explore_command->add_option("--show", o->failures_max, "Failures of one kind to show")
      ->capture_default_str();
  explore_command->add_option("--minutes", o->minutes, "End after so long, with progress on stderr")
      ->check(CLI::PositiveNumber);
  explore_command->add_option("--report", o->report, "Write counts as JSON to this file");
  explore_command->add_flag("--to-failure", o->to_failure, "End at the first failure");
  explore_command->add_flag("--hashes", o->hashes, "Print the hash of each seed");
  explore_command->add_flag("--probes", o->probes, "Say how often each probe was reached");
  explore_command->callback([o, &run] { run = [o] { return explore(*o); }; });

  auto* const replay_command = app.add_subcommand("replay", "Run one seed, or the plan in a file, again");
  const auto what = std::make_shared<std::string>();
  const auto trace = std::make_shared<bool>(false);
  replay_command->add_option("what", *what, "SEED or FILE")->required();
  replay_command->add_flag("--trace", *trace, "Print what happens");
  replay_command->callback([what, trace, &run] { run = [what, trace] { return replay(*what, *trace); }; });

  auto* const shrink_command = app.add_subcommand("shrink", "Cut a plan that fails down to what it takes");
  const auto out = std::make_shared<std::string>();
  shrink_command->add_option("what", *what, "SEED or FILE")->required();
  shrink_command->add_option("--out", *out, "Write the plan to this file too");
  shrink_command->callback([what, out, &run] { run = [what, out] { return shrink_plan(*what, *out); }; });
}

}  // namespace godwit::sim
