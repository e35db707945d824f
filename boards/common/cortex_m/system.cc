// SPDX-License-Identifier: Apache-2.0
// What the C++ runtime and libc want of a system, where there is none.
#include "boards/common/cortex_m/system.h"

#include <cstddef>

#include "boards/common/cortex_m/registers.h"
#include "proto/base/assert.h"

namespace godwit::boards {

[[gnu::weak]] void reset_processor() {
  constexpr std::uint32_t kKey = 0x05FAU << 16U;
  constexpr std::uint32_t kSystemReset = 1U << 2U;
  asm volatile("dsb" ::: "memory");
  reg(kResetControl) = kKey | kSystemReset;
  for (;;) asm volatile("dsb");
}

}  // namespace godwit::boards

// Nothing is ever deleted; virtual destructors name these all the same.
void operator delete(void*) noexcept { godwit::assert_failed("operator delete", 0); }
void operator delete(void*, std::size_t) noexcept { godwit::assert_failed("operator delete", 0); }

extern "C" {
[[noreturn]] void __cxa_pure_virtual();
[[noreturn]] void abort();
[[noreturn]] void _exit(int code);
int __aeabi_atexit(void* object, void (*destroy)(void*), void* dso);
void* __dso_handle = nullptr;

void __cxa_pure_virtual() { godwit::assert_failed("pure virtual call", 0); }
void abort() { godwit::assert_failed("abort", 0); }
void _exit(int) { godwit::assert_failed("exit", 0); }
// Statics live until the reset.
int __aeabi_atexit(void*, void (*)(void*), void*) { return 0; }
}
