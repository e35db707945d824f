// SPDX-License-Identifier: Apache-2.0
#include "tests/power_loss/prover.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <map>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>

namespace godwit::test {
namespace {

constexpr double kItemsShare = 0.9;      // of the time at most; the rest is the walks'
constexpr std::size_t kStride = 10'007;  // a prime, far above the number of items
constexpr std::chrono::hours kLong{1'000};

// Of this thread: what others take of the machine does not count.
double cpu_seconds() {
  timespec time{};
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) != 0) return 0;
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

thread_local std::string g_item;
thread_local std::array<char, 64> g_running{};

// Which schedule it was that an assertion stopped.
void say_running(int /*signal*/) {
  const auto say = [](std::string_view text) { return write(STDERR_FILENO, text.data(), text.size()); };
  if (say("FAILED, aborted: item ") < 0 || say(g_item) < 0 || say(" ") < 0) return;
  if (say(g_running.data()) < 0 || say("\n") < 0) return;
}

struct Options {
  double minutes = 10;
  std::uint64_t one_of = 1;
  std::optional<std::uint64_t> walks;
  std::uint64_t seed = 1;
  std::string item;
  std::string json;
};

std::optional<Options> parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    const char* const value = argv[i + 1];
    if (flag == "--minutes") {
      options.minutes = std::atof(value);
    } else if (flag == "--one-of") {
      options.one_of = std::strtoull(value, nullptr, 10);
    } else if (flag == "--walks") {
      options.walks = std::strtoull(value, nullptr, 10);
    } else if (flag == "--seed") {
      options.seed = std::strtoull(value, nullptr, 10);
    } else if (flag == "--item") {
      options.item = value;
    } else if (flag == "--json") {
      options.json = value;
    } else {
      return std::nullopt;
    }
  }
  if (argc % 2 == 0 || options.minutes <= 0 || options.one_of == 0) return std::nullopt;
  return options;
}

class Campaign {
 public:
  Campaign(const Options& options, const std::vector<Item>& items, const std::vector<Single>& singles,
           Walk walk)
      : options_(options), items_(items), singles_(singles), walk_(walk), begin_(Prover::Clock::now()) {}

  void run() {
    if (!options_.item.empty()) return run_alone();
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i) {
      threads.emplace_back([this] { work(); });
    }
    for (std::thread& thread : threads) thread.join();
  }

  int report(const std::string& program) const {
    std::uint64_t total = 0;
    std::printf("\n%-34s %12s %10s\n", "", "schedules", "CPU s");
    for (const auto& [group, count] : counts_) {
      std::printf("%-34s %12llu %10.1f%s\n", group.c_str(), static_cast<unsigned long long>(count.schedules),
                  count.seconds, count.cut_short ? "  not in full: the time was over" : "");
      total += count.schedules;
    }
    std::printf("%-34s %12llu in %.0f s, seed %llu, %s\n", "all", static_cast<unsigned long long>(total),
                seconds(), static_cast<unsigned long long>(options_.seed),
                options_.one_of == 1 ? "each schedule of the items"
                                     : ("one of " + std::to_string(options_.one_of)).c_str());
    for (const std::string& failure : failures_) std::printf("FAILED %s\n", failure.c_str());
    if (!failures_.empty()) std::printf("alone: %s --item NAME\n", program.c_str());
    if (total == 0) std::printf("FAILED: there is no such item\n");
    if (!options_.json.empty()) write_json(total);
    return failures_.empty() && total > 0 ? 0 : 1;
  }

 private:
  struct Count {
    std::uint64_t schedules = 0;
    double seconds = 0;
    bool cut_short = false;
  };

  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(Prover::Clock::now() - begin_).count();
  }
  // A number of walks is a number of schedules: no time counts then.
  [[nodiscard]] Prover::Clock::time_point after(double share) const {
    if (options_.walks || !options_.item.empty()) return begin_ + kLong;
    return begin_ + std::chrono::duration_cast<Prover::Clock::duration>(
                        std::chrono::duration<double>(options_.minutes * 60 * share));
  }

  void run_alone() {
    const std::string_view name = options_.item;
    Prover prover(options_.one_of, options_.seed, after(1));
    for (const Item& item : items_) {
      if (item.name == name) run_item(item);
    }
    for (const Single& single : singles_) {
      if (!name.starts_with(single.prefix + ":")) continue;
      run_one(single.prefix, options_.item,
              [&](Prover& each) { single.run(each, name.substr(single.prefix.size() + 1)); });
    }
    if (name.starts_with("walk:")) run_walk(std::strtoull(options_.item.c_str() + 5, nullptr, 10));
  }

  void work() {
    for (std::size_t i = next_item_++; i < items_.size(); i = next_item_++) {
      // In an order that mixes large and small, should the time not suffice.
      run_item(items_[(i * kStride + options_.seed) % items_.size()]);
    }
    for (std::uint64_t walk = next_walk_++; walk < options_.walks.value_or(UINT64_MAX); walk = next_walk_++) {
      if (Prover::Clock::now() > after(1)) return;
      run_walk(options_.seed * 1'000'000'000 + walk);
    }
  }

  void run_item(const Item& item) {
    const double begin = cpu_seconds();
    Prover prover(options_.one_of, options_.seed, after(kItemsShare));
    g_item = item.name;
    item.run(prover);
    note(item.group, prover, item.name, begin);
  }
  void run_walk(std::uint64_t seed) {
    run_one("random walks of faults", "walk:" + std::to_string(seed),
            [&](Prover& prover) { walk_(prover, seed); });
  }
  void run_one(const std::string& group, const std::string& name, const std::function<void(Prover&)>& run) {
    const double begin = cpu_seconds();
    Prover prover(1, 0, begin_ + kLong);
    g_item = name;
    prover.take();
    run(prover);
    note(group, prover, name, begin);
  }

  void note(const std::string& group, const Prover& prover, const std::string& name, double begin) {
    const std::lock_guard lock(mutex_);
    Count& count = counts_[group];
    count.schedules += prover.schedules();
    count.seconds += cpu_seconds() - begin;
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
    const bool cut_short =
        std::ranges::any_of(counts_, [](const auto& each) { return each.second.cut_short; });
    std::fprintf(file,
                 "{\"seconds\": %.1f, \"seed\": %llu, \"one_of\": %llu, \"in_full\": %s, \"failures\": %zu, "
                 "\"schedules\": %llu, \"classes\": {",
                 seconds(), static_cast<unsigned long long>(options_.seed),
                 static_cast<unsigned long long>(options_.one_of),
                 options_.one_of == 1 && !cut_short ? "true" : "false", failures_.size(),
                 static_cast<unsigned long long>(total));
    const char* comma = "";
    for (const auto& [group, count] : counts_) {
      std::fprintf(file, "%s\"%s\": %llu", comma, group.c_str(),
                   static_cast<unsigned long long>(count.schedules));
      comma = ", ";
    }
    std::fprintf(file, "}}\n");
    std::fclose(file);
  }

  Options options_;
  const std::vector<Item>& items_;
  const std::vector<Single>& singles_;
  Walk walk_;
  Prover::Clock::time_point begin_;
  std::atomic<std::size_t> next_item_ = 0;
  std::atomic<std::uint64_t> next_walk_ = 0;
  std::mutex mutex_;
  std::map<std::string, Count> counts_;
  std::vector<std::string> failures_;
  double said_ = 0;
};

}  // namespace

void Prover::running(std::string_view what) {
  const std::size_t size = what.copy(g_running.data(), g_running.size() - 1);
  g_running[size] = '\0';
}

int prove(int argc, char** argv, const std::vector<Item>& items, const std::vector<Single>& singles,
          Walk walk) {
  const auto options = parse(argc, argv);
  if (!options) {
    std::fprintf(stderr,
                 "usage: %s [--minutes M | --walks N] [--one-of N] [--seed S] [--item NAME] [--json FILE]\n",
                 argv[0]);
    return 2;
  }
  if (std::signal(SIGABRT, say_running) == SIG_ERR) return 2;
  Campaign campaign(*options, items, singles, walk);
  campaign.run();
  return campaign.report(argv[0]);
}

}  // namespace godwit::test
