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

namespace godwit::gateway::test {

class FakeLog : public LogReader {
 public:
  static constexpr Epoch kEpoch{0x0123456789abcdef};

  FakeLog() {
    TableInfo table{.hash = 7, .name = "env", .period_ms = 1000, .durable = true, .channels = {}};
    table.channels = {{.name = "temperature", .unit = "Cel", .exponent = -2, .min = 0, .max = 0},
                      {.name = "count", .unit = "1", .exponent = 0, .min = 0, .max = 0}};
    table_ = std::make_shared<const TableInfo>(std::move(table));
  }

  // Takes an event as it is.
  Event append(Event event) {
    const std::lock_guard lock(mutex_);
    const std::string device = event.device;
    return add(std::move(event), device);
  }

  // A record of two rows; the last one holds `count`. Gives the event with its offset.
  Event append(const std::string& device, std::int64_t count) {
    const std::lock_guard lock(mutex_);
    Event event;
    event.type = EventType::kTelemetry;
    event.batch = batch(count);
    return add(std::move(event), device);
  }

  Event append(EventType type, const std::string& device) {
    const std::lock_guard lock(mutex_);
    Event event;
    event.type = type;
    return add(std::move(event), device);
  }

  // What the device's last hello said; it must be in the log.
  void tell(const std::string& device, const codec::Health& health, CrashReport crash) {
    const std::lock_guard lock(mutex_);
    devices_.at(device).health = health;
    devices_.at(device).last_crash = std::move(crash);
  }

  // Forgets the events below `first`.
  void trim(std::int64_t first) {
    const std::lock_guard lock(mutex_);
    first_ = first;
    std::erase_if(events_, [&](const Event& event) { return event.offset.value < first; });
  }

  void fail(bool broken) {
    const std::lock_guard lock(mutex_);
    broken_ = broken;
  }

  // Another run of the gateway.
  void restart(std::uint32_t term) {
    const std::lock_guard lock(mutex_);
    terms_.push_back({last_ + 1, {term}});
  }

  // Back to how it was when its last event was `last`; what comes then is of another term.
  void restore(std::int64_t last, std::uint32_t term) {
    const std::lock_guard lock(mutex_);
    last_ = last;
    std::erase_if(events_, [&](const Event& event) { return event.offset.value > last; });
    std::erase_if(terms_, [&](const Start& start) { return start.first > last; });
    terms_.push_back({last_ + 1, {term}});
  }

  [[nodiscard]] LogId id(std::int64_t offset) const {
    const std::lock_guard lock(mutex_);
    return id_of({offset});
  }

  // What was asked of it so far.
  [[nodiscard]] std::size_t reads() const {
    const std::lock_guard lock(mutex_);
    return reads_;
  }
  [[nodiscard]] std::size_t bytes_read() const {
    const std::lock_guard lock(mutex_);
    return bytes_read_;
  }

  // What happens before a device is looked for, on the thread that does. Not while others read.
  void before_device(std::function<void(std::string_view id)> action) { before_device_ = std::move(action); }

  // What happens right after the end of the log has been asked for. Not while others read.
  void after_ends(std::function<void()> action) { after_ends_ = std::move(action); }

  // While held, no read gets on: a disk that hangs.
  std::unique_lock<std::mutex> hang() { return std::unique_lock(mutex_); }

  [[nodiscard]] std::shared_ptr<const TableInfo> table(std::string_view, std::uint32_t hash) const override {
    return hash == table_->hash ? table_ : nullptr;
  }
  [[nodiscard]] std::optional<BootTime> boot_time(std::string_view, Epoch) const override {
    return std::nullopt;
  }

  [[nodiscard]] LogPage read(LogOffset after, const Filter& filter, const PageBounds& bounds) const override {
    const auto lock = locked();
    ++reads_;
    LogPage page;
    LogOffset through = after;
    if (first_ > after.value + 1) {
      through = {first_ - 1};
      page.gap = LogGap{
          .reason = GapReason::kTrimmed, .from = {after.value + 1}, .to = through, .next = id_of(through)};
    }
    const LogOffset end{std::min(last_, bounds.up_to.value)};
    std::size_t bytes = 0;
    const auto begin = std::ranges::upper_bound(events_, through, {}, &Event::offset);
    for (auto event = begin; event != events_.end() && event->offset <= end; ++event) {
      if (!filter.device.empty() && filter.device != event->device) continue;
      if (!filter.types.empty() && std::ranges::find(filter.types, event->type) == filter.types.end())
        continue;
      page.more = page.events.size() >= bounds.events || bytes >= bounds.bytes;
      if (page.more) break;
      bytes += event->batch.size() + event->hello.size();
      page.events.push_back(*event);
      through = event->offset;
    }
    bytes_read_ += bytes;
    page.through = id_of(page.more ? through : std::max(through, end));
    return page;
  }
  [[nodiscard]] LogEnds ends() const override {
    auto lock = locked();
    const LogEnds ends{.before_first = id_of({first_ - 1}), .last = id_of({last_})};
    lock.unlock();
    if (after_ends_) after_ends_();
    return ends;
  }
  [[nodiscard]] Resumption resume(LogId id) const override {
    const auto lock = locked();
    const auto term = std::ranges::find(terms_, id.term, &Start::term);
    if (term == terms_.end()) return gateway::resume(id, std::nullopt);
    const auto next = std::next(term);
    const std::int64_t last = next == terms_.end() ? last_ : next->first - 1;
    if (last < term->first) return gateway::resume(id, std::nullopt);  // nothing was stored under it
    return gateway::resume(id, TermRange{.first = {term->first}, .last = {last}});
  }
  [[nodiscard]] std::vector<DeviceInfo> devices_after(std::string_view after,
                                                      std::size_t limit) const override {
    const auto lock = locked();
    std::vector<DeviceInfo> found;
    for (auto entry = devices_.upper_bound(after); entry != devices_.end() && found.size() < limit; ++entry) {
      found.push_back(entry->second);
    }
    return found;
  }
  [[nodiscard]] std::optional<DeviceInfo> device(std::string_view id) const override {
    if (before_device_) before_device_(id);
    const auto lock = locked();
    const auto found = devices_.find(id);
    if (found == devices_.end()) return std::nullopt;
    return found->second;
  }
  [[nodiscard]] std::vector<Event> latest(std::string_view device) const override {
    const auto lock = locked();
    for (auto event = events_.rbegin(); event != events_.rend(); ++event) {
      if (event->device == device && event->type == EventType::kTelemetry) return {*event};
    }
    return {};
  }

 private:
  std::unique_lock<std::mutex> locked() const {
    std::unique_lock lock(mutex_);
    if (broken_) throw StoreError("/secret/path/godwit.db: disk I/O error");
    return lock;
  }

  struct Start {
    std::int64_t first;
    Term term;
  };

  [[nodiscard]] LogId id_of(LogOffset offset) const {
    Term term;
    for (const Start& start : terms_) {
      if (start.first <= offset.value) term = start.term;
    }
    return {offset, offset.value == 0 ? Term{} : term};
  }

  Event add(Event event, const std::string& device) {
    event.offset = {++last_};
    event.term = id_of(event.offset).term;
    event.device = device;
    event.received_at = {1'767'225'600'000 + last_};
    event.epoch = kEpoch;
    DeviceInfo& info = devices_[device];
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
              .stream = StreamInfo{kEpoch, kFirstSeq, 0, 0}};
    info.last_seen = event.received_at;
    event.seq = info.stream->next_seq;
    if (event.type == EventType::kTelemetry) {
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
  std::shared_ptr<const TableInfo> table_;
  std::vector<Event> events_;
  std::map<std::string, DeviceInfo, std::less<>> devices_;
  std::int64_t first_ = 1;
  std::int64_t last_ = 0;
  std::vector<Start> terms_{{1, {0xa1}}};
  bool broken_ = false;
  mutable std::size_t reads_ = 0;
  mutable std::size_t bytes_read_ = 0;
  std::function<void()> after_ends_;
  std::function<void(std::string_view)> before_device_;
};

}  // namespace godwit::gateway::test
