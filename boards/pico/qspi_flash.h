// SPDX-License-Identifier: Apache-2.0
// The upper part of the QSPI flash that the program runs from. The program stands still while the flash is
// busy, interrupts too: at most 3 ms for a page of 256 bytes (typically 0.4 ms), 400 ms for a sector
// (typically 45 ms), by the data sheets of the W25Q16JV (Pico) and its kin.
#pragma once

#include "firmware/ports/flash.h"

namespace godwit::boards {

class QspiFlash final : public ports::Flash {
 public:
  // From BOARD_STORAGE_OFFSET to the end of the flash.
  QspiFlash();

 private:
  Status do_read(std::uint64_t offset, MutableBytes out) override;
  Status do_program(std::uint64_t offset, Bytes in) override;
  Status do_erase(std::uint32_t sector) override;
  Status do_flush() override;
};

}  // namespace godwit::boards
