// SPDX-License-Identifier: Apache-2.0
// A Device with simulated flash, made-up sensors and a model broker, in virtual time. The flash outlives the
// device, so a test can cut the power at any moment and start again.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "firmware/agent/device.h"
#include "sim/flash/sim_flash.h"
#include "tests/support/model_broker.h"
#include "tests/support/seeded_entropy.h"

namespace godwit::agent {

// Channel c at time t reads t * (c + 1): a reader can tell any row by its values.
class CountingSensors final : public ports::Sensors {
 public:
  bool failing = false;
  std::vector<std::int64_t> sampled;  // instants, ms
  Status sample(std::size_t table, Instant now, std::span<std::int64_t> row) override {
    if (failing) return Status::kIo;
    sampled.push_back(now.time_since_epoch().count());
    for (std::size_t c = 0; c < row.size(); ++c) {
      row[c] = now.time_since_epoch().count() * static_cast<std::int64_t>(c + 1) +
               static_cast<std::int64_t>(table);
    }
    return Status::kOk;
  }
};

class RecordingLog final : public ports::Log {
 public:
  std::vector<std::string> events;
  void write(ports::LogLevel /*level*/, std::string_view event,
             std::initializer_list<ports::LogField> /*fields*/) override {
    events.emplace_back(event);
  }
};

class DeviceRig {
 public:
  explicit DeviceRig(const ports::FlashGeometry& geometry = {4096, 16, 8}, std::uint32_t seed = 1)
      : flash(geometry), entropy(seed), broker(gateway) {}

  sim::SimFlash flash;
  test::SeededEntropy entropy;
  CountingSensors sensors;
  RecordingLog log;
  test::ModelGateway gateway;
  test::ModelBroker broker;
  std::unique_ptr<Device> device;
  Instant now{};
  bool link_allowed = true;                // false: connecting fails
  std::size_t chunk_max = 100'000;         // bytes moved at once
  std::optional<std::uint64_t> cut_after;  // the link closes after so many bytes, either way
  std::uint64_t bytes_moved = 0;
  std::uint64_t link_attempts = 0;
  Millis latency{0};                       // one way
  std::int64_t bytes_per_s = 0;            // each way; 0: no limit
  std::vector<std::int64_t> connected_at;  // ms

  static constexpr std::array<codec::Channel, 2> kChannels{
      {{.name = "a", .unit = "Cel", .exponent = -2}, {.name = "b", .unit = "%"}}};
  std::vector<telemetry::Table> tables{
      {.contract = {.name = "t", .period = Millis{1'000}, .channels = kChannels, .rows_max = 4}}};
  std::string firmware = "1.0";
  std::optional<codec::Crash> last_crash;
  outbox::FullPolicy full_policy = outbox::FullPolicy::kDropOldest;

  // Starts, or starts again after power_cut().
  Status boot() {
    ++boots_;
    device =
        std::make_unique<Device>(Config{.id = *DeviceId::parse("pump-3"),
                                        .firmware = firmware,
                                        .board = "rig",
                                        .boot = boots_,
                                        .last_crash = last_crash,
                                        .tables = tables,
                                        .full_policy = full_policy},
                                 Ports{.flash = flash, .entropy = entropy, .sensors = sensors, .log = log});
    connected_ = false;
    return device->start(now);
  }

  void power_cut() {
    if (connected_) broker.link_down();
    drop_link();
    device.reset();
  }

  Status reboot() {
    power_cut();
    return boot();
  }

  void cut_link() {
    if (!connected_) return;
    drop_link();
    broker.link_down();
    device->link_down(now);
  }

  // Moves bytes and obeys the device until both sides are quiet at this instant.
  void settle() {
    while (step()) {
    }
  }

  void run_until(Instant end) {
    settle();
    while (true) {
      auto next = device->next_deadline();
      for (const Pipe* pipe : {&up_, &down_}) {
        if (!pipe->empty() && (!next || pipe->front().at < *next)) next = pipe->front().at;
      }
      if (!next || *next > end) break;
      now = std::max(now, *next);
      device->handle_timeout(now);
      settle();
    }
    now = end;
  }
  void run_for(Millis time) { run_until(now + time); }

 private:
  bool step() {
    switch (device->link_request()) {
      case LinkRequest::kConnect:
        ++link_attempts;
        if (!link_allowed) {
          device->link_down(now);
          return false;
        }
        connected_ = true;
        connected_at.push_back(now.time_since_epoch().count());
        broker.link_up();
        device->link_up(now);
        return true;
      case LinkRequest::kClose:
        if (connected_ && device->transmit().empty() && up_.empty()) {
          cut_link();
          return true;
        }
        break;
      case LinkRequest::kStay:
        break;
    }
    return connected_ && move_bytes();
  }

  // What is under way in one direction.
  struct Chunk {
    Instant at;
    std::string bytes;
  };
  using Pipe = std::deque<Chunk>;

  void put(Pipe& pipe, Instant& free_at, std::string bytes) {
    free_at = std::max(free_at, now);
    if (bytes_per_s > 0) free_at += Millis{static_cast<std::int64_t>(bytes.size()) * 1'000 / bytes_per_s};
    pipe.push_back({free_at + latency, std::move(bytes)});
  }
  std::optional<std::string> take(Pipe& pipe) const {
    if (pipe.empty() || pipe.front().at > now) return std::nullopt;
    std::string bytes = std::move(pipe.front().bytes);
    pipe.pop_front();
    return bytes;
  }

  bool move_bytes() {
    const Bytes out = device->transmit();
    if (!out.empty()) {
      const std::size_t size = allowed(out.size());
      put(up_, up_free_at_, std::string(as_text(out.first(size))));
      device->transmitted(now, size);
      if (size > 0) return true;
    }
    if (const auto bytes = take(up_)) {
      broker.feed(*bytes);
      return cut_if_due() || true;
    }
    pending_ += broker.take_output();
    if (!pending_.empty()) {
      const std::size_t size = allowed(pending_.size());
      put(down_, down_free_at_, pending_.substr(0, size));
      pending_.erase(0, size);
      if (size > 0) return true;
    }
    if (const auto bytes = take(down_)) {
      device->handle_bytes(now, as_bytes(*bytes));
      return cut_if_due() || true;
    }
    if (cut_if_due()) return true;
    if (broker.closed() && connected_) {
      cut_link();
      return true;
    }
    return false;
  }

  std::size_t allowed(std::size_t size) {
    size = std::min(size, chunk_max);
    if (cut_after) size = std::min<std::size_t>(size, *cut_after - bytes_moved);
    bytes_moved += size;
    return size;
  }

  bool cut_if_due() {
    if (!cut_after || bytes_moved < *cut_after) return false;
    cut_after.reset();
    cut_link();
    return true;
  }

  void drop_link() {
    connected_ = false;
    pending_.clear();
    up_.clear();
    down_.clear();
    up_free_at_ = down_free_at_ = now;
  }

  bool connected_ = false;
  std::uint32_t boots_ = 0;
  std::string pending_;  // that the broker has to send
  Pipe up_;
  Pipe down_;
  Instant up_free_at_{};
  Instant down_free_at_{};
};

}  // namespace godwit::agent
