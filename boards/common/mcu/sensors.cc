// SPDX-License-Identifier: Apache-2.0
#include "boards/common/mcu/sensors.h"

namespace godwit::boards {
namespace {

// A slow wave of period `period` rows and height `height`, with a little noise on it.
struct Wave {
  codec::Channel channel;
  std::int64_t middle;
  std::int64_t height;
  std::uint32_t period;
  std::int64_t noise;
};

// The priors are those that fit records of 16 rows of these very waves (tests/support/recording.h).
constexpr std::array<Wave, 4> kWaves{{
    {.channel = {.name = "temperature",
                 .unit = "Cel",
                 .exponent = -2,
                 .min = -4000,
                 .max = 8500,
                 .prior = 0x7D00'0000'0000'139C},
     .middle = 2150,
     .height = 350,
     .period = 7'200,
     .noise = 2},
    {.channel = {.name = "humidity",
                 .unit = "%",
                 .exponent = -1,
                 .min = 0,
                 .max = 1000,
                 .prior = 0x8F00'0000'0000'17BD},
     .middle = 455,
     .height = 120,
     .period = 5'400,
     .noise = 3},
    {.channel = {.name = "pressure",
                 .unit = "Pa",
                 .exponent = 0,
                 .min = 30'000,
                 .max = 110'000,
                 .prior = 0x7E00'0000'0001'29CE},
     .middle = 101'325,
     .height = 900,
     .period = 20'000,
     .noise = 4},
    {.channel = {.name = "illuminance",
                 .unit = "lx",
                 .exponent = 0,
                 .min = 0,
                 .max = 120'000,
                 .prior = 0x8F00'0000'0001'5BDE},
     .middle = 420,
     .height = 400,
     .period = 3'600,
     .noise = 6},
}};

constexpr auto kChannels = [] {
  std::array<codec::Channel, kWaves.size()> channels;
  for (std::size_t i = 0; i < channels.size(); ++i) channels[i] = kWaves[i].channel;
  return channels;
}();

// The finaliser of MurmurHash3: every bit of `x` changes about half of the result.
std::uint32_t mix(std::uint32_t x) {
  x = (x ^ (x >> 16U)) * 0x85EB'CA6B;
  x = (x ^ (x >> 13U)) * 0xC2B2'AE35;
  return x ^ (x >> 16U);
}

// A parabola for each half of the wave: -1 to 1 as -4096 to 4096, within 6 % of a sine.
std::int64_t wave(std::uint64_t number, std::uint32_t period) {
  const std::uint32_t half = period / 2;
  const auto phase = static_cast<std::int64_t>(number % period);
  const std::int64_t x = phase % half;
  const std::int64_t arch = x * (half - x) * 4 * 4096 / (std::int64_t{half} * half);
  return phase < half ? arch : -arch;
}

}  // namespace

std::span<const codec::Channel> SyntheticSensors::channels() const { return kChannels; }

Status SyntheticSensors::read(Instant, std::uint64_t number, std::span<std::int64_t> row) {
  for (std::size_t i = 0; i < kWaves.size(); ++i) {
    const Wave& w = kWaves[i];
    const std::uint32_t dice = mix(static_cast<std::uint32_t>(number * kWaves.size() + i));
    const std::int64_t noise = std::int64_t{dice} % (2 * w.noise + 1) - w.noise;
    row[i] = w.middle + w.height * wave(number, w.period) / 4096 + noise;
  }
  return Status::kOk;
}

Status TableSensors::sample(std::size_t table, Instant now, std::span<std::int64_t> row) {
  const Millis period = tables_[table].contract.period;
  const auto number = telemetry::nearest_instant(now, period).time_since_epoch() / period;
  return drivers_[table]->read(now, static_cast<std::uint64_t>(number), row);
}

}  // namespace godwit::boards
