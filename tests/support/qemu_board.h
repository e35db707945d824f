// SPDX-License-Identifier: Apache-2.0
// A board that QEMU plays: a firmware image, a file as its storage, a network whose 10.0.2.2 is this
// machine's loopback, and a serial console. It can be killed as a power cut does and started again on the
// same storage.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "firmware/ports/flash.h"
#include "tests/support/process.h"

namespace godwit::test {

// A kind of board: boards/<name>.
struct QemuModel {
  const char* name = "";
  const char* machine = "";
  const char* nic = "";
  std::uint32_t clock_hz = 0;
  ports::FlashGeometry storage{};  // of the whole file; QEMU takes powers of two only

  [[nodiscard]] std::uint64_t storage_bytes() const {
    return std::uint64_t{storage.sector_size_bytes} * storage.sector_count;
  }
};
// An SD card, as small as is useful.
inline constexpr QemuModel kLm3s6965{
    .name = "qemu_lm3s6965",
    .machine = "lm3s6965evb",
    .nic = "stellaris",
    .clock_hz = 50'000'000,
    .storage = {.sector_size_bytes = 16'384, .sector_count = 64, .program_size_bytes = 512}};
// All of the board's PSRAM.
inline constexpr QemuModel kMps2An385{
    .name = "qemu_mps2_an385",
    .machine = "mps2-an385",
    .nic = "lan9118",
    .clock_hz = 25'000'000,
    .storage = {.sector_size_bytes = 4'096, .sector_count = 4'096, .program_size_bytes = 16}};

// The image that the build has made; the environment's GODWIT_IMAGES_DIR names another folder to take it
// from.
[[nodiscard]] std::filesystem::path image_of(std::string_view name);

class QemuBoard {
 public:
  // A board says who it is in 0.1 s, when the machine has time for it.
  static constexpr std::chrono::seconds kStartMax{20};

  struct Options {
    const QemuModel& model;
    std::filesystem::path storage;  // must exist, with model.storage_bytes()
    unsigned number = 1;            // makes its MAC address: no two alike on one network
    std::string image;              // another one than the model's
    std::vector<std::string> more;  // further arguments of QEMU
  };

  // Nothing runs yet.
  explicit QemuBoard(Options options);

  // Power on. Throws if QEMU does not start. What the image does is seen later: whatever waits below throws
  // as soon as QEMU has ended, the console says what keeps the board from starting, or nothing for kStartMax.
  void start();
  // Power on of a board that cannot start: only QEMU must run.
  void start_in_vain();
  // SIGKILL to QEMU: power off at this moment. The storage file keeps what was written.
  void kill();
  // Throws what keeps it from running, as above. Nothing to say of one that is off.
  void check();

  // The network cable.
  void set_link(bool up);

  // The console. A line is sent with its end.
  void type(std::string_view line);
  // As Process::wait_for_line(), in what this start has printed; `from` as console().size().
  [[nodiscard]] std::optional<std::string> wait_for_line(std::string_view text,
                                                         std::chrono::milliseconds timeout,
                                                         std::size_t from = 0);
  // What this start has printed.
  [[nodiscard]] std::string console() const;
  // What the console's command `status` says now, by key. Throws if it does not answer.
  [[nodiscard]] std::map<std::string, std::string> status();
  // Waits until `status` says key=value. Returns the last value at the deadline.
  [[nodiscard]] std::string wait_for_status(const std::string& key, const std::string& value,
                                            std::chrono::milliseconds timeout);
  // One number of `status`; 0 while it is not there.
  [[nodiscard]] std::uint64_t count(const std::string& key);
  // Waits until it is `count` or more. Returns the last one at the deadline.
  [[nodiscard]] std::uint64_t wait_for_count(const std::string& key, std::uint64_t count,
                                             std::chrono::milliseconds timeout);

  // What all starts have printed, the oldest cut off.
  [[nodiscard]] std::string log_tail() const;
  [[nodiscard]] const Options& options() const { return options_; }

 private:
  void power_on();
  [[nodiscard]] std::vector<std::string> command() const;
  // One command of QEMU's monitor, as JSON; throws if it is refused.
  void monitor(const std::string& command);

  Options options_;
  TempDir dir_;
  std::filesystem::path monitor_;
  std::string past_log_;
  unsigned starts_ = 0;
  std::optional<std::chrono::steady_clock::time_point> start_by_;  // of a board that is to start
  std::unique_ptr<Process> process_;
};

}  // namespace godwit::test
