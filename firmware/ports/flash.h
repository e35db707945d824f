// SPDX-License-Identifier: Apache-2.0
// A region of flash memory, as the outbox needs it. Implemented by boards, by the simulator and by tests;
// every implementation passes tests/support/flash_conformance.h.
#pragma once

#include <cstdint>

#include "proto/base/bytes.h"
#include "proto/base/status.h"

namespace godwit::ports {

struct FlashGeometry {
  std::uint32_t sector_size_bytes;   // the unit of erasing; a multiple of program_size_bytes
  std::uint32_t sector_count;        // at least 2
  std::uint32_t program_size_bytes;  // the unit of programming, a power of two: 1 to 512
};

// Offsets are relative to the region. Erased bytes read 0xFF. A byte is programmed once between erases.
// After a Status other than kOk the bytes of that call are undefined and all others untouched. A power cut
// may leave any prefix of a program, with its last unit in any state, unreadable included, and for an erase
// any content of the sector. Calls are synchronous, from the main loop only; their worst-case time is a
// figure of the board.
class Flash {
 public:
  [[nodiscard]] const FlashGeometry& geometry() const { return geometry_; }
  [[nodiscard]] std::uint64_t size_bytes() const {
    return std::uint64_t{geometry_.sector_size_bytes} * geometry_.sector_count;
  }

  // kInvalidArgument: outside of the region. kCorrupt: a unit in there cannot be read, for good or until it
  // is erased, as after a cut-off program of memory with error correction; the others can. kIo: no answer,
  // which may pass.
  Status read(std::uint64_t offset, MutableBytes out);
  // Precondition: the area is erased. kInvalidArgument: outside, or offset or size not a multiple of the
  // program size. kIo: the memory failed, perhaps for good.
  Status program(std::uint64_t offset, Bytes in);
  // kInvalidArgument: no such sector. kIo: the memory failed, perhaps for good.
  Status erase(std::uint32_t sector);
  // When it returns kOk, all that was programmed and erased before survives a power cut.
  Status flush() { return do_flush(); }

 protected:
  explicit Flash(const FlashGeometry& geometry);
  ~Flash() = default;  // not virtual, here and in all ports: that would ask for operator delete
  Flash(const Flash&) = default;
  Flash& operator=(const Flash&) = default;

 private:
  virtual Status do_read(std::uint64_t offset, MutableBytes out) = 0;
  virtual Status do_program(std::uint64_t offset, Bytes in) = 0;
  virtual Status do_erase(std::uint32_t sector) = 0;
  virtual Status do_flush() = 0;

  [[nodiscard]] bool contains(std::uint64_t offset, std::size_t size) const;
  FlashGeometry geometry_;
};

}  // namespace godwit::ports
