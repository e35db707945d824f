// SPDX-License-Identifier: Apache-2.0
// How a boot ended, for the boot after it: in RAM that a reset does not clear, with a checksum, as after
// power-on that RAM holds anything. Portable: no register is touched here.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "proto/codec/messages.h"

namespace godwit::boards {

class CrashRecord {
 public:
  // Left as it is found in RAM.
  CrashRecord() = default;

  // `where` is cut to its last kWhereSizeMax characters; others than printable ASCII become '?'.
  void store(const codec::Crash& crash);
  // What was stored, once: the record is empty afterwards. nullopt: nothing, or it is damaged. The text is
  // borrowed until the next store().
  std::optional<codec::Crash> take();

 private:
  static constexpr std::size_t kWhereSizeMax = 48;  // as a hello has room for

  [[nodiscard]] std::uint32_t checksum() const;

  std::uint32_t checksum_;
  codec::CrashKind kind_;
  std::uint8_t where_size_;
  std::uint32_t pc_;
  std::uint32_t lr_;
  std::uint32_t cause_;
  std::uint32_t address_;
  std::uint32_t stack_used_;
  std::array<char, kWhereSizeMax> where_;
};

// How the boot before this one ended; the first call only. nullopt: in order, as far as this board knows.
std::optional<codec::Crash> take_last_crash();

// RAM has kept its content since an earlier start: this one came from a reset, not from power-on. The first
// call only.
bool ram_survived();

}  // namespace godwit::boards
