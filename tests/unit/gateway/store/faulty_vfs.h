// SPDX-License-Identifier: Apache-2.0
// A file system under SQLite whose n-th write fails, for tests: it stands between SQLite and the real one of
// this process. One per process at a time; databases must be opened while it lives.
#pragma once

#include <sqlite3.h>

namespace godwit::gateway::test {

class FaultyVfs {
 public:
  enum class Fault {
    kOnce,     // one operation fails, as on a disk that is full for a moment
    kForever,  // it and all that follow: what is on the disk stays as it is, as after a crash
  };

  FaultyVfs();
  ~FaultyVfs();
  FaultyVfs(const FaultyVfs&) = delete;
  FaultyVfs& operator=(const FaultyVfs&) = delete;

  // Operation number `step` from now, counted from 0, fails. An operation is a write, sync or truncation of
  // any file.
  static void fail_at(int step, Fault fault);
  static void disarm();
  // An operation has failed since fail_at().
  [[nodiscard]] static bool has_failed();
};

}  // namespace godwit::gateway::test
