// SPDX-License-Identifier: Apache-2.0
#include "sim/cli/seeds.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace godwit::sim {
namespace {

constexpr rlim_t kHang_s = 60;  // of processor time: far above what any seed takes, on a busy machine too

// This process ends by SIGXCPU unless it is called again in time.
void limit_time() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  rlimit limit{};
  ::getrlimit(RLIMIT_CPU, &limit);
  limit.rlim_cur = static_cast<rlim_t>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + kHang_s;
  ::setrlimit(RLIMIT_CPU, &limit);
}

std::string line_of(std::uint64_t seed, const Outcome& outcome) {
  std::ostringstream line;
  line << seed << ' ' << outcome.hash << ' ' << outcome.steps << ' ' << outcome.drained.count();
  const Judge::Counts& counts = outcome.counts;
  for (const std::uint64_t count :
       {counts.rows, counts.records, counts.stored, counts.lost, counts.destroyed, counts.events})
    line << ' ' << count;
  for (std::size_t i = 0; i < kProbes; ++i) line << ' ' << outcome.probes[static_cast<Probe>(i)];
  std::string what = outcome.what;
  for (char& c : what) {
    if (c == '\n') c = ' ';
  }
  line << ' ' << (outcome.violation.empty() ? "-" : outcome.violation) << ' ' << what << '\n';
  return line.str();
}

SeedResult parse_line(const std::string& text) {
  std::istringstream line(text);
  SeedResult result;
  Outcome& outcome = result.outcome;
  std::int64_t drained = 0;
  line >> result.seed >> outcome.hash >> outcome.steps >> drained;
  outcome.drained = Time{drained};
  Judge::Counts& counts = outcome.counts;
  for (std::uint64_t* const count :
       {&counts.rows, &counts.records, &counts.stored, &counts.lost, &counts.destroyed, &counts.events})
    line >> *count;
  for (std::size_t i = 0; i < kProbes; ++i) {
    std::uint64_t count = 0;
    line >> count;
    outcome.probes.set(static_cast<Probe>(i), count);
  }
  line >> outcome.violation;
  if (outcome.violation == "-") outcome.violation.clear();
  line.ignore(1);
  std::getline(line, outcome.what);
  return result;
}

class Worker {
 public:
  Worker(std::uint64_t next, std::uint64_t step, std::uint64_t end) : next_(next), step_(step), end_(end) {}
  ~Worker() { stop(SIGKILL); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void start(const std::function<Outcome(std::uint64_t)>& run_seed) {
    if (next_ >= end_) return;
    int ends[2];
    if (::pipe(ends) != 0) throw std::runtime_error("no pipe to a worker: too many open files?");
    std::fflush(nullptr);
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error("no process for a worker: try --jobs 1");
    if (pid_ == 0) {
      ::close(ends[0]);
      work(run_seed, ends[1]);
    }
    ::close(ends[1]);
    pipe_ = ends[0];
  }

  [[nodiscard]] int pipe() const { return pipe_; }
  [[nodiscard]] bool busy() const { return pid_ > 0; }

  // Takes what is there to read. False: the process has ended.
  bool read(std::vector<SeedResult>& out) {
    char buffer[8192];
    const ssize_t size = ::read(pipe_, buffer, sizeof buffer);
    if (size <= 0) return size < 0 && errno == EINTR;
    input_.append(buffer, static_cast<std::size_t>(size));
    for (auto end = input_.find('\n'); end != std::string::npos; end = input_.find('\n')) {
      out.push_back(parse_line(input_.substr(0, end)));
      input_.erase(0, end + 1);
      next_ += step_;
    }
    return true;
  }

  // The seed that it was at is given up, if there is one.
  void give_up(std::vector<SeedResult>& out) {
    const int status = stop(SIGKILL);
    if (next_ >= end_) return;
    const char* const kind = WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU ? "hang" : "crash";
    SeedResult result{.seed = next_, .outcome = {}};
    result.outcome.violation = kind;
    result.outcome.what = std::string(kind) + ": the process of this seed did not survive it";
    out.push_back(result);
    next_ += step_;
  }

 private:
  [[noreturn]] void work(const std::function<Outcome(std::uint64_t)>& run_seed, int out) const {
    for (std::uint64_t seed = next_; seed < end_; seed += step_) {
      limit_time();
      const std::string line = line_of(seed, run_seed(seed));
      if (::write(out, line.data(), line.size()) != static_cast<ssize_t>(line.size())) ::_exit(2);
    }
    ::_exit(0);
  }

  // How it ended, as waitpid() says it.
  int stop(int signal) {
    int status = 0;
    if (pid_ <= 0) return status;
    ::kill(pid_, signal);
    ::waitpid(pid_, &status, 0);
    ::close(pipe_);
    pid_ = -1;
    pipe_ = -1;
    input_.clear();
    return status;
  }

  std::uint64_t next_;
  std::uint64_t step_;
  std::uint64_t end_;
  pid_t pid_ = -1;
  int pipe_ = -1;
  std::string input_;
};

}  // namespace

void run_seeds(const SeedRange& range, const std::function<Outcome(std::uint64_t)>& run_seed,
               const std::function<bool(const SeedResult&)>& take) {
  std::vector<std::unique_ptr<Worker>> workers;
  for (unsigned i = 0; i < range.jobs; ++i) {
    workers.push_back(std::make_unique<Worker>(range.begin + i, range.jobs, range.end));
    workers.back()->start(run_seed);
  }
  while (true) {
    std::vector<pollfd> polled;
    std::vector<Worker*> owners;
    for (const auto& worker : workers) {
      if (!worker->busy()) continue;
      polled.push_back({.fd = worker->pipe(), .events = POLLIN, .revents = 0});
      owners.push_back(worker.get());
    }
    if (polled.empty()) return;
    ::poll(polled.data(), polled.size(), -1);
    std::vector<SeedResult> results;
    for (std::size_t i = 0; i < polled.size(); ++i) {
      if (polled[i].revents == 0 || owners[i]->read(results)) continue;
      owners[i]->give_up(results);
      owners[i]->start(run_seed);
    }
    for (const SeedResult& result : results) {
      if (!take(result)) return;
    }
  }
}

}  // namespace godwit::sim
