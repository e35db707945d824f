// SPDX-License-Identifier: Apache-2.0
#include <string_view>

#include "boards/common/cortex_m/registers.h"
#include "boards/common/cortex_m/systick.h"
using namespace godwit::boards;
int main() {
  reg(0x400fe104) = 1;
  reg(0x4000c030) = 0x301;
  SysTick::start(50'000'000);
  for (char c : std::string_view("hello\n")) reg(0x4000c000) = static_cast<std::uint32_t>(c);
  for (;;) SysTick::sleep({});
}
