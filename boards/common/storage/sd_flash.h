// SPDX-License-Identifier: Apache-2.0
// An SD card as flash. A program unit is one block of the card, so nothing that was stored before shares a
// block with what is being written, and no power cut can hurt it. (Cards without protection against power
// loss may lose more than the block they were told to write; the outbox then reports what is lost.)
//
// A sector is 16 KB: erasing it writes 32 blocks of 0xFF in one command, which a card does in a few
// milliseconds; the outbox needs two reads per sector to mount, and gives up one sector when it drops what is
// oldest. Smaller would cost the former, larger the latter.
//
// A card that fails is started again, as it may have lost power or contact for a moment, and used further if
// it is the same. Another one in its place is not touched: what is in RAM is about the first. A call
// takes 2.7 s at most then, and the next ones 0.6 s.
//
// RAM: one block, the one that was read or written last, as an outbox reads in small pieces.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "boards/common/storage/sd_card.h"
#include "firmware/ports/flash.h"

namespace godwit::boards {

class SdFlash final : public ports::Flash {
 public:
  static constexpr std::uint32_t kSectorSize = 16'384;

  // Uses the card as far as it goes, and no more than `sectors_max`. `card` is started and must outlive this
  // object. Of a card that is not there, every call says kIo.
  SdFlash(SdCard& card, std::uint32_t sectors_max);

 private:
  static constexpr std::uint32_t kBlockSize = SdCard::kBlockSize;

  Status do_read(std::uint64_t offset, MutableBytes out) override;
  Status do_program(std::uint64_t offset, Bytes in) override;
  Status do_erase(std::uint32_t sector) override;
  Status do_flush() override;
  bool again_after(Status status);
  Status read_block(std::uint32_t block, std::span<std::uint8_t, kBlockSize> out);
  Status cache(std::uint32_t block);
  void forget(std::uint32_t block, std::uint32_t count);

  SdCard& card_;
  std::uint8_t failures_ = 0;            // of the card, in a row
  std::optional<std::uint32_t> cached_;  // the number of the block in `cache_`
  std::array<std::uint8_t, kBlockSize> cache_{};
};

}  // namespace godwit::boards
