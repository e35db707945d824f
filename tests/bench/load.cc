// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/load.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <span>
#include <stdexcept>
#include <utility>

#include "proto/codec/batch.h"
#include "proto/codec/messages.h"
#include "proto/codec/samples.h"
#include "proto/topics/topics.h"
#include "sim/fleet/installation.h"
#include "sim/fleet/synthetic_sensors.h"

namespace godwit::bench {
namespace {

// Records as the simulator makes them: the same channels, four rows each.
constexpr std::size_t kRows = 4;
constexpr std::size_t kBatches = 64;  // different ones, sent in turn
constexpr Millis kPeriod{1000};
constexpr std::string_view kPrefix = "bench-";
// The time that the path may take for nothing at all.
constexpr std::chrono::seconds kPatience{20};

void must(bool condition, const char* what) {
  if (!condition) throw std::runtime_error(std::string("load: ") + what);
}

codec::ChannelTable table_of(const sim::SyntheticSensors& sensors) {
  return {.name = "sim", .period = kPeriod, .channels = sensors.channels()};
}

std::string make_batch(const sim::SyntheticSensors& sensors, std::size_t number) {
  const std::size_t channels = sensors.channels().size();
  std::array<codec::ChannelModel, codec::kChannelsMax> models{};
  std::array<std::uint8_t, 1024> samples{};
  codec::SampleEncoder encoder(std::span<codec::ChannelModel>(models).first(channels), samples);
  std::vector<std::int64_t> row(channels);
  for (std::size_t i = 0; i < kRows; ++i) {
    sensors.row(number * kRows + i, row);
    must(encoder.add(row) == Status::kOk, "a row does not fit");
  }
  const std::size_t samples_size = encoder.finish();
  std::array<std::uint8_t, 1024> out{};
  const auto size = codec::encode({.table = codec::hash(table_of(sensors)),
                                   .quality = codec::TimeQuality::kSynced,
                                   .time = Millis{1'700'000'000'000},
                                   .rows = kRows,
                                   .samples = Bytes(samples).first(samples_size)},
                                  out);
  must(size.has_value(), "a batch does not fit");
  return std::string(as_text(Bytes(out).first(*size)));
}

}  // namespace

Load::Load(test::GatewayFixture& fixture, const Options& options)
    : fixture_(fixture), window_(options.window) {
  const sim::SyntheticSensors sensors(1, nullptr);
  for (std::size_t i = 0; i < kBatches; ++i) batches_.push_back(make_batch(sensors, i));

  const test::Outcome issued =
      test::run_gateway_program({"device", "add", fixture.dir().string(), "--count",
                                 std::to_string(options.devices), "--prefix", std::string(kPrefix)});
  if (issued.status != 0) throw std::runtime_error(issued.log);
  devices_.reserve(options.devices);
  for (const std::string& id : sim::issued_devices(fixture.dir(), std::string(kPrefix), options.devices)) {
    const DeviceId device = *DeviceId::parse(id);
    const std::filesystem::path folder = fixture.dir() / "devices" / id;
    devices_.push_back({.id = id,
                        .topic = std::string(topics::make(device, topics::Leaf::kRecord).view()),
                        .epoch = Epoch{devices_.size() + 1},
                        .peer = test::MqttPeer({.port = fixture.mqtt_port(),
                                                .ca = fixture.dir() / "ca.crt",
                                                .certificate = folder / "device.crt",
                                                .key = folder / "device.key",
                                                .client_id = id})});
    devices_.back().peer.subscribe(topics::device_filter(device).view());
  }
  for (Device& device : devices_) by_topic_.emplace(device.topic, &device);
}

void Load::attach_subscriber() {
  subscriber_.emplace(test::MqttPeer::Options{.port = fixture_.mqtt_port(),
                                              .ca = fixture_.dir() / "ca.crt",
                                              .certificate = fixture_.dir() / "gateway.crt",
                                              .key = fixture_.dir() / "gateway.key",
                                              .client_id = "bare-subscriber"});
  subscriber_->subscribe(topics::kGatewayFilter);
}

void Load::introduce() {
  for (Device& device : devices_) {
    device.answered = false;
    say_hello(device);
  }
  const auto deadline = Clock::now() + kPatience;
  while (!std::ranges::all_of(devices_, &Device::answered)) {
    must(Clock::now() < deadline, "the gateway does not answer all devices");
    poll(std::chrono::milliseconds(100));
  }
  for (Device& device : devices_) {
    device.next = device.taken;
    if (device.next == kFirstSeq) send_mark(device);
  }
  drain();
}

void Load::say_hello(Device& device) {
  const sim::SyntheticSensors sensors(1, nullptr);
  const codec::ChannelTable table = table_of(sensors);
  const std::array tables{codec::announced(table)};
  device.try_id = {device.try_id.value + 1};
  std::array<std::uint8_t, 1024> out{};
  const auto size = codec::encode(codec::Hello{.try_id = device.try_id,
                                               .oldest_seq = kFirstSeq,
                                               .next_seq = std::max(device.next, kFirstSeq + 1),
                                               .marks = {{{device.epoch, kFirstSeq}}},
                                               .marks_count = 1,
                                               .epoch = device.epoch,
                                               .firmware = "bench",
                                               .board = "none",
                                               .boot = 1,
                                               .reset_reason = codec::ResetReason::kPowerOn},
                                  tables, out);
  must(size.has_value(), "a hello does not fit");
  device.peer.publish(topics::make(*DeviceId::parse(device.id), topics::Leaf::kHello).view(),
                      Bytes(out).first(*size));
}

// The first entry of its log, without which the gateway takes no other.
void Load::send_mark(Device& device) {
  std::array<std::uint8_t, codec::kNoticeSizeMax> out{};
  const auto size =
      codec::encode(codec::Record{.try_id = device.try_id, .seq = device.next, .mark = device.epoch}, out);
  must(size.has_value(), "a mark does not fit");
  device.peer.publish(device.topic, Bytes(out).first(*size));
  device.next = device.next + 1;
}

void Load::send_record(Device& device) {
  const std::string& batch = batches_[device.next.value % batches_.size()];
  std::array<std::uint8_t, 1024> out{};
  const auto prefix = codec::encode_record_prefix(device.try_id, device.next, batch.size(), out);
  must(prefix.has_value() && *prefix + batch.size() <= out.size(), "a record does not fit");
  std::ranges::copy(as_bytes(batch), out.begin() + static_cast<std::ptrdiff_t>(*prefix));
  device.peer.publish(device.topic, Bytes(out).first(*prefix + batch.size()));
  device.next = device.next + 1;
}

std::chrono::duration<double> Load::run(std::size_t records) {
  const auto begin = Clock::now();
  std::size_t left = records;
  fill_windows(left);
  auto deadline = begin + kPatience;
  while (left > 0) {
    poll(std::chrono::milliseconds(100));
    const std::size_t before = left;
    fill_windows(left);
    if (left < before) deadline = Clock::now() + kPatience;
    must(Clock::now() < deadline, "nothing is taken any more");
  }
  drain();
  return Clock::now() - begin;
}

void Load::fill_windows(std::size_t& left) {
  for (Device& device : devices_) {
    for (; left > 0 && device.next - device.taken < window_; --left) send_record(device);
  }
}

void Load::run_paced(std::size_t records, double per_second, const OnSend& on_send) {
  const auto begin = Clock::now();
  const auto due_at = [&](std::size_t record) {
    return begin + std::chrono::duration_cast<Clock::duration>(
                       std::chrono::duration<double>(static_cast<double>(record) / per_second));
  };
  for (std::size_t sent = 0; sent < records;) {
    for (auto now = Clock::now(); sent < records && due_at(sent) <= now; ++sent) {
      Device& device = devices_[sent % devices_.size()];
      must(device.next - device.taken < window_, "the path does not keep up with this rate");
      on_send(device.id, device.next);
      send_record(device);
    }
    poll(std::max<std::chrono::nanoseconds>(due_at(sent) - Clock::now(), std::chrono::nanoseconds(0)));
  }
  drain();
}

void Load::drain() {
  const auto deadline = Clock::now() + kPatience;
  while (!all_taken()) {
    must(Clock::now() < deadline, "the last messages are not taken");
    poll(std::chrono::milliseconds(100));
  }
}

// Sends what waits, then takes what has come or comes within `timeout`.
void Load::poll(std::chrono::nanoseconds timeout) {
  std::vector<pollfd> sources;
  const auto add = [&](test::MqttPeer& peer) {
    peer.flush();
    const bool blocked = peer.wants_to_write();
    sources.push_back({peer.fd(), static_cast<short>(blocked ? POLLIN | POLLOUT : POLLIN), 0});
  };
  for (Device& device : devices_) add(device.peer);
  if (subscriber_) add(*subscriber_);
  const timespec wait{.tv_sec = 0, .tv_nsec = static_cast<long>(timeout.count() % 1'000'000'000)};
  ::ppoll(sources.data(), sources.size(), &wait, nullptr);
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    if ((sources[i].revents & ~POLLOUT) == 0) continue;
    devices_[i].peer.receive([&](std::string_view, Bytes payload) { take_ack(devices_[i], payload); });
  }
  if (subscriber_ && (sources.back().revents & ~POLLOUT) != 0) {
    subscriber_->receive([&](std::string_view topic, Bytes payload) { take_delivery(topic, payload); });
  }
}

void Load::take_ack(Device& device, Bytes payload) {
  const auto ack = codec::decode_ack(payload);
  must(ack.has_value() && ack->try_id == device.try_id, "an ack is not of its device");
  must(!ack->rewind, "the gateway found a gap");
  device.taken = ack->next_seq;
  device.answered = true;
}

void Load::take_delivery(std::string_view topic, Bytes payload) {
  const auto device = by_topic_.find(std::string(topic));
  if (device == by_topic_.end()) return;
  const auto record = codec::decode_record(payload);
  must(record.has_value() && record->seq == device->second->taken, "the broker has dropped a message");
  device->second->taken = device->second->taken + 1;
}

bool Load::all_taken() const {
  return std::ranges::all_of(devices_, [](const Device& device) { return device.taken == device.next; });
}

std::size_t Load::message_size() const {
  std::size_t sum = 0;
  for (const std::string& batch : batches_) sum += batch.size();
  std::array<std::uint8_t, codec::kRecordPrefixMax> prefix{};
  return sum / batches_.size() + codec::encode_record_prefix(Try{1}, Seq{100'000}, 64, prefix).value();
}

}  // namespace godwit::bench
