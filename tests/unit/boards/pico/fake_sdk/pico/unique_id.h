// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

struct pico_unique_board_id_t {
  std::uint8_t id[8];
};
void pico_get_unique_board_id(pico_unique_board_id_t* id);
