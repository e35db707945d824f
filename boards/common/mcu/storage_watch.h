// SPDX-License-Identifier: Apache-2.0
// Tells when a board's storage fails for good: for a minute it took nothing of what was to be recorded.
// Nothing more is lost by a reset then, which may cure it; if not, the board says so until somebody does.
#pragma once

#include <cstdint>

#include "proto/base/time.h"

namespace godwit::boards {

class StorageWatch {
 public:
  static constexpr Millis kPatience{60'000};

  // Call every second or so with the records that were stored, and that could not be, since the start.
  bool has_failed(Instant now, std::uint64_t recorded, std::uint64_t refused) {
    const bool is_bad = refused != refused_ && recorded == recorded_;
    if (recorded != recorded_) failing_ = false;
    recorded_ = recorded;
    refused_ = refused;
    if (!is_bad) return false;
    if (!failing_) since_ = now;
    failing_ = true;
    return now - since_ >= kPatience;
  }

 private:
  std::uint64_t recorded_ = 0;
  std::uint64_t refused_ = 0;
  bool failing_ = false;  // nothing else since then
  Instant since_{};
};

}  // namespace godwit::boards
