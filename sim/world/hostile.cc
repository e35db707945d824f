// SPDX-License-Identifier: Apache-2.0
#include "sim/world/hostile.h"

#include <algorithm>
#include <array>

#include "proto/codec/batch.h"
#include "proto/codec/messages.h"
#include "proto/codec/samples.h"

namespace godwit::sim {
namespace {

constexpr Try kTry{77};
constexpr Mark kMark{.epoch = {4711}, .first_seq = kFirstSeq};
constexpr std::uint64_t kRestartEvery = 100;  // its path begins anew, as its messages may be dropped

using Buffer = std::array<std::uint8_t, 1024>;

codec::Hello any_hello(Random& random) {
  codec::Hello hello{.try_id = {static_cast<std::uint32_t>(random.next()) | 1U},
                     .oldest_seq = {random.below(9) + 1},
                     .next_seq = {random.below(1'000) + 10},
                     .marks_count = 1,
                     .boot = static_cast<std::uint32_t>(random.next())};
  hello.marks[0] = {.epoch = {random.next() | 1U}, .first_seq = {random.below(9) + 1}};
  return hello;
}

// As many rows as a batch can have, in as few bytes.
std::string make_bomb() {
  std::array<codec::ChannelModel, codec::kChannelsMax> models{};
  Buffer samples{};
  codec::SampleEncoder encoder(models, samples);
  const std::array<std::int64_t, codec::kChannelsMax> zeros{};
  std::uint32_t rows = 0;
  while (rows < codec::kRowsMax && encoder.add(zeros) == Status::kOk) ++rows;
  const std::size_t size = encoder.finish();
  const codec::Batch batch{.table = 4711,
                           .quality = codec::TimeQuality::kSynced,
                           .time = Millis{1'000'000},
                           .rows = rows,
                           .samples = Bytes(samples).first(size)};
  Buffer out{};
  return std::string(as_text(Bytes(out).first(codec::encode(batch, out).value_or(0))));
}

Bytes bomb() {
  static const std::string made = make_bomb();
  return as_bytes(made);
}

// A path of its own: a hello, its mark, and records one after the other.
std::size_t path_message(std::uint64_t number, topics::Leaf& leaf, Buffer& out) {
  const std::uint64_t place = number % kRestartEvery;
  if (place == 0) {
    leaf = topics::Leaf::kHello;
    codec::Hello hello{
        .try_id = kTry, .oldest_seq = kFirstSeq, .next_seq = {kRestartEvery}, .marks_count = 1};
    hello.epoch = kMark.epoch;
    hello.marks[0] = kMark;
    hello.marks[0].epoch.value += number;
    return codec::encode(hello, {}, out).value_or(0);
  }
  codec::Record record{.try_id = kTry, .seq = {place}};
  if (place == 1) {
    record.mark = Epoch{kMark.epoch.value + number - 1};
  } else {
    record.batch = bomb();
  }
  return codec::encode(record, out).value_or(0);
}

std::size_t hello_with_table(Random& random, Buffer& out) {
  const std::string name = "t" + std::to_string(random.below(1'000'000));
  const std::array<codec::Channel, 1> channels{{{.name = "x", .unit = "1"}}};
  const codec::ChannelTable table{.name = name, .period = Millis{1'000}, .channels = channels, .rows_max = 4};
  const codec::AnnouncedTable announced = codec::announced(table);
  return codec::encode(any_hello(random), {&announced, 1}, out).value_or(0);
}

std::size_t encode(Hostile kind, std::uint64_t number, Random& random, topics::Leaf& leaf, Buffer& out) {
  switch (kind) {
    case Hostile::kHellos:
      leaf = topics::Leaf::kHello;
      return codec::encode(any_hello(random), {}, out).value_or(0);
    case Hostile::kLosses: {
      codec::Record record{.try_id = {1}, .seq = {random.below(4)}};
      record.loss = {.count = random.next(), .reason = codec::LossReason::kCorrupt};
      return codec::encode(record, out).value_or(0);
    }
    case Hostile::kEpochs:
      // A hello names it, so it counts.
      if (number % 2 == 0) {
        leaf = topics::Leaf::kHello;
        codec::Hello hello{.try_id = kTry, .oldest_seq = kFirstSeq, .next_seq = {2}, .marks_count = 1};
        hello.marks[0] = {.epoch = {1'000'000 + number}, .first_seq = kFirstSeq};
        return codec::encode(hello, {}, out).value_or(0);
      } else {
        codec::Record record{.try_id = kTry, .seq = kFirstSeq};
        record.mark = Epoch{1'000'000 + number - 1};
        return codec::encode(record, out).value_or(0);
      }
    case Hostile::kTables:
      leaf = topics::Leaf::kHello;
      return hello_with_table(random, out);
    case Hostile::kBoots: {
      leaf = topics::Leaf::kHello;
      codec::Hello hello = any_hello(random);
      hello.epoch = hello.marks[0].epoch;
      hello.boot_time = UnixMillis{static_cast<std::int64_t>(random.below(1'000'000'000))};
      return codec::encode(hello, {}, out).value_or(0);
    }
    case Hostile::kBatches:
      return path_message(number, leaf, out);
    case Hostile::kNoise:
    case Hostile::kFlood:
      break;
  }
  const std::size_t size = 1 + random.below(200);
  std::ranges::generate(std::span(out).first(size), [&] { return static_cast<std::uint8_t>(random.next()); });
  return size;
}

}  // namespace

HostileMessage hostile_message(Hostile kind, std::uint64_t number, Random& random) {
  if (kind == Hostile::kFlood) kind = static_cast<Hostile>(random.below(kHostileKinds - 1));
  HostileMessage message;
  Buffer buffer{};
  const std::size_t size = encode(kind, number, random, message.leaf, buffer);
  message.payload = as_text(Bytes(buffer).first(size));
  return message;
}

}  // namespace godwit::sim
