// SPDX-License-Identifier: Apache-2.0
// A source of cryptographic randomness. Boards name their source honestly; tests hand in a seeded one.
#pragma once

#include "proto/base/bytes.h"
#include "proto/base/status.h"

namespace godwit::ports {

class Entropy {
 public:
  // Fills all of `out`. kIo: the source failed; the contents of `out` must not be used.
  virtual Status fill(MutableBytes out) = 0;

 protected:
  ~Entropy() = default;
};

}  // namespace godwit::ports
