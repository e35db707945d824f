// SPDX-License-Identifier: Apache-2.0
// An SD memory card over SPI, by blocks of 512 bytes: standard and high capacity, versions 1 and 2. As flash:
// sd_flash.h. Everything that crosses the wire has a checksum, and what fails is tried again.
//
// Three commands that the specification makes mandatory are done without where a card calls them illegal, as
// QEMU 9.1 to 10.0's does: CMD9, CMD10 (its size is found by reading then, and it is never taken for the same
// again) and CMD13 (its answers to the blocks of a write have to do).
//
// RAM: sizeof(SdCard) and 100 bytes of stack. Main loop only. A call waits for the card for kPatience at most
// in all, one that starts it for kStartPatience, besides the time of its own bytes on the wire. Written from
// the SD Association's "Physical Layer Simplified Specification", chapter 7.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "boards/common/storage/spi.h"
#include "proto/base/bytes.h"
#include "proto/base/status.h"
#include "proto/base/time.h"

namespace godwit::boards {

class SdCard {
 public:
  static constexpr std::size_t kBlockSize = 512;
  // A card may take 1 s to start, 100 ms for a read and 500 ms for a write. Several calls in a row stay well
  // below any watchdog.
  static constexpr Millis kStartPatience{1'500};
  static constexpr Millis kPatience{600};
  static constexpr std::uint32_t kClockMaxHz = 25'000'000;

  // `spi` must outlive this object.
  explicit SdCard(Spi& spi) : spi_(spi) {}

  // Wakes the card; again to take in another one. kNotFound: no card answers. kUnsupported: not an SD memory
  // card, or one that cannot run on 3.3 V. kIo: it answers, but not as it should.
  Status start();
  // The same for the card that start() found last, which may have been without power or contact. kNotFound
  // also if it is another one now, or does not tell: then block_count() is 0, and start() would take that.
  Status restart();

  // Of the card that start() has found; 0: none.
  [[nodiscard]] std::uint32_t block_count() const { return block_count_; }

  // Precondition for all: the blocks are below block_count(). kIo: the card failed or is gone, before start()
  // too.
  Status read(std::uint32_t block, std::span<std::uint8_t, kBlockSize> out);
  // Whole blocks. When it returns kOk the card has stored them. After kIo each of them has its old or its new
  // content or is unreadable.
  Status write(std::uint32_t block, Bytes in);
  // Makes all bytes of `count` blocks 0xFF.
  Status erase(std::uint32_t block, std::uint32_t count);

 private:
  using Block = std::span<std::uint8_t, kBlockSize>;

  void set_clock(std::uint32_t hz_max, Millis patience);
  void end();
  std::uint8_t poll();
  bool wait_ready();
  std::uint8_t command(std::uint8_t index, std::uint32_t argument);
  std::uint8_t application_command(std::uint8_t index, std::uint32_t argument);
  Status reset();
  Status power_up();
  Status identify();
  Status read_register(std::uint8_t index, std::span<std::uint8_t, 16> out);
  Status find_size();
  std::optional<bool> has_block(std::uint32_t block);
  std::uint8_t receive_token();
  Status receive_data(MutableBytes out);
  bool send_data(Bytes data);
  Status try_read(std::uint32_t block, Block out);
  // Writes `data`, or 0xFF if it is empty.
  Status try_write(std::uint32_t block, std::uint32_t count, Bytes data);
  Status write_blocks(std::uint32_t block, std::uint32_t count, Bytes data);
  [[nodiscard]] std::uint32_t address(std::uint32_t block) const {
    return by_blocks_ ? block : block * static_cast<std::uint32_t>(kBlockSize);
  }

  Spi& spi_;
  std::uint32_t polls_max_ = 0;  // bytes that pass while a call waits at most
  std::uint32_t polls_left_ = 0;
  std::uint32_t block_count_ = 0;
  std::optional<std::uint32_t> identity_;  // checksum of what tells this card from others
  bool by_blocks_ = false;                 // high capacity: addresses count blocks, not bytes
  bool checked_ = false;                   // the card promises checksums
  bool has_status_ = false;                // and tells how a write went
};

}  // namespace godwit::boards
