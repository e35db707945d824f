// SPDX-License-Identifier: Apache-2.0
// A log in memory, for tests of what reads one. Safe from any thread, as the real one.
#pragma once

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "gateway/domain/reader.h"
#include "proto/codec/batch.h"
#include "proto/codec/messages.h"
#include "proto/codec/samples.h"

namespace godwit::http {

class FakeLog : public gateway::LogReader {
 public:
  static constexpr Epoch kEpoch{0x0123456789abcdef};

  FakeLog() {
    gateway::TableInfo table{.hash = 7, .name = "env", .period_ms = 1000, .durable = true, .channels = {}};
    table.channels = {{.name = "temperature", .unit = "Cel", .exponent = -2, .min = 0, .max = 0},
                      {.name = "count", .unit = "1", .exponent = 0, .min = 0, .max = 0}};
    table_ = std::make_shared<const gateway::TableInfo>(std::move(table));
  }

  // A record of two rows; the last one holds `count`. Gives the event with its offset.
  gateway::Event append(const std::string& device, std::int64_t count) {
    const std::lock_guard lock(mutex_);
    gateway::Event event;
    event.type = gateway::EventType::kTelemetry;
    event.batch = batch(count);
    return add(std::move(event), device);
  }

  gateway::Event append(gateway::EventType type, const std::string& device) {
    const std::lock_guard lock(mutex_);
    gateway::Event event;
    event.type = type;
    return add(std::move(event), device);
  }

  // What the device's last hello said; it must be in the log.
  void tell(const std::string& device, const codec::Health& health, gateway::CrashReport crash) {
    const std::lock_guard lock(mutex_);
    devices_.at(device).health = health;
    devices_.at(device).last_crash = std::move(crash);
  }

  // Forgets the events below `first`.
  void trim(std::int64_t first) {
    const std::lock_guard lock(mutex_);
    first_ = first;
    std::erase_if(events_, [&](const gateway::Event& event) { return event.offset.value < first; });
  }

  void fail(bool broken) {
    const std::lock_guard lock(mutex_);
    broken_ = broken;
  }

  // What happens right after the end of the log has been asked for. Not while others read.
  void after_last_offset(std::function<void()> action) { after_last_offset_ = std::move(action); }

  // While held, no read gets on: a disk that hangs.
  std::unique_lock<std::mutex> hang() { return std::unique_lock(mutex_); }

  [[nodiscard]] std::shared_ptr<const gateway::TableInfo> table(std::string_view,
                                                                std::uint32_t hash) const override {
    return hash == table_->hash ? table_ : nullptr;
  }
  [[nodiscard]] std::optional<gateway::BootTime> boot_time(std::string_view, Epoch) const override {
    return std::nullopt;
  }

  [[nodiscard]] std::vector<gateway::Event> events_after(gateway::LogOffset after, std::size_t limit,
                                                         const Filter& filter) const override {
    const auto lock = read();
    std::vector<gateway::Event> found;
    const auto begin = std::ranges::upper_bound(events_, after, {}, &gateway::Event::offset);
    for (auto event = begin; event != events_.end() && found.size() < limit; ++event) {
      if (!filter.device.empty() && filter.device != event->device) continue;
      if (!filter.types.empty() && std::ranges::find(filter.types, event->type) == filter.types.end())
        continue;
      found.push_back(*event);
    }
    return found;
  }
  [[nodiscard]] gateway::LogOffset last_offset() const override {
    auto lock = read();
    const gateway::LogOffset last{last_};
    lock.unlock();
    if (after_last_offset_) after_last_offset_();
    return last;
  }
  [[nodiscard]] gateway::LogOffset first_offset() const override {
    const auto lock = read();
    return {first_};
  }
  [[nodiscard]] std::vector<gateway::DeviceInfo> devices_after(std::string_view after,
                                                               std::size_t limit) const override {
    const auto lock = read();
    std::vector<gateway::DeviceInfo> found;
    for (auto entry = devices_.upper_bound(after); entry != devices_.end() && found.size() < limit; ++entry) {
      found.push_back(entry->second);
    }
    return found;
  }
  [[nodiscard]] std::optional<gateway::DeviceInfo> device(std::string_view id) const override {
    const auto lock = read();
    const auto found = devices_.find(id);
    if (found == devices_.end()) return std::nullopt;
    return found->second;
  }
  [[nodiscard]] std::vector<gateway::Event> latest(std::string_view device) const override {
    const auto lock = read();
    for (auto event = events_.rbegin(); event != events_.rend(); ++event) {
      if (event->device == device && event->type == gateway::EventType::kTelemetry) return {*event};
    }
    return {};
  }

 private:
  std::unique_lock<std::mutex> read() const {
    std::unique_lock lock(mutex_);
    if (broken_) throw gateway::StoreError("/secret/path/godwit.db: disk I/O error");
    return lock;
  }

  gateway::Event add(gateway::Event event, const std::string& device) {
    event.offset = {++last_};
    event.device = device;
    event.received_at = {1'767'225'600'000 + last_};
    event.epoch = kEpoch;
    gateway::DeviceInfo& info = devices_[device];
    if (!info.stream)
      info = {.id = device,
              .online = true,
              .first_seen = event.received_at,
              .last_seen = event.received_at,
              .firmware = "1.0",
              .board = "host",
              .boot = 3,
              .reset_reason = codec::ResetReason::kPowerOn,
              .counters = {.dropped_records = 7, .missed_samples = 1},
              .log_state = codec::LogState::kOk,
              .stream = gateway::StreamInfo{kEpoch, kFirstSeq, 0, 0}};
    info.last_seen = event.received_at;
    event.seq = info.stream->next_seq;
    if (event.type == gateway::EventType::kTelemetry) {
      info.stream->next_seq = info.stream->next_seq + 1;
      ++info.stream->records;
    }
    events_.push_back(event);
    return event;
  }

  static std::string batch(std::int64_t count) {
    std::array<codec::ChannelModel, 2> models{};
    std::array<std::uint8_t, 64> samples{};
    codec::SampleEncoder encoder(models, samples);
    for (const std::int64_t row : {count - 1, count}) {
      const std::array<std::int64_t, 2> values{2150 + row % 10, row};
      if (encoder.add(values) != Status::kOk) throw std::logic_error("the row does not fit");
    }
    const std::size_t size = encoder.finish();
    const codec::Batch batch{.table = 7,
                             .quality = codec::TimeQuality::kSynced,
                             .time = Millis{1'767'225'600'000},
                             .boot = 0,
                             .rows = 2,
                             .samples = Bytes(samples.data(), size)};
    std::array<std::uint8_t, 128> out{};
    const auto encoded = codec::encode(batch, out);
    return std::string(as_text(Bytes(out.data(), encoded.value())));
  }

  mutable std::mutex mutex_;
  std::shared_ptr<const gateway::TableInfo> table_;
  std::vector<gateway::Event> events_;
  std::map<std::string, gateway::DeviceInfo, std::less<>> devices_;
  std::int64_t first_ = 1;
  std::int64_t last_ = 0;
  bool broken_ = false;
  std::function<void()> after_last_offset_;
};

}  // namespace godwit::http
