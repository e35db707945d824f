// SPDX-License-Identifier: Apache-2.0
#include "boards/common/cortex_m/semihosting.h"

#include <array>
#include <string_view>

namespace godwit::boards {
namespace {

enum class Operation : std::uint32_t { kOpen = 0x01, kRead = 0x06 };
constexpr std::uintptr_t kReadBinary = 1;  // mode of kOpen: "rb"

std::int32_t call(Operation operation, const std::array<std::uintptr_t, 3>& arguments) {
  register std::uint32_t r0 asm("r0") = static_cast<std::uint32_t>(operation);
  register const void* r1 asm("r1") = arguments.data();
  asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
  return static_cast<std::int32_t>(r0);
}

}  // namespace

Status SemihostingEntropy::fill(MutableBytes out) {
  if (file_ < 0) {
    constexpr std::string_view kFile = "/dev/urandom";
    file_ =
        call(Operation::kOpen, {reinterpret_cast<std::uintptr_t>(kFile.data()), kReadBinary, kFile.size()});
    if (file_ < 0) return Status::kIo;
  }
  // Yields the number of bytes that it did not read.
  const std::int32_t missing =
      call(Operation::kRead,
           {static_cast<std::uintptr_t>(file_), reinterpret_cast<std::uintptr_t>(out.data()), out.size()});
  return missing == 0 ? Status::kOk : Status::kIo;
}

}  // namespace godwit::boards
