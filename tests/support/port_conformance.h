// SPDX-License-Identifier: Apache-2.0
// What every implementation of ports::Entropy, ports::Sensors and ports::Log has to do, as functions to call
// from a test with the object under test. (ports::Flash: flash_conformance.h.)
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "firmware/ports/entropy.h"
#include "firmware/ports/log.h"
#include "firmware/ports/sensors.h"
#include "firmware/telemetry/recorder.h"

namespace godwit::test {

// Fills what it is given, nothing else, and never twice the same.
inline void expect_entropy_conforms(ports::Entropy& entropy) {
  EXPECT_EQ(entropy.fill({}), Status::kOk);
  for (const std::size_t size : {1U, 4U, 32U, 257U, 5'000U}) {
    SCOPED_TRACE(size);
    std::vector<std::uint8_t> guarded(size + 2, 0xA5);
    ASSERT_EQ(entropy.fill(MutableBytes(guarded).subspan(1, size)), Status::kOk);
    EXPECT_EQ(guarded.front(), 0xA5);
    EXPECT_EQ(guarded.back(), 0xA5);
    if (size < 32) continue;
    const std::vector<std::uint8_t> first = guarded;
    ASSERT_EQ(entropy.fill(MutableBytes(guarded).subspan(1, size)), Status::kOk);
    EXPECT_NE(first, guarded);
    EXPECT_NE(std::ranges::count(guarded, guarded[1]), static_cast<std::ptrdiff_t>(size));
  }
}

// A row for each table, again and again, of values within the range that the channel states, or missing.
inline void expect_sensors_conform(ports::Sensors& sensors, std::span<const telemetry::Table> tables) {
  for (std::size_t table = 0; table < tables.size(); ++table) {
    ASSERT_EQ(telemetry::Recorder::check(tables[table]), Status::kOk);
    const auto channels = tables[table].contract.channels;
    Instant now{};
    for (int i = 0; i < 5; ++i) {
      constexpr std::int64_t kGuard = 0x5A5A5A5A5A5A5A5A;
      std::vector<std::int64_t> row(channels.size() + 1, kGuard);
      ASSERT_EQ(sensors.sample(table, now, std::span(row).first(channels.size())), Status::kOk);
      EXPECT_EQ(row.back(), kGuard);
      for (std::size_t c = 0; c < channels.size(); ++c) {
        if (row[c] == codec::kMissing || channels[c].min == channels[c].max) continue;
        EXPECT_GE(row[c], channels[c].min) << channels[c].name;
        EXPECT_LE(row[c], channels[c].max) << channels[c].name;
      }
      now += tables[table].contract.period;
    }
  }
}

// Takes any event: no fields, many, long or odd text, extreme numbers.
inline void expect_log_conforms(ports::Log& log) {
  const std::string long_text(5'000, 'x');
  for (const auto level : {ports::LogLevel::kDebug, ports::LogLevel::kInfo, ports::LogLevel::kWarning,
                           ports::LogLevel::kError}) {
    log.write(level, "event", {});
    log.write(level, "event", {{.key = "a", .number = INT64_MIN}, {.key = "b", .number = INT64_MAX}});
    log.write(level, "event",
              {{.key = "text", .text = long_text}, {.key = "odd", .text = "a\nb\"c\\=\x01\xFF"}});
  }
}

}  // namespace godwit::test
