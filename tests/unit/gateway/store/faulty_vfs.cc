// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/gateway/store/faulty_vfs.h"

#include <new>

namespace godwit::gateway::test {
namespace {

sqlite3_vfs* real = nullptr;
sqlite3_vfs vfs;
int steps_left = -1;  // negative: no fault is due
FaultyVfs::Fault kind = FaultyVfs::Fault::kOnce;
bool failed = false;

bool fails_now() {
  if (failed) return kind == FaultyVfs::Fault::kForever;
  if (steps_left < 0 || steps_left-- > 0) return false;
  return failed = true;
}

// SQLite places it in memory of vfs.szOsFile bytes; the real file follows it.
struct File {
  sqlite3_file base;

  static sqlite3_file* real_of(sqlite3_file* file) {
    return reinterpret_cast<sqlite3_file*>(reinterpret_cast<File*>(file) + 1);
  }
};

int close(sqlite3_file* file) {
  auto* const inner = File::real_of(file);
  return inner->pMethods->xClose(inner);
}
int read(sqlite3_file* file, void* out, int size, sqlite3_int64 at) {
  auto* const inner = File::real_of(file);
  return inner->pMethods->xRead(inner, out, size, at);
}
int write(sqlite3_file* file, const void* in, int size, sqlite3_int64 at) {
  auto* const inner = File::real_of(file);
  return fails_now() ? SQLITE_FULL : inner->pMethods->xWrite(inner, in, size, at);
}
int truncate(sqlite3_file* file, sqlite3_int64 size) {
  auto* const inner = File::real_of(file);
  return fails_now() ? SQLITE_IOERR_TRUNCATE : inner->pMethods->xTruncate(inner, size);
}
int sync(sqlite3_file* file, int flags) {
  auto* const inner = File::real_of(file);
  return fails_now() ? SQLITE_IOERR_FSYNC : inner->pMethods->xSync(inner, flags);
}
int file_size(sqlite3_file* file, sqlite3_int64* size) {
  auto* const inner = File::real_of(file);
  return inner->pMethods->xFileSize(inner, size);
}
int lock(sqlite3_file* file, int level) {
  auto* const inner = File::real_of(file);
  return inner->pMethods->xLock(inner, level);
}
int unlock(sqlite3_file* file, int level) {
  auto* const inner = File::real_of(file);
  return inner->pMethods->xUnlock(inner, level);
}
int check_reserved_lock(sqlite3_file* file, int* out) {
  auto* const inner = File::real_of(file);
  return inner->pMethods->xCheckReservedLock(inner, out);
}
int file_control(sqlite3_file* file, int operation, void* argument) {
  auto* const inner = File::real_of(file);
  return inner->pMethods->xFileControl(inner, operation, argument);
}
int sector_size(sqlite3_file* file) {
  auto* const inner = File::real_of(file);
  return inner->pMethods->xSectorSize(inner);
}
int device_characteristics(sqlite3_file* file) {
  auto* const inner = File::real_of(file);
  return inner->pMethods->xDeviceCharacteristics(inner);
}
int shm_map(sqlite3_file* file, int page, int page_size, int extend, void volatile** out) {
  auto* const inner = File::real_of(file);
  return inner->pMethods->xShmMap(inner, page, page_size, extend, out);
}
int shm_lock(sqlite3_file* file, int offset, int count, int flags) {
  auto* const inner = File::real_of(file);
  return inner->pMethods->xShmLock(inner, offset, count, flags);
}
void shm_barrier(sqlite3_file* file) {
  auto* const inner = File::real_of(file);
  inner->pMethods->xShmBarrier(inner);
}
int shm_unmap(sqlite3_file* file, int remove) {
  auto* const inner = File::real_of(file);
  return inner->pMethods->xShmUnmap(inner, remove);
}

constexpr sqlite3_io_methods kMethods{.iVersion = 2,
                                      .xClose = close,
                                      .xRead = read,
                                      .xWrite = write,
                                      .xTruncate = truncate,
                                      .xSync = sync,
                                      .xFileSize = file_size,
                                      .xLock = lock,
                                      .xUnlock = unlock,
                                      .xCheckReservedLock = check_reserved_lock,
                                      .xFileControl = file_control,
                                      .xSectorSize = sector_size,
                                      .xDeviceCharacteristics = device_characteristics,
                                      .xShmMap = shm_map,
                                      .xShmLock = shm_lock,
                                      .xShmBarrier = shm_barrier,
                                      .xShmUnmap = shm_unmap,
                                      .xFetch = nullptr,
                                      .xUnfetch = nullptr};

int open(sqlite3_vfs*, const char* name, sqlite3_file* memory, int flags, int* flags_out) {
  auto* const file = new (memory) File{};
  const int code = real->xOpen(real, name, File::real_of(memory), flags, flags_out);
  if (code == SQLITE_OK) file->base.pMethods = &kMethods;
  return code;
}

}  // namespace

FaultyVfs::FaultyVfs() {
  real = sqlite3_vfs_find(nullptr);
  vfs = *real;
  vfs.zName = "faulty";
  vfs.szOsFile = static_cast<int>(sizeof(File)) + real->szOsFile;
  vfs.xOpen = open;
  sqlite3_vfs_register(&vfs, 1);
  disarm();
}

FaultyVfs::~FaultyVfs() {
  sqlite3_vfs_unregister(&vfs);
  sqlite3_vfs_register(real, 1);
}

void FaultyVfs::fail_at(int step, Fault fault) {
  steps_left = step;
  kind = fault;
  failed = false;
}

void FaultyVfs::disarm() {
  steps_left = -1;
  failed = false;
}

bool FaultyVfs::has_failed() { return failed; }

}  // namespace godwit::gateway::test
