// SPDX-License-Identifier: Apache-2.0
// What a Linux machine can measure of itself: load, processor use, memory, temperatures, network and disk
// traffic. Found once, at the start; what cannot be read later, and a rate in the first row, is missing.
//
// Two tables: "host", durable, with everything, once a second; and "host_live", live, with what moves fast,
// five times a second. Reads of /proc and /sys take microseconds (hwmon drivers may take milliseconds) and no
// lock.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "firmware/ports/log.h"
#include "firmware/ports/sensors.h"
#include "firmware/telemetry/recorder.h"

namespace godwit::boards {

// Readings of the kernel's text files. nullopt: not in the form that is expected.
struct CpuTimes {
  std::uint64_t busy = 0;   // ticks
  std::uint64_t total = 0;  // ticks
};
struct Memory {
  std::uint64_t used_bytes = 0;
  std::uint64_t available_bytes = 0;
};
struct Traffic {
  std::uint64_t in_bytes = 0;   // received, or read
  std::uint64_t out_bytes = 0;  // sent, or written
};
[[nodiscard]] std::optional<std::int64_t> parse_load_x100(std::string_view loadavg);
[[nodiscard]] std::optional<CpuTimes> parse_cpu_times(std::string_view stat);
[[nodiscard]] std::optional<Memory> parse_memory(std::string_view meminfo);
// All interfaces but the loopback.
[[nodiscard]] std::optional<Traffic> parse_network(std::string_view net_dev);
// Only the named disks: the file lists partitions and stacked devices too, which would count twice.
[[nodiscard]] std::optional<Traffic> parse_disks(std::string_view diskstats,
                                                 std::span<const std::string> disks);

class HostSensors final : public ports::Sensors {
 public:
  // `root` stands for "/": tests put a tree of their own there. `log` must outlive the sensors.
  HostSensors(const std::filesystem::path& root, ports::Log& log);

  // For the device's configuration; valid as long as the sensors are.
  [[nodiscard]] std::span<const telemetry::Table> tables() const { return tables_; }

  // How often what is stored is sampled, and how many rows make a record; live channels stay as they are.
  // Before the device is configured with the tables.
  void set_recording(Millis period, std::uint16_t rows);

  Status sample(std::size_t table, Instant now, std::span<std::int64_t> row) override;

 private:
  enum class Source : std::uint8_t {
    kLoad,
    kCpu,
    kMemoryUsed,
    kMemoryAvailable,
    kNetworkIn,
    kNetworkOut,
    kDiskIn,
    kDiskOut,
    kTemperature,
  };
  struct Measured {
    Source source;
    std::string name;
    std::filesystem::path file = {};  // of a temperature
    bool failed = false;              // at the last sample; said once
  };
  // Counters as a table saw them last: each table has its own interval.
  struct Counters {
    Instant at{};
    std::optional<CpuTimes> cpu;
    std::optional<Traffic> network;
    std::optional<Traffic> disks;
  };
  struct TableState {
    std::vector<Measured> measured;
    std::vector<codec::Channel> channels;
    std::optional<Counters> before;
  };

  void find_disks();
  void find_temperatures();
  void add(Source source, std::string name);
  [[nodiscard]] Counters read_counters(Instant now) const;
  // In the steps that its channel announces.
  [[nodiscard]] std::optional<std::int64_t> measure(const Measured& measured, const Counters& current,
                                                    const std::optional<Counters>& before) const;

  std::filesystem::path root_;
  ports::Log& log_;
  std::vector<std::string> disks_;
  std::array<TableState, 2> states_;
  std::vector<telemetry::Table> tables_;
};

}  // namespace godwit::boards
