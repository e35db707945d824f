// SPDX-License-Identifier: Apache-2.0
// godwit-device: this machine as a device. The same Device that boards run, on a file as flash, with the
// machine's own sensors.
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <expected>
#include <memory>
#include <optional>
#include <string>

#include "boards/common/boot_number.h"
#include "boards/common/connection.h"
#include "boards/host/console_log.h"
#include "boards/host/file_flash.h"
#include "boards/host/files.h"
#include "boards/host/host_clock.h"
#include "boards/host/host_link.h"
#include "boards/host/host_sensors.h"
#include "boards/host/tls_files.h"

namespace godwit::boards {
namespace {

constexpr std::string_view kFirmware = "godwit 0.1.0";
constexpr std::string_view kBoard = "host";
constexpr Millis kStopTimeout{5'000};
// How often the system's clock is looked at: its drift, and whether it is in step. Steps are noticed at once.
constexpr Millis kClockInterval{10'000};

constexpr std::uint32_t kDefaultFlashKib =
    FileFlash::kDefaultGeometry.sector_size_bytes / 1024 * FileFlash::kDefaultGeometry.sector_count;

struct Arguments {
  std::string id;
  std::string broker;
  TlsFiles::Paths tls;
  std::string server_name;
  std::string data;
  std::string log_level = "warning";
  std::optional<std::uint32_t> flash_kib;
  double period_s = 1;
  std::uint16_t rows = 64;
};

int complain(const std::string& what) {
  std::fprintf(stderr, "godwit-device: %s\n", what.c_str());
  return 1;
}

// SIGTERM and SIGINT as something to wait for.
UniqueFd stop_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGINT);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  return UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

int wait_ms(Instant now, Instant until) {
  return static_cast<int>(std::clamp<std::int64_t>((until - now).count(), 0, 60'000));
}

void watch(int epoll_fd, int fd, void* tag) {
  epoll_event event{.events = EPOLLIN, .data = {.ptr = tag}};
  ::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

// What the device knows of the time of day; told in the log when that changes.
struct DeviceTime {
  TimeOfDay time_of_day;
  std::optional<codec::TimeQuality> quality;

  void tell(agent::Device& device, Instant now, ports::Log& log) {
    const TimeOfDay::Told told = time_of_day.look(host_system_time());
    if (told.time) device.set_unix_time(now, *told.time);
    device.set_health(now, {.time_quality = told.quality});
    if (quality == told.quality) return;
    quality = told.quality;
    if (quality == codec::TimeQuality::kSynced) return log.write(ports::LogLevel::kInfo, "time_known", {});
    log.write(ports::LogLevel::kWarning, "time_not_confirmed",
              {{.key = "cause", .text = "nothing keeps this machine's clock in step: see timedatectl"}});
  }
};

// Until a signal comes, and then until the device has said goodbye.
void run(agent::Device& device, HostLink& link, ports::Log& log, const HostClock& clock, int epoll_fd,
         UniqueFd& signals) {
  Connection connection(device, log, link);
  watch(epoll_fd, signals.get(), &signals);
  ClockSteps steps;
  watch(epoll_fd, steps.fd(), &steps);
  DeviceTime device_time;
  std::optional<Instant> stopped;
  Instant clock_due = clock.now();
  for (;;) {
    const Instant now = clock.now();
    if (now >= clock_due) {
      device_time.tell(device, now, log);
      clock_due = now + kClockInterval;
    }
    connection.run(now);
    if (stopped && (link.is_closed() || now >= *stopped + kStopTimeout)) return;
    Instant wake = stopped ? *stopped + kStopTimeout : clock_due;
    if (const auto due = connection.next_deadline()) wake = std::min(wake, *due);
    std::array<epoll_event, 4> events;
    const int count = ::epoll_wait(epoll_fd, events.data(), events.size(), wait_ms(now, wake));
    for (int i = 0; i < count; ++i) {
      const void* const tag = events[static_cast<std::size_t>(i)].data.ptr;
      if (tag == &steps && steps.take()) clock_due = now;
      if (tag != &signals || stopped) continue;
      stopped = clock.now();
      ::epoll_ctl(epoll_fd, EPOLL_CTL_DEL, signals.get(), nullptr);
      device.stop(*stopped);
    }
  }
}

// The flash that is there keeps its size.
std::expected<std::unique_ptr<FileFlash>, std::string> open_flash(const Arguments& arguments,
                                                                  const DataDir& data, ports::Log& log) {
  ports::FlashGeometry geometry = FileFlash::kDefaultGeometry;
  if (arguments.flash_kib) geometry.sector_count = *arguments.flash_kib * 1024 / geometry.sector_size_bytes;
  auto flash = FileFlash::open(data.path() / "flash.bin", geometry);
  if (flash && arguments.flash_kib && (*flash)->geometry().sector_count != geometry.sector_count) {
    log.write(ports::LogLevel::kWarning, "flash_kib_ignored",
              {{.key = "flash_kib", .number = static_cast<std::int64_t>((*flash)->size_bytes() / 1024)},
               {.key = "cause", .text = "the flash file is there and keeps its size"}});
  }
  return flash;
}

// A start that cannot be counted, as on a disk that has become read-only, is a start all the same.
std::optional<std::uint32_t> number_start(DataDir& data, ports::Entropy& entropy, ports::Log& log) {
  const auto boot = data.count_boot();
  if (boot) return *boot;
  log.write(ports::LogLevel::kError, "start_not_counted", {{.key = "cause", .text = boot.error()}});
  return draw_boot_number(entropy);
}

int start(const Arguments& arguments) {
  const auto id = DeviceId::parse(arguments.id);
  if (!id)
    return complain("--id: 1 to 32 characters of a-z, 0-9, '.', '_' and '-', the first a letter or digit");
  const auto broker = parse_host_port(arguments.broker);
  if (!broker) return complain("--broker: HOST:PORT is wanted, for example localhost:8883");
  const auto level = parse_log_level(arguments.log_level);
  if (!level) return complain("--log: debug, info, warning or error");
  auto tls = TlsFiles::load(arguments.tls);
  if (!tls) return complain(tls.error());
  auto data = DataDir::open(arguments.data);
  if (!data) return complain(data.error());
  if (const auto claimed = data->claim(id->view()); !claimed) return complain(claimed.error());
  ConsoleLog log(*level);
  auto flash = open_flash(arguments, *data, log);
  if (!flash) return complain(flash.error());
  HostEntropy entropy;
  const auto boot = number_start(*data, entropy, log);
  if (!boot) return complain("this machine has no randomness");

  HostClock clock;
  HostSensors sensors("/", log);
  sensors.set_recording(Millis{static_cast<std::int64_t>(arguments.period_s * 1'000)}, arguments.rows);
  if (sensors.tables().empty()) return complain("nothing to measure: is /proc mounted?");
  const agent::Config config{.id = *id,
                             .firmware = kFirmware,
                             .board = kBoard,
                             .boot = *boot,
                             .reset_reason = codec::ResetReason::kPowerOn,
                             .tables = sensors.tables()};
  agent::Device device(config, {.flash = **flash, .entropy = entropy, .sensors = sensors, .log = log});
  if (const Status status = device.start(clock.now()); status != Status::kOk) {
    return complain("cannot start on " + (data->path() / "flash.bin").string() + ": " +
                    std::string(to_string(status)));
  }
  const UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  UniqueFd signals = stop_signals();
  HostLink link(epoll.get(), &device,
                {.host = broker->host,
                 .port = broker->port,
                 .tls = HostLink::Tls{.context = (*tls)->context(),
                                      .trust = (*tls)->trust(),
                                      .identity = (*tls)->identity(),
                                      .server_name = arguments.server_name}});
  log.write(ports::LogLevel::kInfo, "started",
            {{.key = "id", .text = id->view()},
             {.key = "boot", .number = *boot},
             {.key = "broker", .text = arguments.broker}});
  run(device, link, log, clock, epoll.get(), signals);
  log.write(ports::LogLevel::kInfo, "stopped",
            {{.key = "recorded", .number = static_cast<std::int64_t>(device.stats().recorded)}});
  return 0;
}

int main_of(int argc, char** argv) {
  Arguments arguments;
  CLI::App app{
      "This machine as a device: records its own load, memory, temperatures and traffic, and delivers them."};
  app.add_option("--id", arguments.id, "The device's name, as in its certificate")->required();
  app.add_option("--broker", arguments.broker, "HOST:PORT of the broker")->required();
  app.add_option("--ca", arguments.tls.ca, "The authority that the broker's certificate comes from (PEM)")
      ->required();
  app.add_option("--cert", arguments.tls.certificate, "The device's certificate (PEM)")->required();
  app.add_option("--key", arguments.tls.key, "The key of the certificate (PEM)")->required();
  app.add_option("--data", arguments.data, "Folder for what must survive a restart; made if missing")
      ->required();
  app.add_option("--server-name", arguments.server_name, "The name in the broker's certificate, if not HOST");
  app.add_option("--flash-kib", arguments.flash_kib,
                 "Size of the flash file when it is made; later it keeps its size")
      ->check(CLI::Range(8U, 1U << 20U))
      ->default_str(std::to_string(kDefaultFlashKib));
  app.add_option("--period", arguments.period_s, "Seconds between samples")
      ->check(CLI::Range(0.001, 86'400.0))
      ->capture_default_str();
  app.add_option("--rows", arguments.rows, "Samples in a record, at most")
      ->check(CLI::Range(std::size_t{1}, codec::kRowsMax))
      ->capture_default_str();
  app.add_option("--log", arguments.log_level, "debug, info, warning or error")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  return start(arguments);
}

}  // namespace
}  // namespace godwit::boards

int main(int argc, char** argv) { return godwit::boards::main_of(argc, argv); }
