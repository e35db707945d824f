// SPDX-License-Identifier: Apache-2.0
// A limit that callers share, so that none of them denies it to the others: a caller may hold no more than
// what it leaves free. So one alone has half, and there is always something left for who holds nothing.
// Server's thread only; must outlive what it gives out.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

namespace godwit::http {

class Shares {
 public:
  explicit Shares(std::uint64_t max) : max_(max) {}
  Shares(const Shares&) = delete;
  Shares& operator=(const Shares&) = delete;

  // Held until the last copy is gone. nullptr: `caller` would hold more than its share.
  [[nodiscard]] std::shared_ptr<const void> take(const std::string& caller, std::uint64_t size) {
    const auto known = held_.find(caller);
    const std::uint64_t own = known == held_.end() ? 0 : known->second;
    if (own + size > max_ - sum_) return nullptr;
    held_[caller] += size;
    sum_ += size;
    return {this, [this, caller, size](const void*) { give_back(caller, size); }};
  }

 private:
  void give_back(const std::string& caller, std::uint64_t size) {
    sum_ -= size;
    const auto entry = held_.find(caller);
    entry->second -= size;
    if (entry->second == 0) held_.erase(entry);
  }

  const std::uint64_t max_;
  std::uint64_t sum_ = 0;  // never above max_
  std::unordered_map<std::string, std::uint64_t> held_;
};

}  // namespace godwit::http
