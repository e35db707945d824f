// SPDX-License-Identifier: Apache-2.0
#include "firmware/mqtt/backoff.h"

#include <algorithm>

namespace godwit::mqtt {

Millis Backoff::next_delay(std::uint32_t random) {
  const auto span = static_cast<std::uint64_t>((ceiling_ - options_.least).count()) + 1;
  const Millis delay = options_.least + Millis{static_cast<std::int64_t>((span * random) >> 32)};
  ceiling_ = std::min(ceiling_ * 2, options_.max);
  return delay;
}

void Backoff::link_useful(Instant now) {
  if (!useful_since_) useful_since_ = now;
}

void Backoff::link_down(Instant now) {
  if (useful_since_ && now - *useful_since_ >= options_.stable_after) reset();
  useful_since_.reset();
}

}  // namespace godwit::mqtt
