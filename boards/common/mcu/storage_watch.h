// SPDX-License-Identifier: Apache-2.0
// Tells when a board should be reset as its storage fails: for a minute it took nothing of what was to be
// recorded. Nothing more is lost by a reset then, which may cure it. One that did not is not tried again: the
// board goes on without storing, and says so.
#pragma once

#include <cstdint>

#include "proto/base/time.h"

namespace godwit::boards {

class StorageWatch {
 public:
  static constexpr Millis kPatience{60'000};

  // Whether the boot before was reset for this, and stored nothing since.
  explicit StorageWatch(bool reset_tried = false) : reset_tried_(reset_tried) {}

  // Call every second or so with the records that were stored, and that could not be, since the start. True
  // at most once until a record is stored.
  bool wants_reset(Instant now, std::uint64_t recorded, std::uint64_t refused) {
    const bool is_bad = refused != refused_ && recorded == recorded_;
    if (recorded != recorded_) failing_ = reset_tried_ = false;
    recorded_ = recorded;
    refused_ = refused;
    if (!is_bad) return false;
    if (!failing_) since_ = now;
    failing_ = true;
    if (reset_tried_ || now - since_ < kPatience) return false;
    reset_tried_ = true;
    return true;
  }
  [[nodiscard]] bool reset_tried() const { return reset_tried_; }

 private:
  std::uint64_t recorded_ = 0;
  std::uint64_t refused_ = 0;
  bool failing_ = false;  // nothing else since then
  bool reset_tried_;
  Instant since_{};
};

}  // namespace godwit::boards
