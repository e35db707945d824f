// SPDX-License-Identifier: Apache-2.0
// The time of day of a board without a clock of its own: what it was told last, carried on by the monotonic
// clock. A value; main loop only.
#pragma once

#include <optional>

#include "proto/base/status.h"
#include "proto/base/time.h"
#include "proto/codec/messages.h"

namespace godwit::boards {

class WallClock {
 public:
  // So long after it was told the time it may be off by seconds: a crystal drifts by some 50 parts in a
  // million.
  static constexpr Millis kSyncedFor{24 * 3'600'000};

  // It is certainly later than this: the board was provisioned then.
  void set_earliest(UnixMillis earliest) { earliest_ = earliest; }
  // kDenied: the time is before the earliest, and not taken.
  Status set(Instant now, UnixMillis time) {
    if (time.value < earliest_.value) return Status::kDenied;
    zero_ = UnixMillis{time.value - now.time_since_epoch().count()};
    set_at_ = now;
    return Status::kOk;
  }
  // nullopt: it was never told.
  [[nodiscard]] std::optional<UnixMillis> time(Instant now) const {
    if (!zero_) return std::nullopt;
    return UnixMillis{zero_->value + now.time_since_epoch().count()};
  }
  [[nodiscard]] codec::TimeQuality quality(Instant now) const {
    if (!zero_) return codec::TimeQuality::kNone;
    return now < set_at_ + kSyncedFor ? codec::TimeQuality::kSynced : codec::TimeQuality::kHoldover;
  }

 private:
  UnixMillis earliest_{};
  std::optional<UnixMillis> zero_;  // when the board started
  Instant set_at_{};
};

}  // namespace godwit::boards
