// SPDX-License-Identifier: Apache-2.0
#include "tests/support/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <system_error>

namespace godwit::test {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kPollInterval{5};

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

struct Pipe {
  std::array<int, 2> ends{-1, -1};
  Pipe() {
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) fail("pipe2");
  }
};

std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* path = std::getenv("PATH");
  // Debian keeps servers such as mosquitto in sbin, which is not in every user's PATH.
  std::istringstream folders(std::string(path == nullptr ? "" : path) + ":/usr/sbin:/sbin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string candidate = folder + "/" + name;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  throw std::runtime_error("no program '" + name + "' in PATH");
}

// Runs in the child between fork and exec: only async-signal-safe calls.
[[noreturn]] void run_child(char* const* arguments, char* const* environment, const char* directory, int in,
                            int out, int err, unsigned descriptors_max) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (descriptors_max > 0) {
    const rlimit limit{.rlim_cur = descriptors_max, .rlim_max = descriptors_max};
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) ::_exit(127);
  }
  ::signal(SIGPIPE, SIG_DFL);
  ::dup2(in, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  if (*directory == '\0' || ::chdir(directory) == 0) ::execve(arguments[0], arguments, environment);
  ::_exit(127);
}

}  // namespace

TempDir::TempDir() {
  std::string name = (std::filesystem::temp_directory_path() / "godwit-test-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) fail("mkdtemp");
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;  // a leftover folder in /tmp is no reason to end the test program
  std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path TempDir::write(std::string_view name, std::string_view content) const {
  const std::filesystem::path file = path_ / name;
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) fail(file.string());
  const ssize_t written = ::write(fd, content.data(), content.size());
  ::close(fd);
  if (written != static_cast<ssize_t>(content.size())) fail(file.string());
  return file;
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

std::uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof(address);
  if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    fail("free_port");
  }
  ::close(fd);
  return ntohs(address.sin_port);
}

bool wait_for_port(std::uint16_t port, std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  do {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    const sockaddr_in address = loopback(port);
    const bool open = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
    ::close(fd);
    if (open) return true;
    std::this_thread::sleep_for(kPollInterval);
  } while (Clock::now() < deadline);
  return false;
}

Process::Process(const std::vector<std::string>& command, const Options& options) {
  if (command.empty()) throw std::invalid_argument("empty command");
  std::vector<std::string> words = command;
  words[0] = find_program(command[0]);
  if (::access(words[0].c_str(), X_OK) != 0) fail(words[0]);
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);

  std::vector<std::string> settings;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (!options.environment.contains(std::string(text.substr(0, text.find('=')))))
      settings.emplace_back(text);
  }
  for (const auto& [name, value] : options.environment) settings.push_back(name + "=" + value);
  std::vector<char*> environment;
  for (std::string& setting : settings) environment.push_back(setting.data());
  environment.push_back(nullptr);

  ::signal(SIGPIPE, SIG_IGN);  // write_stdin() to a child that has ended must not end the test
  const Pipe in;
  const Pipe out;
  const Pipe err;
  pid_ = ::fork();
  if (pid_ < 0) fail("fork");
  if (pid_ == 0) {
    run_child(arguments.data(), environment.data(), options.directory.c_str(), in.ends[0], out.ends[1],
              err.ends[1], options.descriptors_max);
  }
  for (const int end : {in.ends[0], out.ends[1], err.ends[1]}) ::close(end);
  stdin_ = in.ends[1];
  reader_ =
      std::thread([this, from_out = out.ends[0], from_err = err.ends[0]] { collect(from_out, from_err); });
}

Process::~Process() {
  signal(SIGKILL);
  static_cast<void>(wait(std::chrono::seconds(30)));
  close_stdin();
  // A grandchild may hold the pipes open: then the thread ends with that one.
  reader_.join();
}

void Process::collect(int out, int err) {
  std::array<pollfd, 2> sources{pollfd{out, POLLIN, 0}, pollfd{err, POLLIN, 0}};
  std::array<char, 4096> buffer{};
  while (sources[0].fd >= 0 || sources[1].fd >= 0) {
    if (::poll(sources.data(), sources.size(), -1) < 0 && errno != EINTR) break;
    for (pollfd& source : sources) {
      if (source.fd < 0 || source.revents == 0) continue;
      const ssize_t size = ::read(source.fd, buffer.data(), buffer.size());
      if (size < 0 && errno == EINTR) continue;
      const std::lock_guard lock(mutex_);
      if (size <= 0) {
        ::close(source.fd);
        source.fd = -1;
      } else {
        const std::string_view text(buffer.data(), static_cast<std::size_t>(size));
        if (source.fd == out) output_ += text;
        log_ += text;
      }
      changed_.notify_all();
    }
  }
  const std::lock_guard lock(mutex_);
  finished_ = true;
  changed_.notify_all();
}

void Process::write_stdin(std::string_view text) {
  while (!text.empty()) {
    const ssize_t size = ::write(stdin_, text.data(), text.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) fail("write to child");
    text.remove_prefix(static_cast<std::size_t>(size));
  }
}

void Process::close_stdin() {
  if (stdin_ >= 0) ::close(stdin_);
  stdin_ = -1;
}

std::optional<std::string> Process::wait_for_line(std::string_view text, std::chrono::milliseconds timeout,
                                                  std::size_t from) {
  std::unique_lock lock(mutex_);
  std::optional<std::string> line;
  const auto found = [&] {
    const std::size_t at = log_.find(text, from);
    if (at == std::string::npos) return false;
    const std::size_t end = log_.find('\n', at);
    if (end == std::string::npos && !finished_) return false;  // the line is not complete yet
    const std::size_t start = at == 0 ? std::string::npos : log_.rfind('\n', at - 1);
    const std::size_t first = start == std::string::npos ? 0 : start + 1;
    line = log_.substr(first, end == std::string::npos ? end : end - first);
    return true;
  };
  changed_.wait_for(lock, timeout, [&] { return found() || finished_; });
  return line;
}

std::string Process::output() const {
  const std::lock_guard lock(mutex_);
  return output_;
}

std::string Process::log() const {
  const std::lock_guard lock(mutex_);
  return log_;
}

void Process::signal(int number) {
  if (!status_) ::kill(pid_, number);
}

std::optional<int> Process::wait(std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  while (!status_) {
    int status = 0;
    const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
    if (ended < 0 && errno != EINTR) fail("waitpid");
    if (ended == pid_) {
      status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      break;
    }
    if (Clock::now() >= deadline) return std::nullopt;
    std::this_thread::sleep_for(kPollInterval);
  }
  // What it wrote last is still in the pipes; a grandchild may keep them open.
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::seconds(1), [this] { return finished_; });
  return status_;
}

int Process::stop(std::chrono::milliseconds timeout) {
  signal(SIGTERM);
  if (!wait(timeout)) {
    signal(SIGKILL);
    static_cast<void>(wait(std::chrono::seconds(30)));
  }
  return status_.value_or(-1);
}

}  // namespace godwit::test
