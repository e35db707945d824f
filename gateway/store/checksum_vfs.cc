// SPDX-License-Identifier: Apache-2.0
#include "gateway/store/checksum_vfs.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace godwit::gateway {
namespace {

// https://sqlite.org/fileformat2.html, 1.3: the database header.
constexpr std::string_view kMagic{"SQLite format 3", 16};
constexpr std::size_t kHeaderSize = 100;
constexpr std::size_t kReservedAt = 20;
constexpr std::size_t kPageMin = 512;

using Page = std::span<const std::uint8_t>;

bool is_page(Page bytes) { return bytes.size() >= kPageMin && std::has_single_bit(bytes.size()); }

std::pair<Page, Page> split(Page page) {
  const std::size_t content = page.size() - kChecksumBytes;
  return {page.first(content), page.subspan(content)};
}

// Two sums of 32-bit words, each of which feeds the other. Never zeros, which stand for no checksum.
std::array<std::uint8_t, kChecksumBytes> checksum_of(Page content) {
  std::uint32_t first = 0;
  std::uint32_t second = 0;
  const auto word = [&](std::size_t at) {
    return std::uint32_t{content[at]} | std::uint32_t{content[at + 1]} << 8U |
           std::uint32_t{content[at + 2]} << 16U | std::uint32_t{content[at + 3]} << 24U;
  };
  for (std::size_t at = 0; at + 8 <= content.size(); at += 8) {
    first += word(at) + second;
    second += word(at + 4) + first;
  }
  if (first == 0 && second == 0) first = second = ~first;  // a page of zeros: free, or of a value
  std::array<std::uint8_t, kChecksumBytes> sum{};
  for (unsigned i = 0; i < 4; ++i) {
    sum[i] = static_cast<std::uint8_t>(first >> (8 * i));
    sum[4 + i] = static_cast<std::uint8_t>(second >> (8 * i));
  }
  return sum;
}

// In the memory that SQLite gives for a file, the one of the base follows.
struct File {
  sqlite3_file base;
  bool checked;    // the database has checksums
  bool unchecked;  // and they are not looked at, see kReadUnchecked
};

File& file_of(sqlite3_file* file) { return *reinterpret_cast<File*>(file); }
sqlite3_file* real(sqlite3_file* file) { return reinterpret_cast<sqlite3_file*>(&file_of(file) + 1); }

template <auto kMethod, typename Result, typename... Arguments>
Result forward(sqlite3_file* file, Arguments... arguments) {
  return (real(file)->pMethods->*kMethod)(real(file), arguments...);
}

// The first page says whether there are checksums.
void note_header(sqlite3_file* file, Page bytes, sqlite3_int64 offset) {
  if (offset != 0 || bytes.size() < kHeaderSize) return;
  if (std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) == 0) {
    file_of(file).checked = bytes[kReservedAt] == kChecksumBytes;
  }
}

// The first page has a checksum, but not where it says so: that byte is what has changed.
bool has_lost_its_mark(Page bytes, sqlite3_int64 offset) try {
  if (offset != 0 || !is_page(bytes)) return false;
  std::vector<std::uint8_t> page(bytes.begin(), bytes.end());
  page[kReservedAt] = kChecksumBytes;
  return std::ranges::equal(checksum_of(split(page).first), split(bytes).second);
} catch (const std::bad_alloc&) {
  return false;
}

int read(sqlite3_file* file, void* out, int size, sqlite3_int64 offset) {
  const int code = real(file)->pMethods->xRead(real(file), out, size, offset);
  if (code != SQLITE_OK) return code;
  const Page bytes(static_cast<const std::uint8_t*>(out), static_cast<std::size_t>(size));
  note_header(file, bytes, offset);
  if (!is_page(bytes)) return SQLITE_OK;
  if (!file_of(file).checked) return has_lost_its_mark(bytes, offset) ? SQLITE_IOERR_DATA : SQLITE_OK;
  const auto [content, sum] = split(bytes);
  const bool right = std::ranges::equal(checksum_of(content), sum);
  if (!right && !file_of(file).unchecked) return SQLITE_IOERR_DATA;
  std::memset(static_cast<std::uint8_t*>(out) + content.size(), 0, sum.size());
  return SQLITE_OK;
}

int write(sqlite3_file* file, const void* data, int size, sqlite3_int64 offset) {
  const Page bytes(static_cast<const std::uint8_t*>(data), static_cast<std::size_t>(size));
  note_header(file, bytes, offset);
  const auto& methods = *real(file)->pMethods;
  if (!file_of(file).checked || !is_page(bytes)) return methods.xWrite(real(file), data, size, offset);
  try {
    std::vector<std::uint8_t> page(bytes.begin(), bytes.end());  // SQLite's own may be in use
    std::ranges::copy(checksum_of(split(page).first), page.end() - kChecksumBytes);
    return methods.xWrite(real(file), page.data(), size, offset);
  } catch (const std::bad_alloc&) {
    return SQLITE_IOERR_NOMEM;
  }
}

int file_control(sqlite3_file* file, int operation, void* argument) {
  if (operation != kReadUnchecked) {
    return real(file)->pMethods->xFileControl(real(file), operation, argument);
  }
  file_of(file).unchecked = true;
  return SQLITE_OK;
}

int characteristics(sqlite3_file* file) {
  int flags = real(file)->pMethods->xDeviceCharacteristics(real(file));
#ifdef SQLITE_IOCAP_SUBPAGE_READ
  flags &= ~SQLITE_IOCAP_SUBPAGE_READ;  // a part of a page cannot be checked
#endif
  return flags;
}

using Io = sqlite3_io_methods;
// Version 2: without mapping the file into memory, which goes past read().
constexpr Io kMethods{.iVersion = 2,
                      .xClose = forward<&Io::xClose>,
                      .xRead = read,
                      .xWrite = write,
                      .xTruncate = forward<&Io::xTruncate>,
                      .xSync = forward<&Io::xSync>,
                      .xFileSize = forward<&Io::xFileSize>,
                      .xLock = forward<&Io::xLock>,
                      .xUnlock = forward<&Io::xUnlock>,
                      .xCheckReservedLock = forward<&Io::xCheckReservedLock>,
                      .xFileControl = file_control,
                      .xSectorSize = forward<&Io::xSectorSize>,
                      .xDeviceCharacteristics = characteristics,
                      .xShmMap = forward<&Io::xShmMap>,
                      .xShmLock = forward<&Io::xShmLock>,
                      .xShmBarrier = forward<&Io::xShmBarrier>,
                      .xShmUnmap = forward<&Io::xShmUnmap>,
                      .xFetch = nullptr,
                      .xUnfetch = nullptr};
// Of a base without shared memory: SQLite sees that too.
constexpr Io kMethodsOfVersion1 = [] {
  Io methods = kMethods;
  methods.iVersion = 1;
  return methods;
}();

sqlite3_vfs* base_of(sqlite3_vfs* vfs) { return static_cast<sqlite3_vfs*>(vfs->pAppData); }

int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* flags_out) {
  sqlite3_vfs* const base = base_of(vfs);
  if ((flags & SQLITE_OPEN_MAIN_DB) == 0) return base->xOpen(base, name, file, flags, flags_out);
  file_of(file).checked = file_of(file).unchecked = false;
  const int code = base->xOpen(base, name, real(file), flags, flags_out);
  const Io* const methods = real(file)->pMethods;
  file->pMethods = methods == nullptr ? nullptr : methods->iVersion < 2 ? &kMethodsOfVersion1 : &kMethods;
  if (code != SQLITE_OK) return code;
  sqlite3_int64 size = 0;
  file_of(file).checked = real(file)->pMethods->xFileSize(real(file), &size) == SQLITE_OK && size == 0;
  return SQLITE_OK;
}

template <auto kMethod, typename Result, typename... Arguments>
Result forward_vfs(sqlite3_vfs* vfs, Arguments... arguments) {
  return (base_of(vfs)->*kMethod)(base_of(vfs), arguments...);
}

struct Registered {
  std::string name;
  sqlite3_vfs vfs{};
};

void fill(Registered& entry, sqlite3_vfs* base) {
  using Vfs = sqlite3_vfs;
  entry.vfs.iVersion = std::min(base->iVersion, 2);
  entry.vfs.szOsFile = base->szOsFile + static_cast<int>(sizeof(File));
  entry.vfs.mxPathname = base->mxPathname;
  entry.vfs.zName = entry.name.c_str();
  entry.vfs.pAppData = base;
  entry.vfs.xOpen = open;
  entry.vfs.xDelete = forward_vfs<&Vfs::xDelete>;
  entry.vfs.xAccess = forward_vfs<&Vfs::xAccess>;
  entry.vfs.xFullPathname = forward_vfs<&Vfs::xFullPathname>;
  entry.vfs.xRandomness = forward_vfs<&Vfs::xRandomness>;
  entry.vfs.xSleep = forward_vfs<&Vfs::xSleep>;
  entry.vfs.xCurrentTime = forward_vfs<&Vfs::xCurrentTime>;
  entry.vfs.xGetLastError = forward_vfs<&Vfs::xGetLastError>;
  if (entry.vfs.iVersion >= 2) entry.vfs.xCurrentTimeInt64 = forward_vfs<&Vfs::xCurrentTimeInt64>;
}

}  // namespace

const char* with_checksums(const char* base) {
  static std::mutex mutex;
  static std::map<std::string, Registered> registered;  // never removed: files may be open
  sqlite3_vfs* const found = sqlite3_vfs_find(base);
  if (found == nullptr) return base;  // opening will say so
  const std::lock_guard lock(mutex);
  const auto [entry, fresh] = registered.try_emplace(found->zName);
  if (fresh) entry->second.name = entry->first + "-checksums";
  // Tests put another one under the name of one that is gone.
  if (fresh || base_of(&entry->second.vfs) != found) fill(entry->second, found);
  if (fresh) sqlite3_vfs_register(&entry->second.vfs, 0);
  return entry->second.name.c_str();
}

}  // namespace godwit::gateway
