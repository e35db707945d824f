// SPDX-License-Identifier: Apache-2.0
#include "boards/common/cortex_m/crash.h"

#include <algorithm>
#include <type_traits>

#include "proto/base/crc32.h"

namespace godwit::boards {
namespace {

constexpr std::uint32_t kSeed = 0x43524153;         // so that RAM full of zeros is no record
constexpr std::uint32_t kRefusedMax = 0x7FFF'FFFF;  // the bit above: reset_tried

char printable(char c) { return c >= ' ' && c <= '~' ? c : '?'; }

}  // namespace

static_assert(std::is_trivially_default_constructible_v<CrashRecord>);
static_assert(std::is_trivially_default_constructible_v<StartCount>);
static_assert(std::is_trivially_default_constructible_v<StorageFailure>);

std::uint32_t CrashRecord::checksum() const {
  const auto* const begin = reinterpret_cast<const std::uint8_t*>(this) + sizeof(checksum_);
  return crc32({begin, sizeof(*this) - sizeof(checksum_)}, kSeed);
}

void CrashRecord::store(const codec::Crash& crash) {
  std::string_view where = crash.where;
  where.remove_prefix(where.size() - std::min(where.size(), kWhereSizeMax));
  kind_ = crash.kind;
  where_size_ = static_cast<std::uint8_t>(where.size());
  pc_ = crash.pc;
  lr_ = crash.lr;
  cause_ = crash.cause;
  address_ = crash.address;
  stack_used_ = crash.stack_used;
  where_.fill(' ');
  std::ranges::transform(where, where_.begin(), printable);
  checksum_ = checksum();
}

std::optional<CrashRecord::Found> CrashRecord::read() {
  const std::uint32_t sum = checksum();
  const bool is_new = checksum_ == sum;
  if ((!is_new && checksum_ != ~sum) || where_size_ > where_.size()) return std::nullopt;
  checksum_ = ~sum;
  return Found{.crash = {.kind = kind_,
                         .pc = pc_,
                         .lr = lr_,
                         .cause = cause_,
                         .address = address_,
                         .stack_used = stack_used_,
                         .where = {where_.data(), where_size_}},
               .is_new = is_new};
}

std::uint32_t StartCount::next() {
  count_ = check_ == ~count_ ? count_ + 1 : 1;
  check_ = ~count_;
  return count_;
}

StorageFailure::State StorageFailure::read() const {
  if (check_ != (value_ ^ kSeed)) return {};
  return {.refused = value_ & kRefusedMax, .reset_tried = value_ > kRefusedMax};
}

void StorageFailure::store(const State& state) {
  value_ = std::min(state.refused, kRefusedMax) | (state.reset_tried ? kRefusedMax + 1 : 0);
  check_ = value_ ^ kSeed;
}

}  // namespace godwit::boards
