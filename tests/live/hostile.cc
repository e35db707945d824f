// SPDX-License-Identifier: Apache-2.0
#include "tests/live/hostile.h"

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

constexpr const char* kId = "evil";
constexpr std::size_t kFlood = 500;     // messages of an attack
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

std::string bomb() {
  std::vector<codec::ChannelModel> models(bomb_channels().size());
  std::array<std::uint8_t, 4'096> samples{};
  codec::SampleEncoder encoder(models, samples);
  std::vector<std::int64_t> row(models.size(), INT64_MAX);
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
  std::array<std::uint8_t, 8'192> out{};
  return std::string(as_text(Bytes(out).first(codec::encode(message, more..., out).value_or(0))));
}

}  // namespace

Hostile::Hostile(test::GatewayFixture& gateway, std::uint64_t seed)
    : http_port_(gateway.http_port()), random_(seed), seed_(seed) {
  const auto folder = gateway.add_device(kId);
  credentials_ = {.port = gateway.mqtt_port(),
                  .ca = gateway.dir() / "ca.crt",
                  .certificate = folder / "device.crt",
                  .key = folder / "device.key",
                  .client_id = kId};
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

void Hostile::publish(test::MqttPeer& peer, const std::string& leaf, const std::string& payload) {
  if (stopping_) return;
  peer.publish(std::string("gw1/d/") + kId + "/up/" + leaf, as_bytes(payload));
  ++messages_;
  while (peer.wants_to_write() && !stopping_) {
    peer.receive([](std::string_view, Bytes) {});
    peer.flush();
  }
}

// A flood of one kind.
void Hostile::attack(test::MqttPeer& peer) {
  const std::uint64_t kind = random_() % 6;
  const Try try_id{static_cast<std::uint32_t>(random_()) | 1U};
  const auto hello = [&] {
    codec::Hello message{.try_id = try_id,
                         .oldest_seq = {1},
                         .next_seq = {1'000'000},
                         .marks_count = 1,
                         .boot = static_cast<std::uint32_t>(random_())};
    message.marks[0] = {.epoch = {random_() | 1U}, .first_seq = {1}};
    const std::array tables{codec::announced(bomb_table())};
    return encoded(message, std::span<const codec::AnnouncedTable>(tables));
  };
  publish(peer, "hello", hello());
  const std::string explosive = kind == 3 ? bomb() : "";
  for (std::size_t i = 0; i < (kind == 3 ? kBombs : kFlood) && !stopping_; ++i) {
    codec::Record record{.try_id = try_id, .seq = {i + 1}};
    if (kind == 0) publish(peer, "hello", hello());
    if (kind == 1) record.mark = Epoch{random_() | 1U};
    if (kind == 2) record.loss = {.count = random_(), .reason = codec::LossReason::kCorrupt};
    if (kind == 3) record.batch = as_bytes(explosive);
    if (kind >= 1 && kind <= 3) publish(peer, "rec", encoded(record));
    if (kind == 4) publish(peer, "rec", random_bytes(random_() % 2'000));
    if (kind == 5) publish(peer, "live", random_bytes(random_() % 30'000));
  }
}

void Hostile::run_device() {
  while (!stopping_) {
    try {
      test::MqttPeer peer(credentials_);
      peer.subscribe("#");
      for (int attacks = 0; attacks < 4 && !stopping_; ++attacks) {
        attack(peer);
        std::this_thread::sleep_for(Millis{500 + random_() % 1'500});
      }
    } catch (const std::exception&) {
      // The broker was killed, or has had enough.
    }
    std::this_thread::sleep_for(500ms);
  }
}

// Opens many connections, says nothing or nonsense, and leaves them.
void Hostile::run_stranger() {
  std::mt19937_64 random(seed_ + 1);
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
