// SPDX-License-Identifier: Apache-2.0
// The assert handler of a process.
#include <cstdio>
#include <cstdlib>

#include "proto/base/assert.h"

namespace godwit {

void assert_failed(const char* file, int line) {
  std::fprintf(stderr, "%s:%d: assertion failed: this is a bug in Godwit, please report it\n", file, line);
  std::abort();
}

}  // namespace godwit
