// SPDX-License-Identifier: Apache-2.0
#include "sim/fleet/ledger.h"

#include <cjson/cJSON.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <memory>
#include <span>
#include <stdexcept>

namespace godwit::sim {
namespace {

using Json = std::unique_ptr<cJSON, decltype(&cJSON_Delete)>;

std::string_view text_of(const cJSON* object, const char* name) {
  const cJSON* item = cJSON_GetObjectItemCaseSensitive(object, name);
  return cJSON_IsString(item) ? item->valuestring : "";
}

std::uint64_t number_of(const cJSON* object, const char* name, std::uint64_t missing) {
  const cJSON* item = cJSON_GetObjectItemCaseSensitive(object, name);
  return cJSON_IsNumber(item) ? static_cast<std::uint64_t>(item->valuedouble) : missing;
}

std::int64_t to_raw(double value, int exponent) { return std::llround(value * std::pow(10.0, -exponent)); }

double percentile(std::vector<double>& sorted, double share) {
  if (sorted.empty()) return 0;
  const auto index = static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1));
  return sorted[index];
}

}  // namespace

// One object of the log, as far as the ledger needs it. Borrows from the parsed JSON.
struct Ledger::Item {
  std::string_view type;
  std::string_view device;
  std::uint64_t epoch = 0;
  std::uint64_t seq = 0;
  std::uint64_t count = 1;  // entries that it stands for
  bool refuses = false;
  const cJSON* channels = nullptr;

  static Item of(const cJSON* object) {
    Item item{.type = text_of(object, "type"),
              .device = text_of(object, "device"),
              .seq = number_of(object, "seq", 0),
              .count = number_of(object, "count", 1),
              .channels = cJSON_GetObjectItemCaseSensitive(object, "channels")};
    const std::string_view epoch = text_of(object, "epoch");
    std::from_chars(epoch.data(), epoch.data() + epoch.size(), item.epoch, 16);
    item.refuses = text_of(object, "reason").starts_with("refused_");
    if (item.refuses) item.count = 1;
    return item;
  }
  [[nodiscard]] bool is_record() const { return type == "telemetry"; }
  [[nodiscard]] bool is_mark() const { return type == "epoch"; }
  // Of entries that will never come. A refusal is an entry itself.
  [[nodiscard]] bool is_loss() const { return type == "loss" && !refuses; }
  [[nodiscard]] bool is_entry() const { return seq != 0 && (is_record() || is_mark() || type == "loss"); }
};

void Ledger::add_device(const std::string& id, const SyntheticSensors* sensors) {
  const std::lock_guard lock(mutex_);
  devices_[id].sensors = sensors;
}

void Ledger::recorded(const std::string& id, Epoch epoch, Seq next) { extend(id, epoch, next); }

void Ledger::recovered(const std::string& id, Seq next) { extend(id, Epoch{}, next); }

void Ledger::extend(const std::string& id, Epoch epoch, Seq next) {
  const auto now = Clock::now();
  const std::lock_guard lock(mutex_);
  Device& device = devices_[id];
  if (next < device.next) forgotten_ += device.next - next;
  for (; device.next < next; device.next = device.next + 1) {
    device.appended.push_back(now);
    device.epochs.push_back(epoch);
  }
}

void Ledger::acked(const std::string& id, Seq next) {
  const std::lock_guard lock(mutex_);
  Device& device = devices_[id];
  device.acked = std::max(device.acked, next);
}

void Ledger::received(const EventFollower::Event& event) {
  const auto now = Clock::now();
  const Json json(cJSON_Parse(event.data.c_str()), &cJSON_Delete);
  const Item item = Item::of(json.get());
  const std::lock_guard lock(mutex_);
  if (event.type == "gap") ++sse_gaps_;
  std::from_chars(event.id.data(), event.id.data() + event.id.size(), last_offset_);
  const auto device = devices_.find(item.device);
  if (device == devices_.end() || !item.is_entry()) return;
  ++sse_events_;
  Device& stream = device->second;
  if (item.seq != stream.feed_next.value) {
    sse_gaps_ += item.seq > stream.feed_next.value ? item.seq - stream.feed_next.value : 1;
  }
  stream.feed_next = std::max(stream.feed_next, Seq{item.seq + item.count});
  if (item.is_record() && item.seq >= 1 && item.seq <= stream.appended.size()) {
    latencies_ms_.push_back(
        std::chrono::duration<double, std::milli>(now - stream.appended[item.seq - 1]).count());
  }
}

std::int64_t Ledger::last_offset() const {
  const std::lock_guard lock(mutex_);
  return last_offset_;
}

bool Ledger::all_acked() const { return acked_count() == recorded_count(); }

std::uint64_t Ledger::recorded_count() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t count = 0;
  for (const auto& [id, device] : devices_) count += device.next - kFirstSeq;
  return count;
}

std::uint64_t Ledger::acked_count() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t count = 0;
  for (const auto& [id, device] : devices_) count += std::min(device.acked, device.next) - kFirstSeq;
  return count;
}

std::uint64_t Ledger::received_count() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t count = 0;
  for (const auto& [id, device] : devices_) count += device.feed_next - kFirstSeq;
  return count;
}

// The counter channel says which rows these are; the sensors say what they must hold.
bool Ledger::values_match(const Device& device, const Item& item) {
  if (device.sensors == nullptr) return true;
  const auto channels = device.sensors->channels();
  std::array<std::vector<std::int64_t>, codec::kChannelsMax> columns;
  for (std::size_t c = 0; c < channels.size(); ++c) {
    const cJSON* column =
        cJSON_GetObjectItemCaseSensitive(item.channels, std::string(channels[c].name).c_str());
    if (!cJSON_IsArray(column)) return false;
    const cJSON* cell = nullptr;
    cJSON_ArrayForEach(cell, column) columns[c].push_back(to_raw(cell->valuedouble, channels[c].exponent));
  }
  std::vector<std::int64_t> expected(channels.size());
  for (std::size_t row = 0; row < columns[0].size(); ++row) {
    const std::int64_t n = columns[0][row];
    if (n != columns[0][0] + static_cast<std::int64_t>(row)) return false;
    device.sensors->expected(n, expected);
    for (std::size_t c = 0; c < channels.size(); ++c) {
      if (columns[c].size() != columns[0].size() || columns[c][row] != expected[c]) return false;
    }
  }
  return !columns[0].empty();
}

// `seen[i]`: entry i of the log was stored or explained.
void Ledger::judge_item(const Device& device, const Item& item, std::vector<bool>& seen, Report& report) {
  if (seen.size() < item.seq + item.count) seen.resize(item.seq + item.count);
  if (item.seq + item.count > device.next.value) {
    ++report.corrupted;  // the device never made this
    return;
  }
  const auto in_doubt = [&device](std::uint64_t seq) { return device.epochs[seq - 1] == Epoch{}; };
  if (item.is_loss()) {
    for (std::uint64_t seq = item.seq; seq < item.seq + item.count; ++seq)
      report.lost += in_doubt(seq) ? 0U : 1U;
    std::fill_n(seen.begin() + static_cast<std::ptrdiff_t>(item.seq), item.count, true);
    return;
  }
  if (seen[item.seq]) {
    ++report.duplicated;
    return;
  }
  report.stored += in_doubt(item.seq) ? 0U : 1U;
  if (std::find(seen.begin() + static_cast<std::ptrdiff_t>(item.seq), seen.end(), true) != seen.end()) {
    ++report.out_of_order;
  }
  seen[item.seq] = true;
  const bool other_epoch = !in_doubt(item.seq) && device.epochs[item.seq - 1].value != item.epoch;
  if (other_epoch || (item.is_record() && !values_match(device, item))) ++report.corrupted;
}

Report Ledger::judge(const Get& get) const {
  Report report;
  std::map<std::string, std::vector<bool>, std::less<>> seen;
  std::string path = "/api/v1/events?after=begin&limit=500";
  while (!path.empty()) {
    const Json page(cJSON_Parse(get(path).c_str()), &cJSON_Delete);
    const cJSON* items = cJSON_GetObjectItemCaseSensitive(page.get(), "items");
    if (!cJSON_IsArray(items)) throw std::runtime_error("GET " + path + ": no `items` in the answer");
    const cJSON* object = nullptr;
    const std::lock_guard lock(mutex_);
    cJSON_ArrayForEach(object, items) {
      const Item item = Item::of(object);
      const auto device = devices_.find(item.device);
      if (device == devices_.end() || !item.is_entry()) continue;
      judge_item(device->second, item, seen[device->first], report);
    }
    const std::string_view cursor = text_of(page.get(), "next_cursor");
    path = cursor.empty() || cJSON_GetArraySize(items) == 0
               ? ""
               : "/api/v1/events?limit=500&cursor=" + std::string(cursor);
  }
  const std::lock_guard lock(mutex_);
  report.devices = devices_.size();
  report.sse_events = sse_events_;
  report.sse_gaps = sse_gaps_;
  report.missing = forgotten_;
  for (const auto& [id, device] : devices_) {
    const auto& found = seen[id];
    const auto doubts = static_cast<std::uint64_t>(std::ranges::count(device.epochs, Epoch{}));
    const auto acked = std::span(device.epochs).first(std::min(device.acked, device.next) - kFirstSeq);
    report.in_doubt += doubts;
    report.recorded += (device.next - kFirstSeq) - doubts;
    report.acked += acked.size() - static_cast<std::uint64_t>(std::ranges::count(acked, Epoch{}));
    for (std::uint64_t seq = 1; seq < device.next.value; ++seq) {
      if (seq >= found.size() || !found[seq]) ++report.missing;
    }
    if (device.feed_next < device.next) report.sse_gaps += device.next - device.feed_next;
  }
  std::vector<double> sorted = latencies_ms_;
  std::ranges::sort(sorted);
  report.latency_p50_ms = percentile(sorted, 0.5);
  report.latency_p99_ms = percentile(sorted, 0.99);
  report.latency_max_ms = percentile(sorted, 1.0);
  return report;
}

}  // namespace godwit::sim
