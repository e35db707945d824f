// SPDX-License-Identifier: Apache-2.0
// What the sensors of a simulated device measure: a row is a function of (seed, n), where n counts the rows
// of the device over all its boots. So whoever holds a batch can tell which rows it has, and that they are
// right.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <span>

#include "proto/codec/messages.h"

namespace godwit::sim {

inline constexpr std::size_t kRowChannels = 3;
inline constexpr std::array<codec::Channel, kRowChannels> kRowTable{
    {{.name = "n", .unit = "1"}, {.name = "noise", .unit = "1"}, {.name = "slow", .unit = "1"}}};

void fill_row(std::uint64_t seed, std::uint64_t n, std::span<std::int64_t, kRowChannels> out);

// The rows n = first to first + count - 1, if that is what an encoded batch holds.
struct RowRange {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};
// kMalformed: no batch. kCorrupt: other rows than fill_row() makes, or not one after the other.
// `rows_max`: what its table announces.
std::expected<RowRange, Status> rows_of(std::uint64_t seed, std::size_t rows_max, Bytes batch);

}  // namespace godwit::sim
