// SPDX-License-Identifier: Apache-2.0
#include "boards/common/mcu/node.h"
#include "boards/qemu_mps2_an385/board.h"

int main() {
  static godwit::boards::Mps2An385 board;
  godwit::boards::run_node(board);
}
