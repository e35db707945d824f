// SPDX-License-Identifier: Apache-2.0
#include "boards/host/file_flash.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <vector>

namespace godwit::boards {
namespace {

constexpr std::uint8_t kErased = 0xFF;

bool write_at(int fd, std::uint64_t offset, Bytes in) {
  while (!in.empty()) {
    const ssize_t size = ::pwrite(fd, in.data(), in.size(), static_cast<off_t>(offset));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return false;
    in = in.subspan(static_cast<std::size_t>(size));
    offset += static_cast<std::uint64_t>(size);
  }
  return true;
}

// The file appears under its name only once it is whole.
bool make_erased(const std::filesystem::path& path, const ports::FlashGeometry& geometry) {
  const std::string content(std::size_t{geometry.sector_size_bytes} * geometry.sector_count,
                            static_cast<char>(kErased));
  return replace_file(path, content);
}

}  // namespace

std::expected<std::unique_ptr<FileFlash>, std::string> FileFlash::open(const std::filesystem::path& path,
                                                                       ports::FlashGeometry geometry) {
  const auto error = [&path](const std::string& what) {
    return std::unexpected(path.string() + ": " + what);
  };
  if (!std::filesystem::exists(path) && !make_erased(path, geometry)) {
    return error("cannot be made: " + std::generic_category().message(errno));
  }
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  struct stat status{};
  if (fd.get() < 0 || ::fstat(fd.get(), &status) != 0) {
    return error("cannot be opened: " + std::generic_category().message(errno));
  }
  const auto size = static_cast<std::uint64_t>(status.st_size);
  const std::uint64_t sectors = size / geometry.sector_size_bytes;
  if (size % geometry.sector_size_bytes != 0 || sectors < 2 || sectors > UINT32_MAX) {
    return error("has " + std::to_string(size) + " bytes, which are not two or more sectors of " +
                 std::to_string(geometry.sector_size_bytes) + ": move it away, then a new one is made");
  }
  geometry.sector_count = static_cast<std::uint32_t>(sectors);
  return std::unique_ptr<FileFlash>(new FileFlash(geometry, std::move(fd)));
}

// What the kernel says of bytes that the disk or the file system cannot read back (EBADMSG, EUCLEAN: their
// checksum is wrong), or that the file no longer has, is damage, unless nothing can be read any more.

Status FileFlash::do_read(std::uint64_t offset, MutableBytes out) {
  while (!out.empty()) {
    const ssize_t size = ::pread(fd_.get(), out.data(), out.size(), static_cast<off_t>(offset));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno != EIO && errno != EBADMSG && errno != EUCLEAN) return Status::kIo;
    if (size <= 0) return answers() ? Status::kCorrupt : Status::kIo;
    out = out.subspan(static_cast<std::size_t>(size));
    offset += static_cast<std::uint64_t>(size);
  }
  return Status::kOk;
}

// Whether the first byte of some sector can be read.
bool FileFlash::answers() const {
  std::uint8_t byte = 0;
  const auto reads = [&](std::uint64_t sector) {
    return ::pread(fd_.get(), &byte, 1, static_cast<off_t>(sector * geometry().sector_size_bytes)) == 1;
  };
  const std::uint32_t count = geometry().sector_count;
  return reads(0) || reads(count / 2) || reads(count - 1);
}

Status FileFlash::do_program(std::uint64_t offset, Bytes in) {
  return write_at(fd_.get(), offset, in) ? Status::kOk : Status::kIo;
}

Status FileFlash::do_erase(std::uint32_t sector) {
  const std::vector<std::uint8_t> erased(geometry().sector_size_bytes, kErased);
  return write_at(fd_.get(), std::uint64_t{sector} * erased.size(), erased) ? Status::kOk : Status::kIo;
}

Status FileFlash::do_flush() { return ::fdatasync(fd_.get()) == 0 ? Status::kOk : Status::kIo; }

}  // namespace godwit::boards
