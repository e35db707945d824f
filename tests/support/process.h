// SPDX-License-Identifier: Apache-2.0
// Child processes, temporary folders and free ports for tests that run real programs. Everything started here
// is ended here, by its pid; a child also dies with the thread that started it. Failures of the harness
// itself throw. Host code: allocates; each Process has one thread that collects what the child writes.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace godwit::test {

// A new folder, removed with its content at the end.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  // Writes a file of this name (mode 0600) and returns its path.
  std::filesystem::path write(std::string_view name, std::string_view content) const;

 private:
  std::filesystem::path path_;
};

[[nodiscard]] std::string read_file(const std::filesystem::path& path);

// A TCP port on 127.0.0.1 that nobody listened on a moment ago. Start servers with a retry: somebody else may
// take it first.
[[nodiscard]] std::uint16_t free_port();
// Waits until something accepts connections on 127.0.0.1:port.
[[nodiscard]] bool wait_for_port(std::uint16_t port, std::chrono::milliseconds timeout);

class Process {
 public:
  struct Options {
    std::map<std::string, std::string> environment;  // added to ours
    std::filesystem::path directory;                 // empty: ours
    unsigned descriptors_max = 0;                    // 0: as we may have
  };

  // Starts command[0], looked up in PATH, /usr/sbin and /sbin. Throws if it cannot be executed.
  explicit Process(const std::vector<std::string>& command) : Process(command, Options{}) {}
  Process(const std::vector<std::string>& command, const Options& options);
  // SIGKILL, unless it has ended.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  [[nodiscard]] int pid() const { return pid_; }
  void write_stdin(std::string_view text);
  void close_stdin();

  // Waits until stdout and stderr together contain `text`; from is the count of bytes of the log to skip.
  // Returns the whole line that holds it; nullopt: the time is over, or the child ended without it.
  [[nodiscard]] std::optional<std::string> wait_for_line(std::string_view text,
                                                         std::chrono::milliseconds timeout,
                                                         std::size_t from = 0);

  // What it wrote so far.
  [[nodiscard]] std::string output() const;  // stdout
  [[nodiscard]] std::string log() const;     // stdout and stderr in order of arrival

  // Sends a signal; nothing happens if it has ended.
  void signal(int number);
  // Waits for the end: the exit status, or 128 + signal. nullopt: the time is over.
  [[nodiscard]] std::optional<int> wait(std::chrono::milliseconds timeout);
  // SIGTERM, then SIGKILL after the timeout; as wait().
  int stop(std::chrono::milliseconds timeout = std::chrono::seconds(10));

 private:
  void collect(int out, int err);

  int pid_ = -1;
  int stdin_ = -1;
  std::optional<int> status_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string output_;
  std::string log_;
  bool finished_ = false;  // both pipes are closed
  std::thread reader_;
};

}  // namespace godwit::test
