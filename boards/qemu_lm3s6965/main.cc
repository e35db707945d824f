// SPDX-License-Identifier: Apache-2.0
#include "boards/common/mcu/node.h"
#include "boards/qemu_lm3s6965/board.h"

int main() {
  static godwit::boards::Lm3s6965 board;
  godwit::boards::run_node(board);
}
