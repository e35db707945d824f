// SPDX-License-Identifier: Apache-2.0
// When to try again: exponential backoff with full jitter, which falls back to its start only after the link
// has been up and useful for a while, so that "connected, then kicked" does not spin. A value; no clock, no
// randomness of its own.
#pragma once

#include <cstdint>
#include <optional>

#include "proto/base/time.h"

namespace godwit::mqtt {

class Backoff {
 public:
  struct Options {
    Millis first{1'000};          // the first delay is 0 to this
    Millis max{120'000};          // later ones double up to this
    Millis stable_after{30'000};  // up and useful for so long proves the link stable
  };
  Backoff() : Backoff(Options{}) {}
  explicit Backoff(const Options& options) : options_(options), ceiling_(options.first) {}

  // The delay before the next attempt; `random` is uniform over all its values.
  Millis next_delay(std::uint32_t random);
  // The link has done what it is for (an acknowledgement came, not merely a connection).
  void link_useful(Instant now);
  void link_down(Instant now);

 private:
  Options options_;
  Millis ceiling_;
  std::optional<Instant> useful_since_;
};

}  // namespace godwit::mqtt
