// SPDX-License-Identifier: Apache-2.0
// How a boot ended, for the boot after it: in RAM that a reset does not clear, with a checksum, as after
// power-on that RAM holds anything. Portable: no register is touched here.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "proto/base/time.h"
#include "proto/codec/messages.h"

namespace godwit::boards {

class CrashRecord {
 public:
  struct Found {
    codec::Crash crash;   // the text is borrowed until the next store()
    bool is_new = false;  // read for the first time: this is how the boot before ended
  };

  // Left as it is found in RAM.
  CrashRecord() = default;

  // `where` is cut to its last kWhereSizeMax characters; others than printable ASCII become '?'.
  void store(const codec::Crash& crash);
  // What was stored and not cleared since. nullopt: nothing, or it is damaged.
  std::optional<Found> read();
  // Leaves the text that read() has lent as it is.
  void clear() { where_size_ = kCleared; }

 private:
  static constexpr std::size_t kWhereSizeMax = 48;  // as a hello has room for
  static constexpr std::uint8_t kCleared = 0xFF;

  [[nodiscard]] std::uint32_t checksum() const;

  std::uint32_t checksum_;  // inverted once it was read
  codec::CrashKind kind_;
  std::uint8_t where_size_;
  std::uint32_t pc_;
  std::uint32_t lr_;
  std::uint32_t cause_;
  std::uint32_t address_;
  std::uint32_t stack_used_;
  std::array<char, kWhereSizeMax> where_;
};

// Counts the starts since the last time that all was well, in the same RAM.
class StartCount {
 public:
  // Left as it is found in RAM.
  StartCount() = default;

  // The number of this start; 1 after power-on.
  std::uint32_t next();
  // All is well.
  void clear() { check_ = count_; }

 private:
  std::uint32_t count_;
  std::uint32_t check_;  // the count inverted, otherwise it is 0
};

// What a failing storage did not take, for the boot after a reset, in the same RAM.
class StorageFailure {
 public:
  struct State {
    std::uint32_t refused = 0;  // records that no entry of the log tells of yet
    bool reset_tried = false;   // and nothing was stored since
  };

  // Left as it is found in RAM.
  StorageFailure() = default;

  // Nothing after power-on.
  [[nodiscard]] State read() const;
  // Counts end at 2^31 - 1.
  void store(const State& state);

 private:
  std::uint32_t value_;
  std::uint32_t check_;
};

// So long a board waits before its start of this number. Each start erases and writes a sector (NodeState): a
// board that crashes as soon as it runs would wear out a flash of 100,000 cycles in days. With a minute in
// between it lasts four months, which is time to see to it.
constexpr Millis pause_before_start(std::uint32_t number) {
  constexpr std::uint32_t kAtOnce = 3;
  constexpr std::uint32_t kDoublings = 6;
  return number <= kAtOnce ? Millis{0} : Millis{1'000} * (1U << std::min(number - kAtOnce, kDoublings));
}

// Those of this board.
CrashRecord& last_crash();
StartCount& start_count();
StorageFailure& storage_failure();

// RAM has kept its content since an earlier start: this one came from a reset, not from power-on. The first
// call only.
bool ram_survived();

}  // namespace godwit::boards
