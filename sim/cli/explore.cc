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
#include <thread>

#include "sim/cli/seeds.h"
#include "sim/world/plan.h"
#include "sim/world/world.h"

namespace godwit::sim {
namespace {

struct ExploreOptions {
  std::string seeds;
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

Outcome run_seed(std::uint64_t seed) {
  return run(make_plan(seed), {.folder = scratch_folder(), .trace = {}});
}

int explore(const ExploreOptions& o) {
  const auto [begin, end] = parse_range(o.seeds);
  const auto started = std::chrono::steady_clock::now();
  std::map<std::string, std::vector<std::uint64_t>> failures;
  Probes probes;
  std::uint64_t runs = 0;
  run_seeds({.begin = begin, .end = end, .jobs = o.jobs}, run_seed, [&](const SeedResult& result) {
    ++runs;
    probes.add(result.outcome.probes);
    if (result.outcome.violation.empty()) return true;
    auto& of_kind = failures[result.outcome.violation];
    of_kind.push_back(result.seed);
    if (of_kind.size() <= o.failures_max) {
      std::printf("seed %llu: %s\n  godwit-sim replay %llu --trace\n",
                  static_cast<unsigned long long>(result.seed), result.outcome.what.c_str(),
                  static_cast<unsigned long long>(result.seed));
      std::fflush(stdout);
    }
    return true;
  });
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  std::size_t failed = 0;
  for (const auto& [kind, seeds] : failures) failed += seeds.size();
  std::printf("%llu seeds in %.1f s, %.0f a minute; %zu failed\n", static_cast<unsigned long long>(runs),
              seconds, 60 * static_cast<double>(runs) / seconds, failed);
  for (const auto& [kind, seeds] : failures)
    std::printf("  %-20s %5zu, first %llu\n", kind.c_str(), seeds.size(),
                static_cast<unsigned long long>(*std::ranges::min_element(seeds)));
  if (o.probes) {
    for (std::size_t i = 0; i < kProbes; ++i)
      std::printf("  %10llu %s\n", static_cast<unsigned long long>(probes[static_cast<Probe>(i)]),
                  std::string(name_of(static_cast<Probe>(i))).c_str());
  }
  return failed == 0 ? 0 : 1;
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
  RunOptions options{.folder = scratch_folder(), .trace = {}};
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
  explore_command->add_flag("--probes", o->probes, "Say how often each probe was reached");
  explore_command->callback([o, &run] { run = [o] { return explore(*o); }; });

  auto* const replay_command = app.add_subcommand("replay", "Run one seed, or the plan in a file, again");
  const auto what = std::make_shared<std::string>();
  const auto trace = std::make_shared<bool>(false);
  replay_command->add_option("what", *what, "SEED or FILE")->required();
  replay_command->add_flag("--trace", *trace, "Print what happens");
  replay_command->callback([what, trace, &run] { run = [what, trace] { return replay(*what, *trace); }; });
}

}  // namespace godwit::sim
