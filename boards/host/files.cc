// SPDX-License-Identifier: Apache-2.0
#include "boards/host/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <system_error>

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

std::expected<std::uint32_t, std::string> DataDir::count_boot() {
  const std::filesystem::path file = path_ / "boot";
  std::uint32_t boot = 0;
  if (const auto text = read_text_file(file)) {
    std::from_chars(text->data(), text->data() + text->size(), boot);  // unreadable: count from 1 again
  } else if (std::filesystem::exists(file)) {
    return std::unexpected(text.error());
  }
  ++boot;
  if (!replace_file(file, std::to_string(boot) + "\n")) {
    return std::unexpected("cannot write " + file.string() + ": " + reason());
  }
  return boot;
}

}  // namespace godwit::boards
