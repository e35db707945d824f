// SPDX-License-Identifier: Apache-2.0
#include "tests/power_loss/prover.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>

namespace godwit::test {
namespace {

constexpr double kFullMinutes = 10;  // that all items take, with room to spare
constexpr double kItemsShare = 0.8;  // of the time; the rest is the walks'
constexpr double kSlowMachine = 1.5;
constexpr std::size_t kStride = 10'007;  // a prime, far above the number of items

struct Options {
  double minutes = kFullMinutes;
  std::uint64_t seed = 1;
  std::string item;
  std::string json;
};

std::optional<Options> parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (flag == "--minutes") options.minutes = std::atof(argv[i + 1]);
    if (flag == "--seed") options.seed = std::strtoull(argv[i + 1], nullptr, 10);
    if (flag == "--item") options.item = argv[i + 1];
    if (flag == "--json") options.json = argv[i + 1];
    if (flag != "--minutes" && flag != "--seed" && flag != "--item" && flag != "--json") return std::nullopt;
  }
  if (argc % 2 == 0 || options.minutes <= 0) return std::nullopt;
  return options;
}

class Campaign {
 public:
  Campaign(const Options& options, const std::vector<Item>& items, Walk walk)
      : options_(options),
        items_(items),
        walk_(walk),
        begin_(Prover::Clock::now()),
        every_(options.minutes >= kFullMinutes || !options.item.empty()
                   ? 1
                   : static_cast<std::uint64_t>(std::ceil(kSlowMachine * kFullMinutes / options.minutes))) {}

  void run() {
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i) {
      threads.emplace_back([this] { work(); });
    }
    for (std::thread& thread : threads) thread.join();
  }

  int report(const std::string& name, const std::string& program) const {
    std::uint64_t total = 0;
    std::printf("\n%-32s %12s\n", name.c_str(), "schedules");
    for (const auto& [group, count] : counts_) {
      std::printf("%-32s %12llu%s\n", group.c_str(), static_cast<unsigned long long>(count.schedules),
                  count.cut_short ? "  not in full: the time was over" : "");
      total += count.schedules;
    }
    std::printf("%-32s %12llu in %.0f s, seed %llu, %s\n", "all", static_cast<unsigned long long>(total),
                seconds(), static_cast<unsigned long long>(options_.seed),
                every_ == 1 ? "each schedule of the items" : ("one of " + std::to_string(every_)).c_str());
    for (const std::string& failure : failures_) {
      std::printf("FAILED %s\n", failure.c_str());
    }
    if (!failures_.empty()) std::printf("alone: %s --item NAME\n", program.c_str());
    if (!options_.json.empty()) write_json(total);
    return failures_.empty() ? 0 : 1;
  }

 private:
  struct Count {
    std::uint64_t schedules = 0;
    bool cut_short = false;
  };

  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(Prover::Clock::now() - begin_).count();
  }
  [[nodiscard]] Prover::Clock::time_point after(double share) const {
    return begin_ + std::chrono::duration_cast<Prover::Clock::duration>(
                        std::chrono::duration<double>(options_.minutes * 60 * share));
  }

  void work() {
    if (options_.item.starts_with("walk:")) {
      if (next_walk_++ > 0) return;
      Prover prover(1, 0, after(1e6));
      walk_(prover, std::strtoull(options_.item.c_str() + 5, nullptr, 10));
      return note("walk", prover, options_.item);
    }
    for (std::size_t i = next_item_++; i < items_.size(); i = next_item_++) {
      // In an order that mixes large and small, should the time not suffice.
      const Item& item = items_[(i * kStride + options_.seed) % items_.size()];
      if (!options_.item.empty() && item.name != options_.item) continue;
      Prover prover(every_, options_.seed, after(options_.item.empty() ? kItemsShare : 1e6));
      item.run(prover);
      note(item.group, prover, item.name);
    }
    if (!options_.item.empty()) return;
    while (Prover::Clock::now() < after(1)) {
      const std::uint64_t seed = options_.seed * 1'000'000'000 + next_walk_++;
      Prover prover(1, 0, after(1));
      prover.take();
      walk_(prover, seed);
      note("random walks of faults", prover, "walk:" + std::to_string(seed));
    }
  }

  void note(const std::string& group, const Prover& prover, const std::string& name) {
    const std::lock_guard lock(mutex_);
    Count& count = counts_[group];
    count.schedules += prover.schedules();
    count.cut_short |= prover.cut_short();
    if (!prover.failure().empty() && failures_.size() < 20) {
      failures_.push_back(name + ": " + prover.failure());
      std::printf("FAILED %s\n", failures_.back().c_str());
    }
    if (seconds() - said_ < 10) return;
    said_ = seconds();
    std::uint64_t total = 0;
    for (const auto& [unused, each] : counts_) total += each.schedules;
    std::printf("%4.0f s, %llu schedules, item %zu of %zu\n", said_, static_cast<unsigned long long>(total),
                std::min<std::size_t>(next_item_, items_.size()), items_.size());
    std::fflush(stdout);
  }

  void write_json(std::uint64_t total) const {
    std::FILE* file = std::fopen(options_.json.c_str(), "w");
    if (file == nullptr) {
      std::perror(options_.json.c_str());
      return;
    }
    std::fprintf(
        file, "{\"seconds\": %.1f, \"seed\": %llu, \"one_of\": %llu, \"failures\": %zu, \"schedules\": %llu",
        seconds(), static_cast<unsigned long long>(options_.seed), static_cast<unsigned long long>(every_),
        failures_.size(), static_cast<unsigned long long>(total));
    for (const auto& [group, count] : counts_) {
      std::fprintf(file, ", \"%s\": %llu", group.c_str(), static_cast<unsigned long long>(count.schedules));
    }
    std::fprintf(file, "}\n");
    std::fclose(file);
  }

  Options options_;
  const std::vector<Item>& items_;
  Walk walk_;
  Prover::Clock::time_point begin_;
  std::uint64_t every_;
  std::atomic<std::size_t> next_item_ = 0;
  std::atomic<std::uint64_t> next_walk_ = 0;
  std::mutex mutex_;
  std::map<std::string, Count> counts_;
  std::vector<std::string> failures_;
  double said_ = 0;
};

}  // namespace

int prove(int argc, char** argv, const std::string& name, const std::vector<Item>& items, Walk walk) {
  const auto options = parse(argc, argv);
  if (!options) {
    std::fprintf(stderr, "usage: %s [--minutes M] [--seed S] [--item NAME] [--json FILE]\n", argv[0]);
    return 2;
  }
  Campaign campaign(*options, items, walk);
  campaign.run();
  return campaign.report(name, argv[0]);
}

}  // namespace godwit::test
