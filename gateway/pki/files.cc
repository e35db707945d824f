// SPDX-License-Identifier: Apache-2.0
#include "gateway/pki/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "gateway/pki/certificate.h"

namespace godwit::pki {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& file, const char* what) {
  throw Error(file.string() + ": cannot " + what + ": " + std::generic_category().message(errno));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

// A synced file under a passing name in the directory of `file`; removed again unless it was renamed.
class Draft {
 public:
  Draft(const fs::path& file, std::string_view content, Access access)
      : name_(file.parent_path() / ("." + file.filename().string() + ".XXXXXX")) {
    const Descriptor fd(::mkstemp(name_.data()));  // made with mode 0600
    if (fd.get() < 0) fail(file, "create");
    try {
      while (!content.empty()) {
        const ssize_t written = ::write(fd.get(), content.data(), content.size());
        if (written < 0 && errno != EINTR) fail(file, "write");
        if (written > 0) content.remove_prefix(static_cast<std::size_t>(written));
      }
      if (::fchmod(fd.get(), static_cast<mode_t>(access)) != 0) fail(file, "set the mode of");
      if (::fsync(fd.get()) != 0) fail(file, "sync");
    } catch (...) {
      ::unlink(name_.c_str());
      throw;
    }
  }
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;
  ~Draft() { ::unlink(name_.c_str()); }

  [[nodiscard]] const char* name() const { return name_.c_str(); }

 private:
  std::string name_;
};

fs::path directory_of(const fs::path& file) { return file.has_parent_path() ? file.parent_path() : "."; }

}  // namespace

bool create_file(const fs::path& file, std::string_view content, Access access) {
  if (fs::exists(fs::symlink_status(file))) return false;
  const Draft draft(file, content, access);
  // link(), unlike rename(), refuses a name that is taken: two programs at once cannot overwrite each other's
  // key.
  if (::link(draft.name(), file.c_str()) != 0) {
    if (errno == EEXIST) return false;
    fail(file, "create");
  }
  sync_directory(directory_of(file));
  return true;
}

void replace_file(const fs::path& file, std::string_view content, Access access) {
  const Draft draft(file, content, access);
  if (::rename(draft.name(), file.c_str()) != 0) fail(file, "replace");
  sync_directory(directory_of(file));
}

std::string read_file(const fs::path& file) {
  constexpr std::size_t kSizeMax = 1U << 20U;
  const Descriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) fail(file, "open");
  std::string content;
  for (;;) {
    char block[4096];
    const ssize_t size = ::read(fd.get(), block, sizeof block);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) fail(file, "read");
    if (size == 0) return content;
    content.append(block, static_cast<std::size_t>(size));
    if (content.size() > kSizeMax)
      throw Error(file.string() + ": larger than 1 MiB, this is not the right file");
  }
}

void sync_directory(const fs::path& directory) {
  const Descriptor fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) fail(directory, "open");
  // Some network file systems cannot sync a directory and say EINVAL; their names last as well as they can.
  if (::fsync(fd.get()) != 0 && errno != EINVAL) fail(directory, "sync");
}

}  // namespace godwit::pki
