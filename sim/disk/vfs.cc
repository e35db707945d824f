// SPDX-License-Identifier: Apache-2.0
// SQLite's side of the disk: https://sqlite.org/c3ref/vfs.html and io_methods.html. Does what SQLite's own
// os_unix.c does, the syncing of directories included.
#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <utility>

#include "sim/disk/disk.h"

namespace godwit::sim {

using Kind = Disk::Operation::Kind;

// Of a file that is open: what its connections share. Shared memory goes with the last of them, as the first
// one that opens the file after a crash makes it anew.
struct Disk::Shared {
  static constexpr std::size_t kRegionSize = 32 << 10U;  // all that SQLite asks for
  using Region = std::array<char, kRegionSize>;

  std::vector<Handle*> handles;
  std::vector<std::unique_ptr<Region>> regions;
};

struct Disk::Handle : sqlite3_file {
  Disk* disk = nullptr;
  std::string name;  // empty: a temporary file
  std::shared_ptr<File> file;
  std::shared_ptr<Shared> shared;
  int lock = SQLITE_LOCK_NONE;
  bool maps = false;            // shared memory
  std::uint8_t shm_shared = 0;  // one bit for each lock
  std::uint8_t shm_exclusive = 0;
  bool directory_unsynced = false;  // a new journal: its first sync is of its directory too

  Answer begin(Kind kind, std::uint64_t offset, std::size_t size, std::string_view content = {}) {
    return disk->begin({.kind = kind, .file = name, .offset = offset, .size = size}, content);
  }
};

struct Disk::Vfs {
  static Handle& of(sqlite3_file* file) { return *static_cast<Handle*>(file); }
  static Disk& of(sqlite3_vfs* vfs) { return *static_cast<Disk*>(vfs->pAppData); }

  static int close(sqlite3_file* base) {
    Handle& handle = of(base);
    shm_unmap(base, 0);
    std::erase(handle.shared->handles, &handle);
    if (handle.shared->handles.empty()) handle.disk->shared_.erase(handle.file.get());
    handle.~Handle();
    return SQLITE_OK;
  }

  static int read(sqlite3_file* base, void* out, int size, sqlite3_int64 at) {
    Handle& handle = of(base);
    const auto wanted = static_cast<std::size_t>(size);
    const auto offset = static_cast<std::uint64_t>(at);
    if (handle.begin(Kind::kRead, offset, wanted) != Answer::kDo) return SQLITE_IOERR_READ;
    const std::string& content = handle.file->live;
    const std::size_t there = offset < content.size() ? std::min(content.size() - offset, wanted) : 0;
    if (there > 0) std::memcpy(out, content.data() + offset, there);
    if (there == wanted) return SQLITE_OK;
    std::memset(static_cast<char*>(out) + there, 0, wanted - there);
    return SQLITE_IOERR_SHORT_READ;
  }

  static int write(sqlite3_file* base, const void* in, int size, sqlite3_int64 at) {
    Handle& handle = of(base);
    const std::string_view bytes(static_cast<const char*>(in), static_cast<std::size_t>(size));
    const auto offset = static_cast<std::uint64_t>(at);
    const Answer answer = handle.begin(Kind::kWrite, offset, bytes.size(), bytes);
    if (answer == Answer::kFull) return SQLITE_FULL;
    if (answer != Answer::kDo) return SQLITE_IOERR_WRITE;
    return handle.disk->write(*handle.file, offset, bytes) ? SQLITE_OK : SQLITE_FULL;
  }

  static int truncate(sqlite3_file* base, sqlite3_int64 size) {
    Handle& handle = of(base);
    const auto bytes = static_cast<std::uint64_t>(size);
    if (handle.begin(Kind::kTruncate, bytes, 0) != Answer::kDo) return SQLITE_IOERR_TRUNCATE;
    handle.disk->truncate(*handle.file, bytes);
    return SQLITE_OK;
  }

  static int sync(sqlite3_file* base, int /*flags*/) {
    Handle& handle = of(base);
    const Answer answer = handle.begin(Kind::kSync, 0, 0);
    if (answer == Answer::kDie || !handle.disk->sync(*handle.file, answer)) return SQLITE_IOERR_FSYNC;
    if (!std::exchange(handle.directory_unsynced, false)) return SQLITE_OK;
    return sync_directory(*handle.disk, handle.name) ? SQLITE_OK : SQLITE_IOERR_DIR_FSYNC;
  }

  static bool sync_directory(Disk& disk, std::string_view file) {
    const std::string_view directory = file.substr(0, std::min(file.rfind('/'), file.size()));
    const Answer answer = disk.begin({.kind = Kind::kSyncDirectory, .file = directory});
    if (answer == Answer::kDo) disk.sync_directory(directory);
    return answer == Answer::kDo || answer == Answer::kLie;
  }

  static int file_size(sqlite3_file* base, sqlite3_int64* size) {
    if (of(base).disk->dead()) return SQLITE_IOERR_FSTAT;
    *size = static_cast<sqlite3_int64>(of(base).file->live.size());
    return SQLITE_OK;
  }

  // The levels of https://sqlite.org/lockingv3.html, between the handles of a file.
  static int lock(sqlite3_file* base, int level) {
    Handle& handle = of(base);
    if (handle.lock >= level) return SQLITE_OK;
    int highest = SQLITE_LOCK_NONE;
    for (const Handle* const other : handle.shared->handles) {
      if (other != &handle) highest = std::max(highest, other->lock);
    }
    if (level == SQLITE_LOCK_SHARED && highest >= SQLITE_LOCK_PENDING) return SQLITE_BUSY;
    if (level == SQLITE_LOCK_RESERVED && highest >= SQLITE_LOCK_RESERVED) return SQLITE_BUSY;
    if (level == SQLITE_LOCK_EXCLUSIVE && highest >= SQLITE_LOCK_SHARED) {
      if (highest < SQLITE_LOCK_PENDING) handle.lock = SQLITE_LOCK_PENDING;  // no new readers
      return SQLITE_BUSY;
    }
    handle.lock = level;
    return SQLITE_OK;
  }
  static int unlock(sqlite3_file* base, int level) {
    of(base).lock = std::min(of(base).lock, level);
    return SQLITE_OK;
  }
  static int check_reserved_lock(sqlite3_file* base, int* out) {
    *out = static_cast<int>(std::ranges::any_of(
        of(base).shared->handles, [](const Handle* handle) { return handle->lock >= SQLITE_LOCK_RESERVED; }));
    return SQLITE_OK;
  }

  static int file_control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
  static int sector_size(sqlite3_file*) { return 4096; }  // as os_unix.c
  static int device_characteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

  static int shm_map(sqlite3_file* base, int index, int size, int extend, void volatile** out) {
    Handle& handle = of(base);
    *out = nullptr;
    if (size != static_cast<int>(Shared::kRegionSize)) return SQLITE_IOERR_SHMMAP;
    auto& regions = handle.shared->regions;
    const auto wanted = static_cast<std::size_t>(index) + 1;
    handle.maps = true;
    if (regions.size() < wanted && extend == 0) return SQLITE_OK;
    while (regions.size() < wanted) regions.push_back(std::make_unique<Shared::Region>());
    *out = regions[wanted - 1]->data();
    return SQLITE_OK;
  }
  static int shm_lock(sqlite3_file* base, int offset, int count, int flags) {
    Handle& handle = of(base);
    const auto mask = static_cast<std::uint8_t>(((1U << static_cast<unsigned>(count)) - 1U)
                                                << static_cast<unsigned>(offset));
    const auto without = static_cast<std::uint8_t>(~mask);
    if ((flags & SQLITE_SHM_UNLOCK) != 0) {
      handle.shm_shared &= without;
      handle.shm_exclusive &= without;
      return SQLITE_OK;
    }
    const bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
    for (const Handle* const other : handle.shared->handles) {
      if (other == &handle) continue;
      if ((other->shm_exclusive & mask) != 0) return SQLITE_BUSY;
      if (exclusive && (other->shm_shared & mask) != 0) return SQLITE_BUSY;
    }
    (exclusive ? handle.shm_exclusive : handle.shm_shared) |= mask;
    return SQLITE_OK;
  }
  static void shm_barrier(sqlite3_file*) {}  // one thread
  static int shm_unmap(sqlite3_file* base, int /*remove*/) {
    Handle& handle = of(base);
    handle.maps = false;
    handle.shm_shared = handle.shm_exclusive = 0;
    if (std::ranges::none_of(handle.shared->handles, &Handle::maps)) handle.shared->regions.clear();
    return SQLITE_OK;
  }

  static constexpr sqlite3_io_methods kMethods{.iVersion = 2,
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

  static constexpr sqlite3_io_methods kWithoutSharedMemory = [] {
    sqlite3_io_methods methods = kMethods;
    methods.iVersion = 1;
    methods.xShmMap = nullptr;
    return methods;
  }();

  static int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* memory, int flags, int* flags_out) {
    Disk& disk = of(vfs);
    memory->pMethods = nullptr;  // SQLite does not close what was not opened
    const std::string path = name == nullptr ? "" : name;
    std::shared_ptr<File> file = path.empty() ? std::make_shared<File>() : disk.find(path);
    bool created = false;
    if (disk.dead()) return SQLITE_CANTOPEN;
    if (!file) {
      if ((flags & SQLITE_OPEN_CREATE) == 0) return SQLITE_CANTOPEN;
      if (disk.begin({.kind = Kind::kCreate, .file = path}) != Answer::kDo) return SQLITE_CANTOPEN;
      file = disk.create(path);
      created = true;
    }
    auto* const handle = new (memory) Handle;
    handle->disk = &disk;
    handle->name = path;
    handle->file = std::move(file);
    constexpr int kJournals = SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL;
    handle->directory_unsynced = created && (flags & kJournals) != 0;
    std::weak_ptr<Shared>& shared = disk.shared_[handle->file.get()];
    handle->shared = shared.lock();
    if (!handle->shared) shared = handle->shared = std::make_shared<Shared>();
    handle->shared->handles.push_back(handle);
    handle->pMethods = disk.shared_memory_ ? &kMethods : &kWithoutSharedMemory;
    if (flags_out != nullptr) *flags_out = flags;
    return SQLITE_OK;
  }

  static int remove(sqlite3_vfs* vfs, const char* name, int sync) {
    Disk& disk = of(vfs);
    const auto file = disk.find(name);
    if (!file) return disk.dead() ? SQLITE_IOERR_DELETE : SQLITE_IOERR_DELETE_NOENT;
    if (disk.begin({.kind = Kind::kDelete, .file = name}) != Answer::kDo) return SQLITE_IOERR_DELETE;
    disk.used_ -= file->live.size();
    disk.names_.find(std::string_view(name))->second.states.push_back(nullptr);
    if (sync == 0) return SQLITE_OK;
    return sync_directory(disk, name) ? SQLITE_OK : SQLITE_IOERR_DIR_FSYNC;
  }

  static int access(sqlite3_vfs* vfs, const char* name, int /*flags*/, int* out) {
    if (of(vfs).dead()) return SQLITE_IOERR_ACCESS;
    *out = static_cast<int>(of(vfs).find(name) != nullptr);
    return SQLITE_OK;
  }

  static int full_pathname(sqlite3_vfs*, const char* name, int size, char* out) {
    const std::string_view path(name);
    if (path.size() >= static_cast<std::size_t>(size)) return SQLITE_CANTOPEN;
    out[path.copy(out, path.size())] = '\0';
    return SQLITE_OK;
  }

  static int randomness(sqlite3_vfs* vfs, int size, char* out) {
    std::generate_n(out, size, [&] { return static_cast<char>(of(vfs).random()); });
    return size;
  }
  static int sleep(sqlite3_vfs* vfs, int microseconds) {
    if (of(vfs).sleep_) of(vfs).sleep_();
    return microseconds;
  }
  static int current_time(sqlite3_vfs* vfs, sqlite3_int64* out) {
    constexpr sqlite3_int64 kUnixEpoch = 24405875 * sqlite3_int64{8'640'000};  // Julian day, in ms
    *out = kUnixEpoch + of(vfs).now_.value;
    return SQLITE_OK;
  }
  static int last_error(sqlite3_vfs*, int, char*) { return 0; }
};

namespace {

// Of a disk that is gone, if there is one: whoever keeps something for each name keeps little.
std::string free_name() {
  for (int number = 1;; ++number) {
    std::string name = "godwit-sim-" + std::to_string(number);
    if (sqlite3_vfs_find(name.c_str()) == nullptr) return name;
  }
}

}  // namespace

Disk::Disk(std::uint64_t seed, std::uint64_t capacity_bytes)
    : name_(free_name()), sqlite_(std::make_unique<sqlite3_vfs>()), seed_(seed), capacity_(capacity_bytes) {
  *sqlite_ = {};
  sqlite_->iVersion = 2;
  sqlite_->szOsFile = static_cast<int>(sizeof(Handle));
  sqlite_->mxPathname = 512;
  sqlite_->zName = name_.c_str();
  sqlite_->pAppData = this;
  sqlite_->xOpen = Vfs::open;
  sqlite_->xDelete = Vfs::remove;
  sqlite_->xAccess = Vfs::access;
  sqlite_->xFullPathname = Vfs::full_pathname;
  sqlite_->xRandomness = Vfs::randomness;
  sqlite_->xSleep = Vfs::sleep;
  sqlite_->xGetLastError = Vfs::last_error;
  sqlite_->xCurrentTimeInt64 = Vfs::current_time;
  sqlite3_vfs_register(sqlite_.get(), 0);
}

Disk::~Disk() { sqlite3_vfs_unregister(sqlite_.get()); }

void Disk::reset_sqlite(std::uint64_t seed) {
  // SQLite takes 32 bits, and 0 to mean the operating system's.
  sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, static_cast<int>(static_cast<std::uint32_t>(seed) | 1U),
                       nullptr);
}

}  // namespace godwit::sim
