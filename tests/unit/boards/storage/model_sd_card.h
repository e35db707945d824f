// SPDX-License-Identifier: Apache-2.0
// An SD card at the other end of the wire, byte by byte, written from the specification and not from the
// driver. It insists on what a real card may insist on (GoogleTest fails otherwise), and misbehaves when told
// to.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "boards/common/storage/spi.h"

namespace godwit::test {

class ModelSdCard final : public boards::Spi {
 public:
  enum class Kind : std::uint8_t { kVersion1, kStandard, kHighCapacity };
  static constexpr std::size_t kBlockSize = 512;

  ModelSdCard(Kind kind, std::uint32_t block_count);

  // What it does wrong. Counts are of events yet to come; each is used up.
  struct Faults {
    bool absent = false;              // nobody drives the line
    bool never_ready = false;         // stays in its start-up for ever
    bool multimedia_card = false;     // does not know ACMD41
    bool wrong_echo = false;          // of CMD8
    bool low_voltage_only = false;    // as the OCR tells
    bool no_checksums = false;        // refuses CMD59, and sends any CRC
    bool no_registers = false;        // calls CMD9, 10 and 13 illegal, as QEMU 9.1 to 10.0's card does
    bool late_range_error = false;    // tells of an address behind the end only in place of the data
    int bad_read_crcs = 0;            // data blocks with a wrong CRC
    int read_errors = 0;              // an error token in place of data
    bool no_data = false;             // never a token
    int rejected_blocks = 0;          // of a write: CRC error
    int write_errors = 0;             // of a write
    bool busy_for_ever = false;       // after the next block
    int bad_statuses = 0;             // what CMD13 tells of the write before
    std::int64_t removed_after = -1;  // bytes from now
  };
  Faults faults;
  std::array<std::uint8_t, 16> csd{};  // made from kind and size; change it to be another card
  std::array<std::uint8_t, 16> cid{0x03, 'S', 'D', 1};  // whose card it is, and its serial number
  std::uint32_t clock_hz = 0;
  std::uint64_t bytes = 0;                         // on the wire
  std::map<std::uint8_t, std::uint32_t> commands;  // how often each came
  std::vector<std::uint8_t> memory;

  // As the processor's reset finds it: in the middle of a block that it is to store, with nothing of its
  // start undone.
  void leave_in_write();
  // Without power and with it again: it has to be started anew.
  void power_cycle();

  std::uint32_t set_clock(std::uint32_t hz_max) override;
  void select() override { selected_ = true; }
  void deselect() override;
  void send(Bytes out) override;
  void receive(MutableBytes in) override;

 private:
  enum class Phase : std::uint8_t { kOff, kIdle, kReady };
  enum class Write : std::uint8_t { kNone, kToken, kData };

  std::uint8_t exchange(std::uint8_t in);
  std::uint8_t answer(std::uint8_t in);
  bool take_write(std::uint8_t in);
  void store_block();
  void execute();
  void execute_application(std::uint8_t index, std::uint32_t argument);
  void reply(std::initializer_list<std::uint8_t> bytes);
  void reply_data(Bytes data);
  void read_block(std::uint32_t address);
  [[nodiscard]] std::uint8_t r1(std::uint8_t errors = 0) const;
  std::size_t offset_of(std::uint32_t address);

  Kind kind_;
  Phase phase_ = Phase::kOff;
  bool selected_ = false;
  bool application_ = false;
  bool checksums_ = false;
  std::uint32_t clocks_ = 0;  // bytes before the first command
  int start_polls_ = 3;
  Write write_ = Write::kNone;
  std::size_t write_at_ = 0;
  bool write_failed_ = false;
  std::vector<std::uint8_t> data_;
  std::vector<std::uint8_t> frame_;
  std::deque<std::uint8_t> reply_;
  bool stuck_ = false;
};

}  // namespace godwit::test
