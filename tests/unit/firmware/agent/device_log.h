// SPDX-License-Identifier: Apache-2.0
// What the model gateway holds of a rig's device, read back.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <vector>

#include "tests/unit/firmware/agent/device_rig.h"

namespace godwit::agent {

using ModelItem = test::ModelGateway::Item;

inline bool is_record(const ModelItem& item) { return !item.batch.empty(); }
inline bool is_mark(const ModelItem& item) {
  return item.batch.empty() && item.lost == 0 && item.refused == 0;
}

// Every entry of a log that was never put back, once, in order, under the mark in force, explained where it
// is lost. What a first append left behind that was cut before its mark stood is named as unknown.
inline void expect_complete(const DeviceRig& rig) {
  const auto& database = rig.gateway.database;
  std::uint64_t next = database.unknown > 0 && !database.log.empty() ? database.log.front().seq : 1;
  std::uint64_t epoch = 0;
  for (const ModelItem& item : database.log) {
    ASSERT_EQ(item.seq, next);
    if (is_mark(item) || item.lost > 0) epoch = item.epoch;  // a mark may be among what is lost
    ASSERT_EQ(item.epoch, epoch) << "seq " << item.seq;
    next += item.lost > 0 ? item.lost : 1;
  }
  EXPECT_EQ(next, rig.device->outbox().next_seq().value);
}

// The time of each row of an encoded batch. CountingSensors make them: a row that is not what was sampled
// fails the test.
template <typename Take>
void append_rows(std::string_view encoded, std::uint32_t rows_max, Take take) {
  const auto batch = codec::decode_batch(as_bytes(encoded));
  ASSERT_TRUE(batch.has_value());
  std::array<codec::ChannelModel, 2> models;
  const std::size_t rows = batch->rows_of(rows_max);
  codec::SampleDecoder decoder(models, batch->samples, rows);
  for (std::size_t i = 0; i < rows; ++i) {
    std::array<std::int64_t, 2> row{};
    EXPECT_EQ(decoder.next(row), Status::kOk);
    EXPECT_EQ(row[1], 2 * row[0]);
    if (batch->quality == codec::TimeQuality::kNone) {
      EXPECT_NEAR(static_cast<double>(batch->time.count() + 1'000 * static_cast<std::int64_t>(i)),
                  static_cast<double>(row[0]), 500);
    }
    take(row[0]);
  }
}

// The times of all rows in the gateway's log, in its order. In one rig they are unlike each other.
inline std::vector<std::int64_t> rows_of(const DeviceRig& rig) {
  std::vector<std::int64_t> times;
  for (const ModelItem& item : rig.gateway.database.log) {
    if (!is_record(item)) continue;
    append_rows(item.batch, rig.tables[0].contract.rows_max, [&](std::int64_t row) { times.push_back(row); });
  }
  return times;
}

// The last hello that the gateway got. Its text is borrowed from the rig.
inline codec::Hello last_hello(const DeviceRig& rig) {
  class NoTables : public codec::TableVisitor {
    void table(std::uint32_t /*hash*/, const codec::ChannelTable& /*table*/) override {}
  } tables;
  return codec::decode_hello(as_bytes(rig.gateway.last_hello), tables).value_or(codec::Hello{});
}

}  // namespace godwit::agent
