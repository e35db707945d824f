// SPDX-License-Identifier: Apache-2.0
// Some sectors of a flash as a flash of their own.
#pragma once

#include "boards/common/storage/layout.h"
#include "firmware/ports/flash.h"

namespace godwit::boards {

class Partition final : public ports::Flash {
 public:
  // `whole` must outlive this object. Precondition: it has these sectors, of which there are at least 2.
  Partition(ports::Flash& whole, Region region);

 private:
  Status do_read(std::uint64_t offset, MutableBytes out) override;
  Status do_program(std::uint64_t offset, Bytes in) override;
  Status do_erase(std::uint32_t sector) override;
  Status do_flush() override;

  ports::Flash& whole_;
  std::uint32_t first_sector_;
  std::uint64_t start_;  // its offset in `whole_`
};

}  // namespace godwit::boards
