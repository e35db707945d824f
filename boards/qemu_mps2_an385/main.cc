// SPDX-License-Identifier: Apache-2.0
#include <string_view>

#include "boards/common/cortex_m/registers.h"
#include "boards/common/cortex_m/systick.h"
using namespace godwit::boards;
int main() {
  reg(0x40004010) = 16;
  reg(0x40004008) = 1;
  SysTick::start(25'000'000);
  for (char c : std::string_view("hello\n")) reg(0x40004000) = static_cast<std::uint32_t>(c);
  for (;;) SysTick::sleep({});
}
