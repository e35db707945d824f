// SPDX-License-Identifier: Apache-2.0
#include "gateway/store/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <system_error>

#include "gateway/domain/reader.h"

namespace godwit::gateway {
namespace {

class FileLock final : public Files::Lock {
 public:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}
  // The file stays: removing it would let two gateways lock two files of the same name.
  ~FileLock() override { ::close(descriptor_); }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int descriptor_;
};

std::string holder(int descriptor) {
  std::array<char, 16> text{};
  const auto size = ::pread(descriptor, text.data(), text.size(), 0);
  int pid = 0;
  if (size <= 0 || std::from_chars(text.data(), text.data() + size, pid).ec != std::errc{}) return "unknown";
  return std::to_string(pid);
}

class RealFiles final : public Files {
 public:
  const char* vfs() const override { return nullptr; }

  bool is_directory(const std::filesystem::path& path) const override {
    std::error_code none;
    return std::filesystem::is_directory(path, none);
  }

  std::optional<std::uint64_t> size(const std::filesystem::path& file) const override {
    std::error_code missing;
    const auto bytes = std::filesystem::file_size(file, missing);
    if (missing) return std::nullopt;
    return bytes;
  }

  Locked lock(const std::filesystem::path& file) override {
    const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (descriptor < 0) {
      throw StoreError("cannot open " + file.string() + ": " + std::generic_category().message(errno) +
                       "; the gateway's user must be able to write in its folder");
    }
    auto lock = std::make_unique<FileLock>(descriptor);
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) return {.lock = nullptr, .holder = holder(descriptor)};
    // Only for the other one's message: failing to write it does no harm.
    const std::string pid = std::to_string(::getpid()) + "\n";
    if (::ftruncate(descriptor, 0) != 0 || ::pwrite(descriptor, pid.data(), pid.size(), 0) < 0) errno = 0;
    return {.lock = std::move(lock), .holder = {}};
  }

  std::optional<Space> space(const std::filesystem::path& directory) const override {
    struct statvfs of{};
    if (::statvfs(directory.c_str(), &of) != 0) return std::nullopt;
    return Space{.free_bytes = std::uint64_t{of.f_bavail} * of.f_frsize,
                 .total_bytes = std::uint64_t{of.f_blocks} * of.f_frsize};
  }
};

}  // namespace

Files& real_files() {
  static RealFiles files;
  return files;
}

}  // namespace godwit::gateway
