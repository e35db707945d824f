// SPDX-License-Identifier: Apache-2.0
// What a process has used, read from /proc. Throws if it is gone.
#pragma once

#include <cstdint>

namespace godwit::bench {

struct Usage {
  double cpu_s = 0;                    // user and system time of all its threads
  std::uint64_t resident_kib = 0;      // memory now ...
  std::uint64_t resident_max_kib = 0;  // ... and the most so far
};

[[nodiscard]] Usage usage_of(int pid);

}  // namespace godwit::bench
