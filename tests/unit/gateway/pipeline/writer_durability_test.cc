// SPDX-License-Identifier: Apache-2.0
// What was acknowledged is on the disk, in the meaning of a disk that forgets what was not synced.
#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "gateway/store/checksum_vfs.h"
#include "tests/unit/gateway/pipeline/rig.h"

namespace godwit::gateway {
namespace {

using sim::Disk;
using test::kEpoch;
using test::Rig;

constexpr const char* kDevices[] = {"a", "b"};

std::string content(std::string_view device, std::uint64_t seq) {
  return test::batch(static_cast<std::int64_t>(seq) * 10 + device[0]);
}

// The greatest seq acknowledged, by device.
using Acked = std::map<std::string, std::uint64_t>;

enum class Checkpoints : std::uint8_t {
  kAfterEach,  // by another connection, after each commit
  kOwn,        // the gateway's, after a commit that is large enough
};

void checkpoint_now(Disk& disk) {
  sqlite3* connection = nullptr;
  sqlite3_open_v2("/data/godwit.db", &connection, SQLITE_OPEN_READWRITE, with_checksums(disk.vfs()));
  sqlite3_exec(connection, "PRAGMA wal_checkpoint", nullptr, nullptr, nullptr);
  sqlite3_close(connection);
}

// Some commits of two devices, with checkpoints between them; the disk may die on the way.
Acked run(Disk& disk, Checkpoints checkpoints) {
  Acked acked;
  try {
    Rig rig(disk, {}, {.device_bytes = 4U << 20U});
    std::uint64_t seq = 1;
    for (int commit = 0; commit < 4 && !disk.dead(); ++commit) {
      const bool large = checkpoints == Checkpoints::kOwn && commit == 1;
      for (const char* const device : kDevices) {
        if (commit == 0) rig.push(test::hello(kEpoch, device));
        if (commit == 0) rig.push(test::mark(kEpoch, 1, device));
        for (std::uint64_t i = 0; i < 3; ++i) {
          const std::string batch = content(device, seq + i) + std::string(large ? 750'000 : 0, 'x');
          rig.push(test::nth(kEpoch, Seq{seq + i}, batch, device));
        }
      }
      seq += 3;
      rig.turn();
      rig.advance(Millis{5});
      rig.settle();
      if (checkpoints == Checkpoints::kAfterEach && !disk.dead()) checkpoint_now(disk);
    }
    for (const AckTo& entry : rig.acks) {
      acked[std::string(entry.device.view())] = test::next_number(entry).value - 1;
    }
    disk.kill();  // no orderly close: it would sync
  } catch (const StoreError&) {
    // It died while the database was opened: nothing was acknowledged.
  }
  return acked;
}

// What of `acked` a gateway that starts on this disk does not find, or finds changed.
std::optional<std::string> missing(Disk& disk, const Acked& acked) try {
  Rig rig(disk);
  std::map<std::string, std::vector<std::string>> found;
  for (const Event& event : rig.events()) {
    if (event.type != EventType::kTelemetry) continue;
    auto& batches = found[event.device];
    if (event.seq.value - 1 != batches.size() + 1) {
      return event.device + ": seq " + std::to_string(event.seq.value) + " follows " +
             std::to_string(batches.size());
    }
    batches.push_back(event.batch);
  }
  for (const auto& [device, last] : acked) {
    for (std::uint64_t seq = 1; seq <= last; ++seq) {
      if (seq > found[device].size()) {
        return device + ": seq " + std::to_string(seq) + " was acknowledged and is lost";
      }
      if (!found[device][seq - 1].starts_with(content(device, seq))) {
        return device + ": seq " + std::to_string(seq) + " has another content";
      }
    }
  }
  return std::nullopt;
} catch (const StoreError& error) {
  return error.what();
}

struct Found {
  int crashes = 0;
  std::uint64_t acked = 0;
  std::optional<std::string> missing;
};

struct Cuts {
  Checkpoints checkpoints = Checkpoints::kAfterEach;
  int stride = 1;           // from one cut to the next, in operations that change the disk
  std::uint64_t seeds = 1;  // outcomes of each, beside the worst
  Disk::Answer syncs = Disk::Answer::kDo;
};

Found cut_everywhere(const Cuts& cuts) {
  Found found;
  bool died = true;
  for (int at = 0; died; at += cuts.stride) {
    for (std::uint64_t seed = 0; seed <= cuts.seeds; ++seed) {
      Disk disk(seed);
      int count = 0;
      bool opened = false;
      disk.set_hook([&](const Disk::Operation& operation) {
        if (!operation.changes()) return Disk::Answer::kDo;
        if (count++ == at) return Disk::Answer::kDie;
        // The last that happens while the database is opened.
        opened = opened || operation.kind == Disk::Operation::Kind::kTruncate;
        return operation.kind == Disk::Operation::Kind::kSync && opened ? cuts.syncs : Disk::Answer::kDo;
      });
      const Acked acked = run(disk, cuts.checkpoints);
      died = count > at;
      disk.set_hook(nullptr);
      disk.crash(seed == 0 ? std::optional<std::uint64_t>() : seed * 1000 + static_cast<std::uint64_t>(at));
      ++found.crashes;
      for (const auto& [device, last] : acked) found.acked = std::max(found.acked, last);
      const auto lost = missing(disk, acked);
      if (lost && !found.missing) {
        found.missing = *lost + " (operation " + std::to_string(at) + ", seed " + std::to_string(seed) + ")";
      }
    }
  }
  return found;
}

TEST(WriterDurability, APowerCutAtAnyFileOperationLosesNothingThatWasAcknowledged) {
  const Found found = cut_everywhere({});
  EXPECT_EQ(found.missing, std::nullopt);
  EXPECT_GT(found.crashes, 200);
  EXPECT_EQ(found.acked, 12U);
}

TEST(WriterDurability, APowerCutAroundACheckpointLosesNothingThatWasAcknowledged) {
  const Found found = cut_everywhere({.checkpoints = Checkpoints::kOwn, .stride = 151, .seeds = 0});
  EXPECT_EQ(found.missing, std::nullopt);
  EXPECT_GT(found.crashes, 15);
  EXPECT_EQ(found.acked, 12U);
}

// The judge above would notice a commit that is not synced: here syncs do nothing, as with synchronous = OFF.
TEST(WriterDurability, ACommitWithoutItsSyncIsNoticed) {
  EXPECT_TRUE(cut_everywhere({.stride = 7, .syncs = Disk::Answer::kLie}).missing.has_value());
}

// A sync failed and forgot, the process went on and died, and the machine stayed on: the next process finds a
// transaction in the page cache that is not on the disk. What it commits on top must survive a power cut.
TEST(WriterDurability, NothingIsBuiltOnWhatOnlyThePageCacheHas) {
  int transactions_that_came_back = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    Disk disk(seed);
    {
      Rig rig(disk);
      ASSERT_TRUE(rig.write({test::hello(kEpoch, "a"), test::nth(kEpoch, Seq{1}, content("a", 1), "a")}));
      disk.set_hook([](const Disk::Operation& operation) {
        return operation.kind == Disk::Operation::Kind::kSync ? Disk::Answer::kFail : Disk::Answer::kDo;
      });
      ASSERT_FALSE(rig.write({test::nth(kEpoch, Seq{2}, content("a", 2), "a")}));
      disk.kill();
    }
    disk.set_hook(nullptr);
    disk.restart();
    std::uint64_t acked = 0;
    {
      Rig rig(disk);
      if (rig.stored().size() == 2) ++transactions_that_came_back;
      ASSERT_TRUE(rig.write({test::nth(kEpoch, Seq{2}, content("a", 2), "a"),
                             test::nth(kEpoch, Seq{3}, content("a", 3), "a")}));
      acked = test::next_number(rig.acks.back()).value - 1;
      disk.kill();
    }
    EXPECT_EQ(acked, 3U);
    disk.crash(std::nullopt);
    EXPECT_EQ(missing(disk, {{"a", acked}}), std::nullopt);
  }
  EXPECT_GT(transactions_that_came_back, 0);
}

}  // namespace
}  // namespace godwit::gateway
