// SPDX-License-Identifier: Apache-2.0
#include "tests/support/qemu_board.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace godwit::test {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;
constexpr std::chrono::seconds kTimeout{10};
constexpr std::chrono::milliseconds kCheckInterval{200};
constexpr std::size_t kTailSize = 6'000;

std::string tail(const std::string& text) {
  return text.size() <= kTailSize ? text : "...\n" + text.substr(text.size() - kTailSize);
}

// A connection to QEMU's monitor (QMP: lines of JSON over a Unix socket).
class Monitor {
 public:
  explicit Monitor(const std::filesystem::path& path)
      : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.string().copy(address.sun_path, sizeof(address.sun_path) - 1);
    const timeval limit{.tv_sec = kTimeout.count(), .tv_usec = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    const auto deadline = Clock::now() + kTimeout;
    while (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      if (Clock::now() > deadline) throw std::system_error(errno, std::generic_category(), path.string());
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  ~Monitor() { ::close(socket_); }
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  void command(const std::string& json) {
    const std::string line = json + "\n";
    if (::send(socket_, line.data(), line.size(), MSG_NOSIGNAL) < 0)
      throw std::runtime_error("QEMU's monitor");
    // Events may come before the answer.
    for (;;) {
      const std::string answer = read_line();
      if (answer.find("\"return\"") != std::string::npos) return;
      if (answer.find("\"error\"") != std::string::npos) throw std::runtime_error("QEMU: " + answer);
    }
  }

 private:
  std::string read_line() {
    std::size_t end = 0;
    while ((end = buffer_.find('\n')) == std::string::npos) {
      std::array<char, 1024> piece{};
      const ssize_t size = ::recv(socket_, piece.data(), piece.size(), 0);
      if (size <= 0) throw std::runtime_error("QEMU's monitor does not answer");
      buffer_.append(piece.data(), static_cast<std::size_t>(size));
    }
    std::string line = buffer_.substr(0, end);
    buffer_.erase(0, end + 1);
    return line;
  }

  int socket_;
  std::string buffer_;
};

}  // namespace

std::filesystem::path image_of(std::string_view name) {
  const char* const other = std::getenv("GODWIT_IMAGES_DIR");
  return std::filesystem::path(other != nullptr ? other : GODWIT_IMAGES_DIR) / name / "firmware.elf";
}

QemuBoard::QemuBoard(Options options) : options_(std::move(options)) {
  if (options_.image.empty()) options_.image = image_of(options_.model.name).string();
}

std::vector<std::string> QemuBoard::command() const {
  const QemuModel& model = options_.model;
  std::array<char, 32> mac{};
  std::snprintf(mac.data(), mac.size(), "52:54:00:67:77:%02x", options_.number & 0xFFU);
  std::vector<std::string> words{"qemu-system-arm",
                                 "-kernel",
                                 options_.image,
                                 "-display",
                                 "none",
                                 "-nodefaults",
                                 "-serial",
                                 "stdio",
                                 "-qmp",
                                 "unix:" + monitor_.string() + ",server=on,wait=off",
                                 "-netdev",
                                 "user,id=n0,ipv6=off",
                                 "-net",
                                 std::string("nic,netdev=n0,model=") + model.nic + ",macaddr=" + mac.data(),
                                 "-semihosting-config",
                                 "enable=on,target=native"};
  const std::string file = options_.storage.string();
  if (std::string_view(model.machine) == kLm3s6965.machine) {
    words.insert(words.end(), {"-M", model.machine, "-drive", "if=sd,format=raw,file=" + file});
  } else {
    words.insert(words.end(), {"-object",
                               "memory-backend-file,id=storage,share=on,mem-path=" + file +
                                   ",size=" + std::to_string(model.storage_bytes()),
                               "-M", std::string(model.machine) + ",memory-backend=storage"});
  }
  words.insert(words.end(), options_.more.begin(), options_.more.end());
  return words;
}

void QemuBoard::start() {
  power_on();
  start_by_ = Clock::now() + kStartMax;
}

void QemuBoard::start_in_vain() { power_on(); }

void QemuBoard::power_on() {
  kill();
  if (!std::filesystem::exists(options_.image))
    throw std::runtime_error("there is no image " + options_.image);
  monitor_ = dir_.path() / ("qmp-" + std::to_string(++starts_));
  if (monitor_.string().size() >= sizeof(sockaddr_un::sun_path))
    throw std::runtime_error(monitor_.string() +
                             " is too long for a Unix socket: set TMPDIR to a shorter path");
  process_ = std::make_unique<Process>(command());
}

void QemuBoard::kill() {
  if (process_ == nullptr) return;
  process_->signal(SIGKILL);
  static_cast<void>(process_->wait(kTimeout));
  past_log_ = tail(past_log_ + "--- start " + std::to_string(starts_) + ":\n" + process_->log());
  process_.reset();
  start_by_.reset();
}

void QemuBoard::check() {
  if (process_ == nullptr) return;
  if (process_->wait(std::chrono::milliseconds(0)))
    throw std::runtime_error("QEMU has ended:\n" + log_tail());
  if (!start_by_) return;
  const std::string said = console();
  if (said.find("event=not_started") != std::string::npos || (said.empty() && Clock::now() > *start_by_))
    throw std::runtime_error("the board does not start:\n" + log_tail());
}

void QemuBoard::monitor(const std::string& command) {
  Monitor monitor(monitor_);
  monitor.command(R"({"execute":"qmp_capabilities"})");
  monitor.command(command);
}

void QemuBoard::set_link(bool up) {
  monitor(std::string(R"({"execute":"set_link","arguments":{"name":"n0","up":)") +
          (up ? "true}}" : "false}}"));
}

void QemuBoard::type(std::string_view line) { process_->write_stdin(std::string(line) + "\n"); }

std::optional<std::string> QemuBoard::wait_for_line(std::string_view text, std::chrono::milliseconds timeout,
                                                    std::size_t from) {
  const auto deadline = Clock::now() + timeout;
  for (;;) {
    check();
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    const auto line = process_->wait_for_line(text, std::clamp(left, 0ms, kCheckInterval), from);
    if (line || left <= 0ms) return line;
  }
}

std::string QemuBoard::console() const { return process_ == nullptr ? "" : process_->log(); }

std::map<std::string, std::string> QemuBoard::status() {
  // The answer is over when the command after it is answered. A board that is resetting drops what is typed.
  constexpr std::string_view kEnd = "no such command: end-of-status";
  const auto deadline = Clock::now() + kTimeout;
  std::size_t from = 0;
  do {
    if (Clock::now() > deadline) throw std::runtime_error("no answer on the console:\n" + log_tail());
    from = console().size();
    type("status\nend-of-status");
  } while (!wait_for_line(kEnd, std::chrono::seconds(2), from));
  std::istringstream answer(console().substr(from));
  std::map<std::string, std::string> values;
  for (std::string line; std::getline(answer, line);) {
    if (line.ends_with('\r')) line.pop_back();
    const std::size_t equals = line.find('=');
    // Lines of the log have many of them.
    if (equals == std::string::npos || line.find(' ') != std::string::npos) continue;
    values[line.substr(0, equals)] = line.substr(equals + 1);
  }
  return values;
}

std::string QemuBoard::wait_for_status(const std::string& key, const std::string& value,
                                       std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  for (;;) {
    const std::string now = status()[key];
    if (now == value || Clock::now() > deadline) return now;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

std::uint64_t QemuBoard::wait_for_count(const std::string& key, std::uint64_t count,
                                        std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  for (;;) {
    const std::uint64_t now = this->count(key);
    if (now >= count || Clock::now() > deadline) return now;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

std::uint64_t QemuBoard::count(const std::string& key) {
  const std::string value = status()[key];
  return value.empty() ? 0 : std::stoull(value);
}

std::string QemuBoard::log_tail() const { return tail(past_log_) + "--- now:\n" + tail(console()); }

}  // namespace godwit::test
