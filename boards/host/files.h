// SPDX-License-Identifier: Apache-2.0
// Files of a device that is a process. Errors are sentences for the person who typed the command.
#pragma once

#include <cstdint>
#include <expected>
#include <filesystem>
#include <string>
#include <string_view>

#include "proto/base/bytes.h"

namespace godwit::boards {

// Owns a file descriptor.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  ~UniqueFd() { reset(); }
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = other.release();
    }
    return *this;
  }

  [[nodiscard]] int get() const { return fd_; }
  void reset();

 private:
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  int fd_ = -1;
};

[[nodiscard]] std::expected<std::string, std::string> read_text_file(const std::filesystem::path& path);

// The text with its terminating zero: how mbedTLS takes PEM.
inline Bytes pem_bytes(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.c_str()), text.size() + 1};
}

// A device's folder, made if it is missing and held by one process at a time.
class DataDir {
 public:
  [[nodiscard]] static std::expected<DataDir, std::string> open(const std::filesystem::path& path);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  // From the first time on the folder belongs to this device. The error: it belongs to another one, whose
  // records would be delivered as this one's.
  [[nodiscard]] std::expected<void, std::string> claim(std::string_view device);
  // Counts this start: 1 the first time, and after damage. Durable when it returns; a power cut at any moment
  // skips a number at most. Only the first time, or after damage, it takes room on the disk.
  [[nodiscard]] std::expected<std::uint32_t, std::string> count_boot();

 private:
  DataDir(std::filesystem::path path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::filesystem::path path_;
  UniqueFd lock_;
};

// Replaces the file's content such that after a power cut it has the old or the new one. False: see errno.
[[nodiscard]] bool replace_file(const std::filesystem::path& path, std::string_view content);

}  // namespace godwit::boards
