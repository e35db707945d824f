// SPDX-License-Identifier: Apache-2.0
#include "tests/live/hostile.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <stdexcept>
#include <vector>

#include "proto/codec/batch.h"
#include "proto/codec/messages.h"
#include "proto/codec/samples.h"
#include "tests/support/loopback.h"

namespace godwit::live {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kFlood = 500;     // messages of an attack
constexpr std::size_t kFloods = 12;     // kinds
constexpr std::size_t kLarge = 16'000;  // bytes; the broker takes packets of 16,384
constexpr std::size_t kBombs = 20;      // of those that grow where they are decoded
constexpr std::size_t kStrangers = 64;  // connections at once
constexpr std::uint16_t kBombRows = 1'024;

// The most that a table may have, so that little becomes much.
const std::array<codec::Channel, codec::kChannelsMax>& bomb_channels() {
  static const std::array<std::string, codec::kChannelsMax> names = [] {
    std::array<std::string, codec::kChannelsMax> made;
    for (std::size_t i = 0; i < made.size(); ++i) made[i] = "channel_with_a_long_nm" + std::to_string(i);
    return made;
  }();
  static const auto channels = [] {
    std::array<codec::Channel, codec::kChannelsMax> made;
    for (std::size_t i = 0; i < made.size(); ++i) made[i] = {.name = names[i], .unit = "1", .exponent = 18};
    return made;
  }();
  return channels;
}

const codec::ChannelTable& bomb_table() {
  static const codec::ChannelTable table{
      .name = "bomb", .period = Millis{1}, .channels = bomb_channels(), .rows_max = kBombRows};
  return table;
}

// INT64_MAX has so many digits that the feed does not show it; 0 has the fewest, so that it does.
std::string bomb(std::int64_t value) {
  std::vector<codec::ChannelModel> models(bomb_channels().size());
  std::array<std::uint8_t, 4'096> samples{};
  codec::SampleEncoder encoder(models, samples);
  std::vector<std::int64_t> row(models.size(), value);
  while (encoder.rows() < kBombRows && encoder.add(row) == Status::kOk) continue;
  const auto rows = static_cast<std::uint32_t>(encoder.rows());
  std::array<std::uint8_t, 5'000> out{};
  const auto size = codec::encode({.table = codec::hash(bomb_table()),
                                   .quality = codec::TimeQuality::kSynced,
                                   .time = Millis{1'700'000'000'000},
                                   .rows = rows,
                                   .samples = Bytes(samples).first(encoder.finish())},
                                  out);
  return std::string(as_text(Bytes(out).first(size.value_or(0))));
}

template <typename Message, typename... More>
std::string encoded(const Message& message, More... more) {
  std::array<std::uint8_t, kLarge + 256> out{};
  return std::string(as_text(Bytes(out).first(codec::encode(message, more..., out).value_or(0))));
}

}  // namespace

std::string_view name_of(Flood flood) {
  constexpr std::array<std::string_view, kFloods> kNames{"hellos", "marks", "losses",         "bombs",
                                                         "noise",  "live",  "malformed_qos0", "large_records",
                                                         "wills",  "sums",  "boots",          "shown_bombs"};
  return kNames[static_cast<std::size_t>(flood)];
}

Hostile::Hostile(test::GatewayFixture& gateway, const Options& options)
    : http_port_(gateway.http_port()), options_(options), random_(options.seed) {
  const auto folder = gateway.add_device(options.id);
  credentials_ = {.port = gateway.mqtt_port(),
                  .ca = gateway.dir() / "ca.crt",
                  .certificate = folder / "device.crt",
                  .key = folder / "device.key",
                  .client_id = options.id};
  device_ = std::thread([this] { run_device(); });
  stranger_ = std::thread([this] { run_stranger(); });
}

Hostile::~Hostile() { stop(); }

void Hostile::stop() {
  stopping_ = true;
  if (device_.joinable()) device_.join();
  if (stranger_.joinable()) stranger_.join();
}

std::string Hostile::random_bytes(std::size_t size) {
  std::string bytes(size, '\0');
  std::ranges::generate(bytes, [this] { return static_cast<char>(random_()); });
  return bytes;
}

void Hostile::publish(test::MqttPeer& peer, const std::string& leaf, const std::string& payload,
                      test::MqttPeer::Qos qos) {
  if (stopping_) return;
  peer.publish("gw1/d/" + options_.id + "/up/" + leaf, as_bytes(payload), qos);
  ++messages_;
  peer.flush();
  while (peer.wants_to_write() && !stopping_) {
    pollfd broker{.fd = peer.fd(), .events = POLLIN | POLLOUT, .revents = 0};
    static_cast<void>(::poll(&broker, 1, 10));
    peer.receive([](std::string_view, Bytes) {});
    peer.flush();
  }
}

// Of a boot whose clock was set.
std::string Hostile::hello(Try try_id, Epoch epoch) {
  codec::Hello message{.try_id = try_id,
                       .oldest_seq = {1},
                       .next_seq = {1'000'000},
                       .marks_count = 1,
                       .epoch = epoch,
                       .boot = static_cast<std::uint32_t>(random_()),
                       .boot_time = UnixMillis{static_cast<std::int64_t>(random_() >> 20U)}};
  message.marks[0] = {.epoch = epoch, .first_seq = {1}};
  const std::array tables{codec::announced(bomb_table())};
  return encoded(message, std::span<const codec::AnnouncedTable>(tables));
}

void Hostile::attack(test::MqttPeer& peer, Flood flood) {
  const Try try_id{static_cast<std::uint32_t>(random_()) | 1U};
  const Epoch epoch{random_() | 1U};
  publish(peer, "hello", hello(try_id, epoch));
  if (flood != Flood::kMarks)
    publish(peer, "rec", encoded(codec::Record{.try_id = try_id, .seq = {1}, .mark = epoch}));
  const std::string large = flood == Flood::kBombs          ? bomb(INT64_MAX)
                            : flood == Flood::kShownBombs   ? bomb(0)
                            : flood == Flood::kLargeRecords ? random_bytes(kLarge)
                                                            : "";
  const std::size_t first = flood == Flood::kMarks ? 1 : 2;
  for (std::size_t i = 0; i < (flood == Flood::kBombs ? kBombs : kFlood) && !stopping_; ++i) {
    codec::Record record{.try_id = try_id, .seq = {first + i}};
    switch (flood) {
      case Flood::kHellos:
        publish(peer, "hello", hello(try_id, epoch));
        continue;
      case Flood::kBoots:
        publish(peer, "hello", hello(try_id, {random_() | 1U}));
        continue;
      case Flood::kWills:
        publish(peer, "gone", random_bytes(i % 2 * 1'000));
        continue;
      case Flood::kShownBombs:
        publish(peer, "live", large);
        continue;
      case Flood::kSums:
        record.refused = {.count = INT64_MAX - 1, .reason = codec::RefusedReason::kFull};
        break;
      case Flood::kNoise:
        publish(peer, "rec", random_bytes(random_() % 2'000));
        continue;
      case Flood::kLive:
        publish(peer, "live", random_bytes(random_() % 15'000));
        continue;
      case Flood::kMalformedQos0:
        publish(peer, "rec", random_bytes(16), test::MqttPeer::Qos::kAtMostOnce);
        continue;
      case Flood::kMarks:
        record.mark = Epoch{random_() | 1U};
        break;
      case Flood::kLosses:
        record.loss = {.count = random_(), .reason = codec::LossReason::kCorrupt};
        break;
      case Flood::kBombs:
      case Flood::kLargeRecords:
        record.batch = as_bytes(large);
        break;
    }
    publish(peer, "rec", encoded(record));
  }
}

void Hostile::run_device() {
  while (!stopping_) {
    try {
      test::MqttPeer peer(credentials_);
      peer.subscribe("#");
      for (int attacks = 0; attacks < 4 && !stopping_; ++attacks) {
        attack(peer, options_.only.value_or(static_cast<Flood>(random_() % kFloods)));
        if (!options_.only) std::this_thread::sleep_for(Millis{500 + random_() % 1'500});
      }
    } catch (const std::exception&) {
      // The broker was killed, or has had enough.
    }
    std::this_thread::sleep_for(options_.only ? 10ms : 500ms);
  }
}

// Opens many connections, says nothing or nonsense, and leaves them.
void Hostile::run_stranger() {
  std::mt19937_64 random(options_.seed + 1);
  while (!stopping_) {
    std::vector<int> open;
    for (std::size_t i = 0; i < kStrangers; ++i) {
      const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      if (fd < 0) break;
      open.push_back(fd);
      const sockaddr_in address = test::loopback(http_port_);
      static_cast<void>(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)));
      ++connections_;
    }
    for (int i = 0; i < 20 && !stopping_; ++i) std::this_thread::sleep_for(100ms);
    std::array<char, 256> bytes{};
    for (const int fd : open) {
      std::ranges::generate(bytes, [&] { return static_cast<char>(random()); });
      if (random() % 2 == 0) static_cast<void>(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL));
    }
    std::this_thread::sleep_for(100ms);
    for (const int fd : open) ::close(fd);
  }
}

}  // namespace godwit::live
