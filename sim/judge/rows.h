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

// Where rows come from, whatever their channels. The first channel is n.
class RowSource {
 public:
  [[nodiscard]] virtual std::span<const codec::Channel> channels() const = 0;
  // `out`: one value for each channel.
  virtual void row(std::uint64_t n, std::span<std::int64_t> out) const = 0;

 protected:
  ~RowSource() = default;
};

// Those of fill_row().
class SeededRows final : public RowSource {
 public:
  explicit SeededRows(std::uint64_t seed) : seed_(seed) {}
  [[nodiscard]] std::span<const codec::Channel> channels() const override { return kRowTable; }
  void row(std::uint64_t n, std::span<std::int64_t> out) const override {
    fill_row(seed_, n, out.first<kRowChannels>());
  }

 private:
  std::uint64_t seed_;
};

// The rows n = first to first + count - 1, if that is what an encoded batch holds.
struct RowRange {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};
// kMalformed: no batch. kCorrupt: other rows than the source makes, or not one after the other.
// `rows_max`: what its table announces.
std::expected<RowRange, Status> rows_of(const RowSource& source, std::size_t rows_max, Bytes batch);
// The same of values as a client is shown them: row after row.
std::expected<RowRange, Status> rows_of(const RowSource& source, std::span<const std::int64_t> values);

}  // namespace godwit::sim
