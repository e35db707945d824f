// SPDX-License-Identifier: Apache-2.0
// A Device with simulated flash, made-up sensors and a model broker, in virtual time. The flash outlives the
// device, so a test can cut the power at any moment and start again.
#pragma once

#include <cstdint>
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
  Status sample(std::size_t table, Instant now, std::span<std::int64_t> row) override {
    if (failing) return Status::kIo;
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
    connected_ = false;
    device.reset();
  }

  void cut_link() {
    if (!connected_) return;
    connected_ = false;
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
      const auto next = device->next_deadline();
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
        broker.link_up();
        device->link_up(now);
        return true;
      case LinkRequest::kClose:
        if (connected_ && device->transmit().empty()) {
          cut_link();
          return true;
        }
        break;
      case LinkRequest::kStay:
        break;
    }
    return connected_ && move_bytes();
  }

  bool move_bytes() {
    const Bytes out = device->transmit();
    if (!out.empty()) {
      const std::size_t size = allowed(out.size());
      broker.feed(as_text(out.first(size)));
      if (connected_) device->transmitted(now, size);
      return cut_if_due() || size > 0;
    }
    pending_ += broker.take_output();
    if (!pending_.empty()) {
      const std::size_t size = allowed(pending_.size());
      const std::string chunk = pending_.substr(0, size);
      pending_.erase(0, size);
      device->handle_bytes(now, as_bytes(chunk));
      return cut_if_due() || size > 0;
    }
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
    pending_.clear();
    cut_link();
    return true;
  }

  bool connected_ = false;
  std::uint32_t boots_ = 0;
  std::string pending_;
};

}  // namespace godwit::agent
