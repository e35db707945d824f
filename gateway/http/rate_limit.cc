// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/rate_limit.h"

#include <algorithm>

namespace godwit::http {

double RateLimiter::tokens_at(const Bucket& bucket, Time now) const {
  const double elapsed = std::chrono::duration<double>(now - bucket.filled_at).count();
  return std::min(burst_, bucket.tokens + std::max(elapsed, 0.0) * per_second_);
}

std::optional<std::chrono::milliseconds> RateLimiter::take(const std::string& caller, Time now) {
  if (buckets_.size() >= kCallersMax && !buckets_.contains(caller)) {
    // A full bucket says the same as none.
    std::erase_if(buckets_, [&](const auto& entry) { return tokens_at(entry.second, now) >= burst_; });
    if (buckets_.size() >= kCallersMax) return std::chrono::seconds(1);
  }
  Bucket& bucket = buckets_.try_emplace(caller, Bucket{burst_, now}).first->second;
  bucket.tokens = tokens_at(bucket, now);
  bucket.filled_at = now;
  if (bucket.tokens >= 1.0) {
    bucket.tokens -= 1.0;
    return std::nullopt;
  }
  const double wait_ms = (1.0 - bucket.tokens) / per_second_ * 1000.0;
  return std::chrono::milliseconds(static_cast<std::int64_t>(wait_ms) + 1);
}

}  // namespace godwit::http
