// SPDX-License-Identifier: Apache-2.0
#include "boards/host/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include "proto/base/crc32.h"

namespace godwit::boards {
namespace {

std::string reason() { return std::generic_category().message(errno); }

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t size = ::write(fd, text.data(), text.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(size));
  }
  return true;
}

bool sync_folder(const std::filesystem::path& folder) {
  const UniqueFd fd(::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return fd.get() >= 0 && ::fsync(fd.get()) == 0;
}

// Slots of the boot counter: a number and its checksum, so far apart that one torn write spoils one.
constexpr std::size_t kBootSlotSize = 4096;
constexpr std::size_t kNumberSize = sizeof(std::uint32_t);

std::string boot_slot(std::uint32_t boot) {
  std::array<std::uint8_t, 2 * kNumberSize> slot{};
  store_le(slot.data(), boot);
  store_le(slot.data() + kNumberSize, crc32(Bytes(slot).first(kNumberSize)));
  return {slot.begin(), slot.end()};
}

// 0: there is none, or it is damaged.
std::uint32_t read_boot(int fd, std::size_t index) {
  std::array<std::uint8_t, 2 * kNumberSize> slot{};
  const ssize_t size = ::pread(fd, slot.data(), slot.size(), static_cast<off_t>(index * kBootSlotSize));
  if (size != static_cast<ssize_t>(slot.size())) return 0;
  const bool sound =
      load_le<std::uint32_t>(slot.data() + kNumberSize) == crc32(Bytes(slot).first(kNumberSize));
  return sound ? load_le<std::uint32_t>(slot.data()) : 0;
}

}  // namespace

void UniqueFd::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

std::expected<std::string, std::string> read_text_file(const std::filesystem::path& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return std::unexpected("cannot read " + path.string() + ": " + reason());
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t size = ::read(fd.get(), buffer, sizeof(buffer));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return std::unexpected("cannot read " + path.string() + ": " + reason());
    if (size == 0) return text;
    text.append(buffer, static_cast<std::size_t>(size));
  }
}

bool replace_file(const std::filesystem::path& path, std::string_view content) {
  const std::filesystem::path fresh = path.string() + ".new";
  {
    const UniqueFd fd(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (fd.get() < 0 || !write_all(fd.get(), content) || ::fsync(fd.get()) != 0) return false;
  }
  return ::rename(fresh.c_str(), path.c_str()) == 0 && sync_folder(path.parent_path());
}

std::expected<DataDir, std::string> DataDir::open(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return std::unexpected("cannot make the folder " + path.string() + ": " + error.message());
  const std::filesystem::path lock_file = path / "lock";
  UniqueFd lock(::open(lock_file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock.get() < 0) return std::unexpected("cannot open " + lock_file.string() + ": " + reason());
  // The kernel gives the lock back however the process ends.
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return std::unexpected("cannot lock " + lock_file.string() + ": " + reason());
    return std::unexpected("the folder " + path.string() + " is in use by another godwit-device");
  }
  return DataDir(path, std::move(lock));
}

std::expected<void, std::string> DataDir::claim(std::string_view device) {
  const std::filesystem::path file = path_ / "device";
  const std::string line = std::string(device) + "\n";
  const auto owner = read_text_file(file);
  if (owner && *owner == line) return {};
  if (!owner && std::filesystem::exists(file)) return std::unexpected(owner.error());
  if (owner) {
    return std::unexpected(
        "the folder " + path_.string() + " holds the records of the device " +
        owner->substr(0, owner->find('\n')) + ": give --id " + std::string(device) +
        " a folder of its own with --data, or delete this one and what it has not delivered");
  }
  if (!replace_file(file, line)) return std::unexpected("cannot write " + file.string() + ": " + reason());
  return {};
}

// The file has two slots, which starts overwrite in turn: that takes no room, and a power cut spoils the one
// that does not count yet.
std::expected<std::uint32_t, std::string> DataDir::count_boot() {
  const std::filesystem::path file = path_ / "boot";
  const UniqueFd fd(::open(file.c_str(), O_RDWR | O_CLOEXEC));
  if (fd.get() < 0 && errno != ENOENT) {
    return std::unexpected("cannot open " + file.string() + ": " + reason());
  }
  const std::uint32_t boot = std::max(read_boot(fd.get(), 0), read_boot(fd.get(), 1)) + 1;
  const std::string slot = boot_slot(boot);
  bool written = false;
  if (boot == 1) {
    std::string content(2 * kBootSlotSize, '\0');
    content.replace(boot % 2 * kBootSlotSize, slot.size(), slot);
    written = replace_file(file, content);
  } else {
    written = ::pwrite(fd.get(), slot.data(), slot.size(), static_cast<off_t>(boot % 2 * kBootSlotSize)) ==
                  static_cast<ssize_t>(slot.size()) &&
              ::fdatasync(fd.get()) == 0;
  }
  if (!written) return std::unexpected("cannot write " + file.string() + ": " + reason());
  return boot;
}

}  // namespace godwit::boards
