// SPDX-License-Identifier: Apache-2.0
// When to try again: exponential backoff with jitter, which falls back to its start only after the link has
// been up and useful for a while, so that "connected, then kicked" does not spin. A value; no clock, no
// randomness of its own.
#pragma once

#include <cstdint>
#include <optional>

#include "proto/base/time.h"

namespace godwit::mqtt {

class Backoff {
 public:
  struct Options {
    // Each delay is between `least` and a ceiling, which is `first` for the first one and doubles up to
    // `max`. All who lose their link at once come back spread over first - least.
    Millis least{1'000};
    Millis first{21'000};
    Millis max{120'000};
    Millis stable_after{30'000};  // up and useful for so long proves the link stable
  };
  Backoff() : Backoff(Options{}) {}
  explicit Backoff(const Options& options) : options_(options), ceiling_(options.first) {}

  // The delay before the next attempt; `random` is uniform over all its values. The largest stands for a
  // source that failed: the whole ceiling.
  Millis next_delay(std::uint32_t random);
  // Start again from the first ceiling.
  void reset() { ceiling_ = options_.first; }
  // The link has done what it is for (an acknowledgement came, not merely a connection).
  void link_useful(Instant now);
  void link_down(Instant now);

 private:
  Options options_;
  Millis ceiling_;
  std::optional<Instant> useful_since_;
};

}  // namespace godwit::mqtt
