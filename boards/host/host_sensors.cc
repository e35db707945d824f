// SPDX-License-Identifier: Apache-2.0
#include "boards/host/host_sensors.h"

#include <algorithm>
#include <charconv>

#include "boards/host/files.h"

namespace godwit::boards {
namespace {

constexpr std::size_t kDurable = 0;
constexpr std::size_t kLive = 1;
constexpr Millis kDurablePeriod{1'000};
constexpr std::uint16_t kDurableRows = 64;
constexpr Millis kLivePeriod{200};
constexpr std::size_t kNameSizeMax = 24;

std::string read_or_empty(const std::filesystem::path& path) { return read_text_file(path).value_or(""); }

std::string trimmed(std::string text) {
  text.erase(text.find_last_not_of(" \t\n") + 1);
  return text;
}

std::vector<std::filesystem::path> sorted_entries(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> entries;
  std::error_code error;  // a machine without this folder has none
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    entries.push_back(entry->path());
  }
  std::ranges::sort(entries);
  return entries;
}

// What a channel name may hold; "temp." is in front of it.
std::string channel_name(std::string_view text) {
  std::string name = "temp.";
  for (const char c : text) {
    const bool upper = c >= 'A' && c <= 'Z';
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.';
    name += upper ? static_cast<char>(c - 'A' + 'a') : plain ? c : '_';
  }
  return name.substr(0, kNameSizeMax);
}

// In thousandths of a degree.
std::optional<std::int64_t> read_temperature(const std::filesystem::path& file) {
  const std::string text = trimmed(read_or_empty(file));
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::int64_t> per_second(std::uint64_t before, std::uint64_t now, Millis interval) {
  if (now < before || interval <= Millis{0}) return std::nullopt;  // a counter went away, or started again
  return static_cast<std::int64_t>((now - before) * 1'000 / static_cast<std::uint64_t>(interval.count()));
}

// In percent of all processors together.
std::optional<std::int64_t> cpu_use(const std::optional<CpuTimes>& before,
                                    const std::optional<CpuTimes>& now) {
  // Idle time may run backwards a little on some kernels.
  if (!before || !now || now->total <= before->total || now->busy < before->busy) return std::nullopt;
  const std::uint64_t total = now->total - before->total;
  return static_cast<std::int64_t>(((now->busy - before->busy) * 100 + total / 2) / total);
}

// To the nearest multiple of `step`, counted in steps.
std::optional<std::int64_t> rounded(std::optional<std::int64_t> value, std::int64_t step) {
  if (!value) return std::nullopt;
  return (*value + (*value < 0 ? -step : step) / 2) / step;
}

constexpr std::int64_t kMegabyte = 1'000'000;
constexpr std::int64_t kKilobyte = 1'000;
constexpr std::int64_t kTenthOfMegabyte = 100'000;
constexpr std::int64_t kTenthOfDegree = 100;  // in thousandths

bool is_fast(std::string_view name) { return name.starts_with("cpu") || name.starts_with("net"); }

}  // namespace

HostSensors::HostSensors(const std::filesystem::path& root, ports::Log& log) : root_(root), log_(log) {
  find_disks();
  if (parse_load_x100(read_or_empty(root_ / "proc/loadavg"))) add(Source::kLoad, "load1");
  const Counters start = read_counters({});
  if (start.cpu) add(Source::kCpu, "cpu");
  if (parse_memory(read_or_empty(root_ / "proc/meminfo"))) {
    add(Source::kMemoryUsed, "mem.used");
    add(Source::kMemoryAvailable, "mem.available");
  }
  if (start.network) {
    add(Source::kNetworkIn, "net.rx");
    add(Source::kNetworkOut, "net.tx");
  }
  if (start.disks) {
    add(Source::kDiskIn, "disk.read");
    add(Source::kDiskOut, "disk.write");
  }
  find_temperatures();

  constexpr std::array<const char*, 2> kNames{"host", "host_live"};
  for (std::size_t i = 0; i < states_.size(); ++i) {
    if (states_[i].channels.empty()) continue;  // only the live table may be without, and it is the last
    // The names have stopped moving: their texts can be lent.
    for (std::size_t c = 0; c < states_[i].channels.size(); ++c) {
      states_[i].channels[c].name = states_[i].measured[c].name;
    }
    tables_.push_back({.contract = {.name = kNames[i],
                                    .period = i == kLive ? kLivePeriod : kDurablePeriod,
                                    .channel_class = i == kLive ? codec::ChannelClass::kLive
                                                                : codec::ChannelClass::kDurable,
                                    .channels = states_[i].channels,
                                    .rows_max = 1}});
  }
  set_recording(kDurablePeriod, kDurableRows);
}

void HostSensors::set_recording(Millis period, std::uint16_t rows) {
  for (telemetry::Table& table : tables_) {
    if (table.contract.channel_class == codec::ChannelClass::kLive) continue;
    table.contract.period = period;
    table.contract.rows_max = rows;
    table.age_max = telemetry::age_for(period, rows);
  }
}

void HostSensors::find_disks() {
  for (const std::filesystem::path& entry : sorted_entries(root_ / "sys/block")) {
    const std::string name = entry.filename();
    constexpr std::array<std::string_view, 6> kStacked{"loop", "ram", "zram", "dm-", "md", "sr"};
    const bool stacked =
        std::ranges::any_of(kStacked, [&](std::string_view each) { return name.starts_with(each); });
    if (!stacked) disks_.push_back(name);
  }
}

// Sensors of hwmon, by the label of the chip's maker or its number; without any, the thermal zones.
void HostSensors::find_temperatures() {
  std::vector<Measured> found;
  for (const std::filesystem::path& chip : sorted_entries(root_ / "sys/class/hwmon")) {
    const std::string chip_name = trimmed(read_or_empty(chip / "name"));
    for (const std::filesystem::path& file : sorted_entries(chip)) {
      const std::string name = file.filename();
      if (!name.starts_with("temp") || !name.ends_with("_input")) continue;
      const std::string number = name.substr(4, name.size() - 4 - 6);
      const std::string label = trimmed(read_or_empty(chip / ("temp" + number + "_label")));
      found.push_back({.source = Source::kTemperature,
                       .name = channel_name(label.empty() ? chip_name + "." + number : label),
                       .file = file});
    }
  }
  if (found.empty()) {
    for (const std::filesystem::path& zone : sorted_entries(root_ / "sys/class/thermal")) {
      if (!zone.filename().string().starts_with("thermal_zone")) continue;
      found.push_back({.source = Source::kTemperature,
                       .name = channel_name(trimmed(read_or_empty(zone / "type"))),
                       .file = zone / "temp"});
    }
  }
  for (Measured& each : found) {
    TableState& state = states_[kDurable];
    const bool taken =
        std::ranges::any_of(state.measured, [&](const Measured& m) { return m.name == each.name; });
    if (taken || state.measured.size() == codec::kChannelsMax || !read_temperature(each.file)) continue;
    state.measured.push_back(std::move(each));
    state.channels.push_back({.name = {}, .unit = "Cel", .exponent = -1});
  }
}

// What a source is announced as. Coarse on purpose: a bit below what a reader needs costs a bit a sample, in
// flash and on the link. Steps and priors are those of sim/data/host.csv (`codec_bench --priors 16`).
void HostSensors::add(Source source, std::string name) {
  codec::Channel channel;
  switch (source) {
    case Source::kLoad:
      channel = {.name = {}, .unit = "1", .exponent = -2, .prior = 0x0400'0000'0159'CDF1};
      break;
    case Source::kCpu:
      channel = {.name = {}, .unit = "%", .min = 0, .max = 100, .prior = 0x8300'0000'129D'DDC8};
      break;
    case Source::kMemoryUsed:
    case Source::kMemoryAvailable:
      channel = {.name = {}, .unit = "By", .exponent = 6, .prior = 0x8700'0001'8BCD'EFFF};
      break;
    case Source::kNetworkIn:
      channel = {.name = {}, .unit = "By/s", .exponent = 3, .prior = 0x8100'0120'ECEF'FFFC};
      break;
    case Source::kNetworkOut:
      channel = {.name = {}, .unit = "By/s", .exponent = 3, .prior = 0x7100'0001'06BD'CEFC};
      break;
    case Source::kDiskIn:
    case Source::kDiskOut:
      channel = {.name = {}, .unit = "By/s", .exponent = 5, .prior = 0x8400'0011'9BCE'FFFE};
      break;
    case Source::kTemperature:
      return;  // see find_temperatures()
  }
  for (const std::size_t table : {kDurable, kLive}) {
    if (table == kLive && !is_fast(name)) continue;
    states_[table].measured.push_back({.source = source, .name = name});
    states_[table].channels.push_back(channel);
  }
}

HostSensors::Counters HostSensors::read_counters(Instant now) const {
  return {.at = now,
          .cpu = parse_cpu_times(read_or_empty(root_ / "proc/stat")),
          .network = parse_network(read_or_empty(root_ / "proc/net/dev")),
          .disks = parse_disks(read_or_empty(root_ / "proc/diskstats"), disks_)};
}

Status HostSensors::sample(std::size_t table, Instant now, std::span<std::int64_t> row) {
  if (table >= tables_.size() || row.size() != states_[table].measured.size())
    return Status::kInvalidArgument;
  TableState& state = states_[table];
  const Counters current = read_counters(now);
  const bool first = !state.before;
  for (std::size_t i = 0; i < row.size(); ++i) {
    Measured& measured = state.measured[i];
    const auto value = measure(measured, current, state.before);
    // In the first row a rate has none yet, nor has the processor's use between two ticks of the kernel.
    const bool has_none = first || (measured.source == Source::kCpu && current.cpu);
    if (!value && !has_none && !measured.failed)
      log_.write(ports::LogLevel::kWarning, "sensor_failed", {{.key = "channel", .text = measured.name}});
    measured.failed = !value && !has_none;
    row[i] = value.value_or(codec::kMissing);
  }
  state.before = current;
  return Status::kOk;
}

std::optional<std::int64_t> HostSensors::measure(const Measured& measured, const Counters& current,
                                                 const std::optional<Counters>& before) const {
  const auto memory = [&](std::uint64_t Memory::* which) -> std::optional<std::int64_t> {
    const auto reading = parse_memory(read_or_empty(root_ / "proc/meminfo"));
    if (!reading) return std::nullopt;
    return rounded(static_cast<std::int64_t>((*reading).*which), kMegabyte);
  };
  const auto rate = [&](std::optional<Traffic> Counters::* counter, std::uint64_t Traffic::* direction,
                        std::int64_t step) {
    const auto earlier = before ? (*before).*counter : std::nullopt;
    const auto later = current.*counter;
    if (!earlier || !later) return std::optional<std::int64_t>();
    return rounded(per_second((*earlier).*direction, (*later).*direction, current.at - before->at), step);
  };
  switch (measured.source) {
    case Source::kLoad:
      return parse_load_x100(read_or_empty(root_ / "proc/loadavg"));
    case Source::kCpu:
      return before ? cpu_use(before->cpu, current.cpu) : std::nullopt;
    case Source::kMemoryUsed:
      return memory(&Memory::used_bytes);
    case Source::kMemoryAvailable:
      return memory(&Memory::available_bytes);
    case Source::kNetworkIn:
      return rate(&Counters::network, &Traffic::in_bytes, kKilobyte);
    case Source::kNetworkOut:
      return rate(&Counters::network, &Traffic::out_bytes, kKilobyte);
    case Source::kDiskIn:
      return rate(&Counters::disks, &Traffic::in_bytes, kTenthOfMegabyte);
    case Source::kDiskOut:
      return rate(&Counters::disks, &Traffic::out_bytes, kTenthOfMegabyte);
    case Source::kTemperature:
      return rounded(read_temperature(measured.file), kTenthOfDegree);
  }
  return std::nullopt;
}

}  // namespace godwit::boards
