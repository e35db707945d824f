// SPDX-License-Identifier: Apache-2.0
// Token buckets by caller. Reads no clock. Memory: one small entry for each caller of the last seconds, at
// most kCallersMax.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <unordered_map>

namespace godwit::http {

class RateLimiter {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::size_t kCallersMax = 10'000;

  // `per_second` > 0; a bucket holds `burst` >= 1 tokens.
  RateLimiter(double per_second, double burst) : per_second_(per_second), burst_(burst) {}

  // Takes a token; nullopt: the request may go on. Otherwise the time until there is a token again.
  std::optional<std::chrono::milliseconds> take(const std::string& caller, Time now);

 private:
  struct Bucket {
    double tokens;
    Time filled_at;
  };
  [[nodiscard]] double tokens_at(const Bucket& bucket, Time now) const;

  const double per_second_;
  const double burst_;
  std::unordered_map<std::string, Bucket> buckets_;
};

}  // namespace godwit::http
