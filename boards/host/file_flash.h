// SPDX-License-Identifier: Apache-2.0
// A file as flash memory. The file has the size of the flash from the start, so that a disk that fills up
// later does no harm. One process at a time (see DataDir).
#pragma once

#include <expected>
#include <filesystem>
#include <memory>
#include <string>

#include "boards/host/files.h"
#include "firmware/ports/flash.h"

namespace godwit::boards {

class FileFlash final : public ports::Flash {
 public:
  static constexpr ports::FlashGeometry kDefaultGeometry{
      .sector_size_bytes = 4096, .sector_count = 1024, .program_size_bytes = 16};

  // Opens the file, which then says itself how many sectors there are, or makes it, all erased, with as many
  // as `geometry` has. The error is a sentence: it cannot be opened, or is no flash of such sectors.
  static std::expected<std::unique_ptr<FileFlash>, std::string> open(const std::filesystem::path& path,
                                                                     ports::FlashGeometry geometry);

 private:
  FileFlash(const ports::FlashGeometry& geometry, UniqueFd fd) : Flash(geometry), fd_(std::move(fd)) {}
  Status do_read(std::uint64_t offset, MutableBytes out) override;
  Status do_program(std::uint64_t offset, Bytes in) override;
  Status do_erase(std::uint32_t sector) override;
  Status do_flush() override;
  [[nodiscard]] bool answers() const;

  UniqueFd fd_;
};

}  // namespace godwit::boards
