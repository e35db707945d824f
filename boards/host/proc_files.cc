// SPDX-License-Identifier: Apache-2.0
// The kernel's text files of proc(5), taken apart.
#include <algorithm>
#include <charconv>

#include "boards/host/host_sensors.h"

namespace godwit::boards {
namespace {

constexpr std::uint64_t kSectorBytes = 512;  // of /proc/diskstats, whatever the disk's own

// The next word, which leaves `text`; empty at the end.
std::string_view take_word(std::string_view& text) {
  constexpr std::string_view kBlank = " \t";
  const std::size_t start = std::min(text.find_first_not_of(kBlank), text.size());
  text.remove_prefix(start);
  const std::string_view word = text.substr(0, text.find_first_of(kBlank));
  text.remove_prefix(word.size());
  return word;
}

std::string_view take_line(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(line.size() + 1, text.size()));
  return line;
}

std::optional<std::uint64_t> number(std::string_view word) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (word.empty() || error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
  return value;
}

// The word of this index, counted from 0.
std::optional<std::uint64_t> number_at(std::string_view line, int index) {
  for (; index > 0; --index) take_word(line);
  return number(take_word(line));
}

}  // namespace

std::optional<std::int64_t> parse_load_x100(std::string_view loadavg) {
  // "0.08 0.03 0.01 1/123 4567": always two digits after the point.
  const std::string_view word = take_word(loadavg);
  const std::size_t point = word.find('.');
  if (point == std::string_view::npos || word.size() - point != 3) return std::nullopt;
  const auto whole = number(word.substr(0, point));
  const auto hundredths = number(word.substr(point + 1));
  if (!whole || !hundredths) return std::nullopt;
  return static_cast<std::int64_t>(*whole * 100 + *hundredths);
}

std::optional<CpuTimes> parse_cpu_times(std::string_view stat) {
  // "cpu  user nice system idle iowait irq softirq steal guest guest_nice"; guest time is part of user time.
  std::string_view line = take_line(stat);
  if (take_word(line) != "cpu") return std::nullopt;
  constexpr int kIdle = 3;
  constexpr int kIowait = 4;
  constexpr int kCounted = 8;
  CpuTimes times;
  for (int i = 0; i < kCounted; ++i) {
    const auto ticks = number(take_word(line));
    if (!ticks && i <= kIdle) return std::nullopt;
    times.total += ticks.value_or(0);
    if (i != kIdle && i != kIowait) times.busy += ticks.value_or(0);
  }
  return times;
}

std::optional<Memory> parse_memory(std::string_view meminfo) {
  std::optional<std::uint64_t> total_kb;
  std::optional<std::uint64_t> available_kb;
  while (!meminfo.empty()) {
    std::string_view line = take_line(meminfo);
    const std::string_view name = take_word(line);
    if (name == "MemTotal:") total_kb = number(take_word(line));
    if (name == "MemAvailable:") available_kb = number(take_word(line));
  }
  if (!total_kb || !available_kb || *available_kb > *total_kb) return std::nullopt;
  return Memory{.used_bytes = (*total_kb - *available_kb) * 1024, .available_bytes = *available_kb * 1024};
}

std::optional<Traffic> parse_network(std::string_view net_dev) {
  // Two lines of heading, then "name: bytes packets errs drop fifo frame compressed multicast bytes ...".
  constexpr int kSent = 8;
  std::optional<Traffic> sum;
  while (!net_dev.empty()) {
    const std::string_view line = take_line(net_dev);
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    std::string_view name = line.substr(0, colon);
    const std::string_view counters = line.substr(colon + 1);
    const auto received = number_at(counters, 0);
    const auto sent = number_at(counters, kSent);
    if (take_word(name) == "lo" || !received || !sent) continue;
    if (!sum) sum.emplace();
    sum->in_bytes += *received;
    sum->out_bytes += *sent;
  }
  return sum;
}

std::optional<Traffic> parse_disks(std::string_view diskstats, std::span<const std::string> disks) {
  // "major minor name reads merged sectors_read ms writes merged sectors_written ms ..."
  constexpr int kName = 2;
  constexpr int kSectorsRead = 5;
  constexpr int kSectorsWritten = 9;
  std::optional<Traffic> sum;
  while (!diskstats.empty()) {
    const std::string_view line = take_line(diskstats);
    std::string_view rest = line;
    for (int i = 0; i < kName; ++i) take_word(rest);
    const std::string_view name = take_word(rest);
    if (std::ranges::find(disks, name) == disks.end()) continue;
    const auto read = number_at(line, kSectorsRead);
    const auto written = number_at(line, kSectorsWritten);
    if (!read || !written) continue;
    if (!sum) sum.emplace();
    sum->in_bytes += *read * kSectorBytes;
    sum->out_bytes += *written * kSectorBytes;
  }
  return sum;
}

}  // namespace godwit::boards
