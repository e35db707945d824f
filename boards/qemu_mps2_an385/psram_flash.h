// SPDX-License-Identifier: Apache-2.0
// Memory that outlives a reset as flash, with its manners: programming can only clear bits, erasing sets a
// sector's. On this board the PSRAM, which QEMU keeps in a file.
#pragma once

#include "firmware/ports/flash.h"

namespace godwit::boards {

class PsramFlash final : public ports::Flash {
 public:
  static constexpr std::uint32_t kSectorSize = 4096;
  static constexpr std::uint32_t kProgramSize = 16;

  // `memory` must outlive this object; whole sectors of it are used, and there must be two.
  explicit PsramFlash(MutableBytes memory);

 private:
  Status do_read(std::uint64_t offset, MutableBytes out) override;
  Status do_program(std::uint64_t offset, Bytes in) override;
  Status do_erase(std::uint32_t sector) override;
  Status do_flush() override;

  std::uint8_t* memory_;
};

}  // namespace godwit::boards
