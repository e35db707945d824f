// SPDX-License-Identifier: Apache-2.0
#include "gateway/store/backup.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>

#include "gateway/store/database.h"
#include "gateway/store/sqlite.h"

namespace godwit::gateway {
namespace {

[[noreturn]] void fail(const std::filesystem::path& file, const std::string& why) {
  throw StoreError("cannot back up to " + file.string() + ": " + why);
}
std::string error_text() { return std::generic_category().message(errno); }

// A file beside `final` that is removed again unless it is published under that name.
class Draft {
 public:
  explicit Draft(const std::filesystem::path& final) : final_(final), path_(final.string() + ".XXXXXX") {
    descriptor_ = ::mkostemp(path_.data(), O_CLOEXEC);  // mode 0600
    if (descriptor_ < 0) fail(final_, error_text() + "; is there such a folder, and may you write to it?");
  }
  ~Draft() {
    ::close(descriptor_);
    ::unlink(path_.c_str());
  }
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }

  void publish() {
    if (::fsync(descriptor_) != 0) fail(final_, error_text());
    // Not rename(), which would replace a file that somebody else has put there meanwhile. File systems of
    // memory cards and sticks have no links.
    if (::link(path_.c_str(), final_.c_str()) != 0) {
      if (errno == EEXIST || std::filesystem::exists(final_)) fail_exists(final_);
      if (::rename(path_.c_str(), final_.c_str()) != 0) fail(final_, error_text());
    }
    const std::filesystem::path folder = std::filesystem::absolute(final_).parent_path();
    const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) fail(final_, error_text());
    const bool synced =
        ::fsync(directory) == 0 || errno == EINVAL;  // EINVAL: this file system has no such thing
    ::close(directory);
    if (!synced) fail(final_, error_text());
  }

  [[noreturn]] static void fail_exists(const std::filesystem::path& file) {
    fail(file, "it exists already; name another file, or remove it first");
  }

 private:
  const std::filesystem::path& final_;
  std::string path_;
  int descriptor_ = -1;
};

}  // namespace

std::int64_t copy_database(const Files& files, const std::filesystem::path& source,
                           const std::filesystem::path& copy, Checksums checksums) {
  Connection from = open_for_reading(files, source);
  if (checksums == Checksums::kIgnored) read_unchecked(from);
  request_checksums(from);
  {
    // All of it is of one moment. Every row is read, and its page's checksum looked at; indexes are made
    // anew.
    const Statement statement(from, "VACUUM INTO ?1");
    run(statement, std::string_view(copy.native()));
  }
  Connection to = open_for_reading(files, copy);
  const Statement check(to, "PRAGMA quick_check(1)");
  Query result(check);
  if (!result.next() || result.text(0) != "ok") {
    throw StoreError("the database is damaged (" + std::string(result.text(0)) + "); keep your older copies");
  }
  return to.integer("SELECT seq FROM sqlite_sequence WHERE name = 'log'");
}

std::int64_t backup(const std::filesystem::path& directory, const std::filesystem::path& file,
                    Checksums checksums) {
  const std::filesystem::path source = directory / "godwit.db";
  if (!std::filesystem::exists(source)) {
    fail(file, "there is no " + source.string() + "; the gateway makes it when it first runs");
  }
  if (std::filesystem::exists(file)) Draft::fail_exists(file);
  Draft draft(file);
  std::int64_t last = 0;
  try {
    last = copy_database(real_files(), source, draft.path(), checksums);
  } catch (const StoreError& error) {
    fail(file, error.what());
  }
  draft.publish();
  return last;
}

}  // namespace godwit::gateway
