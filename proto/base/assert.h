// SPDX-License-Identifier: Apache-2.0
// Checks for programmer errors, kept on in release builds. Never for bytes from network, flash or
// configuration.
#pragma once

namespace godwit {

// Defined once by each program: a board records file and line and resets, a process aborts.
[[noreturn]] void assert_failed(const char* file, int line);

}  // namespace godwit

#define GODWIT_ASSERT(condition)                                   \
  do {                                                             \
    if (!(condition)) ::godwit::assert_failed(__FILE__, __LINE__); \
  } while (false)
