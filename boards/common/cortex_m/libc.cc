// SPDX-License-Identifier: Apache-2.0
// Functions of the C library whose versions in newlib are fast and large, for boards where they compare short
// names now and then.
#include <cstring>

extern "C" [[gnu::used]] int strcmp(const char* a, const char* b) {
  while (*a != '\0' && *a == *b) {
    ++a;
    ++b;
  }
  return static_cast<unsigned char>(*a) - static_cast<unsigned char>(*b);
}
