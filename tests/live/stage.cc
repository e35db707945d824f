// SPDX-License-Identifier: Apache-2.0
#include "tests/live/stage.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <stdexcept>
#include <thread>

namespace godwit::live {
namespace {

// For what a run stores; full when told to be.
constexpr const char* kDiskOptions = "size=256m,mode=0700";
// Certificates are good for so long, whatever the gateway's clock shows.
constexpr std::int64_t kClockAheadMax_s = 12 * 3'600;
// Where Debian has it; the environment's GODWIT_FAKETIME names another one.
constexpr std::array kFaketimeLibraries{"/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
                                        "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"};

void replace_once(const std::filesystem::path& file, const std::string& old, const std::string& text) {
  std::string content = test::read_file(file);
  const std::size_t at = content.find(old);
  if (at == std::string::npos) throw std::runtime_error(file.string() + " does not say " + old);
  content.replace(at, old.size(), text);
  std::ofstream(file) << content;
}

void copy_files(const std::filesystem::path& from, const std::filesystem::path& to) {
  for (const auto& old : std::filesystem::directory_iterator(to)) std::filesystem::remove_all(old);
  std::filesystem::copy(from, to, std::filesystem::copy_options::recursive);
}

}  // namespace

Stage::Stage(const std::filesystem::path& logs)
    : devices_(gateway_.mqtt_port()), upstream_(gateway_.mqtt_port()), followers_(gateway_.http_port()) {
  gateway_.keep_logs_in(logs);
  replace_once(gateway_.dir() / "gateway.toml", "port = " + std::to_string(gateway_.mqtt_port()),
               "port = " + std::to_string(upstream_.port()));
  std::filesystem::create_directory(dir_.path() / "copy");
  mount_small_disk();
  find_faketime();
  gateway_.start_broker();
  launch();
}

Stage::~Stage() {
  gateway_.kill_gateway();
  gateway_.kill_broker();
  if (small_disk_) ::umount2(data().c_str(), MNT_DETACH);
}

// In a mount namespace of this thread and its children: whatever happens, the mount goes with them.
void Stage::mount_small_disk() {
  std::filesystem::create_directory(data());
  small_disk_ = ::unshare(CLONE_NEWNS) == 0 &&
                ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                ::mount("godwit-live", data().c_str(), "tmpfs", MS_NOSUID | MS_NODEV, kDiskOptions) == 0;
  if (!small_disk_)
    skipped_.push_back(std::string("a disk that is full (") + std::strerror(errno) +
                       "; needs the rights of root): files that may not grow take its place");
}

void Stage::find_faketime() {
  std::vector<const char*> libraries(kFaketimeLibraries.begin(), kFaketimeLibraries.end());
  if (const char* const other = std::getenv("GODWIT_FAKETIME")) libraries.insert(libraries.begin(), other);
  for (const char* const library : libraries) {
    if (::access(library, R_OK) != 0) continue;
    faketime_ = true;
    write_clock(0);
    environment_.environment = {{"LD_PRELOAD", library},
                                {"FAKETIME_TIMESTAMP_FILE", (dir_.path() / "clock").string()},
                                {"FAKETIME_CACHE_DURATION", "1"},
                                {"FAKETIME_DONT_FAKE_MONOTONIC", "1"},
                                {"DONT_FAKE_MONOTONIC", "1"}};
    return;
  }
  skipped_.push_back("steps of the gateway's clock: the package faketime is not installed");
}

void Stage::write_clock(std::int64_t ahead_s) {
  const std::filesystem::path next = dir_.path() / "clock.next";
  std::ofstream(next) << "+" << ahead_s << "s\n";
  std::filesystem::rename(next, dir_.path() / "clock");
}

void Stage::launch() { gateway_.launch_gateway(environment_); }

void Stage::kill_gateway(const Fault& fault) {
  gateway_.kill_gateway();
  const bool both = fault.random % 4 == 0;
  if (both) gateway_.kill_broker();
  std::this_thread::sleep_for(fault.time);
  if (both) {
    gateway_.start_broker();
    ++done_["broker_kill"];
  }
  launch();
}

void Stage::stop_for(test::Process& process, Millis time) {
  process.signal(SIGSTOP);
  std::this_thread::sleep_for(time);
  process.signal(SIGCONT);
}

void Stage::fill_disk(Millis time) {
  if (!small_disk_) {
    rlimit limit{};
    const int pid = gateway_.gateway().pid();
    ::prlimit(pid, RLIMIT_FSIZE, nullptr, &limit);
    const rlimit full{.rlim_cur = std::filesystem::file_size(data() / "godwit.db-wal"),
                      .rlim_max = limit.rlim_max};
    ::prlimit(pid, RLIMIT_FSIZE, &full, nullptr);
    std::this_thread::sleep_for(time);
    ::prlimit(pid, RLIMIT_FSIZE, &limit, nullptr);
    return;
  }
  const std::filesystem::path filler = data() / "filler";
  const int file = ::open(filler.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  static constexpr std::array<char, 65'536> kBlock{};
  while (::write(file, kBlock.data(), kBlock.size()) > 0) continue;
  ::close(file);
  std::this_thread::sleep_for(time);
  std::filesystem::remove(filler);
}

void Stage::restore() {
  gateway_.kill_gateway();
  copy_files(dir_.path() / "copy", data());
  launch();
}

void Stage::upset_links(const Fault& fault) {
  std::mt19937_64 random(fault.random);
  for (test::TcpProxy* const proxy : {&devices_, &upstream_, &followers_}) {
    if (random() % 3 == 0) continue;  // not all of them, always
    if (fault.kind == FaultKind::kLinksCut) {
      proxy->cut();
      // Then somewhere: in a handshake, in a packet.
      proxy->cut_after(1 + random() % 20'000, 1 + random() % 4);
    }
    if (fault.kind == FaultKind::kLinksStall) proxy->set_stalled(true);
    if (fault.kind == FaultKind::kLinksSlow) proxy->set_rate(1'000 + random() % 20'000);
  }
  links_upset_until_ = Clock::now() + fault.time;
}

void Stage::tend() {
  if (Clock::now() < links_upset_until_) return;
  for (test::TcpProxy* const proxy : {&devices_, &upstream_, &followers_}) {
    proxy->set_stalled(false);
    proxy->set_rate(0);
  }
}

void Stage::calm() {
  links_upset_until_ = {};
  tend();
  for (test::TcpProxy* const proxy : {&devices_, &upstream_, &followers_}) proxy->cut_after(0, 0);
  if (faketime_) write_clock(0);
  if (gateway_.wait_for_body("/readyz", "\"ready\"", std::chrono::seconds(60)).find("\"ready\"") ==
      std::string::npos)
    throw std::runtime_error("godwit-gateway does not get ready after the last fault:\n" +
                             gateway_.log_tail());
}

void Stage::befall(const Fault& fault) {
  switch (fault.kind) {
    case FaultKind::kGatewayKill:
      kill_gateway(fault);
      break;
    case FaultKind::kBrokerKill:
      gateway_.kill_broker();
      std::this_thread::sleep_for(fault.time);
      gateway_.start_broker();
      break;
    case FaultKind::kGatewayStop:
      stop_for(gateway_.gateway(), fault.time);
      break;
    case FaultKind::kBrokerStop:
      stop_for(gateway_.broker(), fault.time);
      break;
    case FaultKind::kLinksCut:
    case FaultKind::kLinksStall:
    case FaultKind::kLinksSlow:
      upset_links(fault);
      break;
    case FaultKind::kDiskFull:
      fill_disk(fault.time);
      break;
    case FaultKind::kClock:
      if (!faketime_) return;
      write_clock(static_cast<std::int64_t>(fault.random % kClockAheadMax_s));
      break;
    case FaultKind::kBackup:
      gateway_.kill_gateway();
      copy_files(data(), dir_.path() / "copy");
      has_copy_ = true;
      launch();
      break;
    case FaultKind::kRestore:
      if (!has_copy_) return;
      restore();
      break;
    case FaultKind::kBoardPowerCut:
      return;  // not on this stage
  }
  ++done_[std::string(name_of(fault.kind))];
}

std::uint64_t Stage::done(FaultKind kind) const {
  const auto found = done_.find(std::string(name_of(kind)));
  return found == done_.end() ? 0 : found->second;
}

}  // namespace godwit::live
