// SPDX-License-Identifier: Apache-2.0
// The database refuses something though the disk is well: here a trigger does, as a constraint or a defect of
// ours would.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <map>

#include "tests/unit/gateway/pipeline/rig.h"

namespace godwit::gateway {
namespace {

using sim::Disk;
using test::kEpoch;
using test::Rig;
using test::up_to;

void execute(Disk& disk, const std::string& sql) {
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open_v2("/data/godwit.db", &database, SQLITE_OPEN_READWRITE, disk.vfs()), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
      << sqlite3_errmsg(database);
  sqlite3_close(database);
}

std::vector<std::string> rows(Disk& disk, const char* sql) {
  std::vector<std::string> found;
  sqlite3* database = nullptr;
  sqlite3_open_v2("/data/godwit.db", &database, SQLITE_OPEN_READONLY, disk.vfs());
  const auto keep = [](void* out, int columns, char** values, char**) {
    std::string row;
    for (int i = 0; i < columns; ++i) row.append(i == 0 ? "" : "|").append(values[i]);
    static_cast<std::vector<std::string>*>(out)->push_back(row);
    return 0;
  };
  sqlite3_exec(database, sql, keep, &found, nullptr);
  sqlite3_close(database);
  return found;
}

// Records with these seqs are refused.
void refuse(Disk& disk, const std::string& seqs) {
  execute(disk, "CREATE TRIGGER poison BEFORE INSERT ON log WHEN NEW.type = 1 AND NEW.seq - 1 IN (" + seqs +
                    ") BEGIN SELECT RAISE(ABORT, 'no such luck'); END");
}

std::vector<Message> records(std::string_view device, std::uint64_t first, std::uint64_t last) {
  std::vector<Message> messages;
  for (std::uint64_t seq = first; seq <= last; ++seq) {
    messages.push_back(test::nth(kEpoch, seq, device));
  }
  return messages;
}

std::vector<Message> together(std::vector<Message> a, const std::vector<Message>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(Poison, ItsPlaceBecomesALossAndAllElseIsStored) {
  Disk disk(1);
  Rig rig(disk);
  ASSERT_TRUE(rig.write({test::hello(kEpoch, "bad"), test::hello(kEpoch, "good")}));
  refuse(disk, "7, 9");
  rig.acks.clear();
  std::vector<Message> good = records("good", 1, 6);
  ASSERT_TRUE(rig.write(together(records("bad", 1, 12), good)));

  std::map<std::string, std::vector<std::string>> found;
  for (const Event& event : rig.events()) {
    if (event.type == EventType::kTelemetry) {
      EXPECT_EQ(event.batch, test::batch(static_cast<std::int64_t>(event.seq.value - 1)));
      found[event.device].push_back(std::to_string(event.seq.value - 1));
    } else if (event.type == EventType::kLoss) {
      EXPECT_EQ(event.loss_reason, LossReason::kQuarantined);
      EXPECT_EQ(event.count, 1U);
      found[event.device].push_back("lost " + std::to_string(event.seq.value - 1));
    }
  }
  EXPECT_EQ(found["bad"], (std::vector<std::string>{"1", "2", "3", "4", "5", "6", "lost 7", "8", "lost 9",
                                                    "10", "11", "12"}));
  EXPECT_EQ(found["good"], (std::vector<std::string>{"1", "2", "3", "4", "5", "6"}));
  for (const AckTo& entry : rig.acks) {
    EXPECT_EQ(test::next_number(entry), Seq{entry.device.view() == "bad" ? 13U : 7U});
  }
  EXPECT_EQ(rig.acks.size(), 2U);
  EXPECT_EQ(rows(disk, "SELECT device, seq - 1, why LIKE '%no such luck%' FROM quarantine ORDER BY seq"),
            (std::vector<std::string>{"bad|7|1", "bad|9|1"}));
  const std::string content = test::batch(7);
  EXPECT_EQ(rows(disk, "SELECT length(content) FROM quarantine WHERE seq - 1 = 7"),
            std::vector<std::string>{std::to_string(content.size())});
  EXPECT_EQ(rig.writer.stats().quarantined, 2U);
  ASSERT_EQ(rig.log.size(), 1U) << "one line for 10 s";
  EXPECT_NE(rig.log[0].find("device bad"), std::string::npos);
  EXPECT_NE(rig.log[0].find("table `quarantine`"), std::string::npos);
  const auto device = rig.store.reader().device("bad");
  EXPECT_EQ(device->stream->records, 10U);
  EXPECT_EQ(device->stream->lost_records, 2U);
}

TEST(Poison, TheNewestOfATableIsNotTheOneThatWasRefused) {
  Disk disk(1);
  Rig rig(disk);
  ASSERT_TRUE(rig.write({test::hello(), test::nth(kEpoch, 1)}));
  refuse(disk, "2");
  ASSERT_TRUE(rig.write({test::nth(kEpoch, 2)}));
  EXPECT_EQ(test::seqs(rig.store.reader().latest("d1")), up_to(1));
}

TEST(Poison, LiveSamplesThatAreRefusedLeaveNoLoss) {
  Disk disk(1);
  Rig rig(disk);
  ASSERT_TRUE(rig.write({test::hello()}));
  execute(disk,
          "CREATE TRIGGER poison BEFORE INSERT ON log WHEN NEW.type = 1 AND length(NEW.batch) > 0"
          " BEGIN SELECT RAISE(ABORT, 'no'); END");
  ASSERT_TRUE(rig.write({test::message(topics::Leaf::kLive, test::batch(1))}));
  EXPECT_EQ(rows(disk, "SELECT seq FROM quarantine"), std::vector<std::string>{"0"});
  for (const Event& event : rig.events()) EXPECT_NE(event.type, EventType::kLoss);
}

// A record is acknowledged if it is stored or in quarantine. When that is full it stays with its device.
TEST(Poison, AFullQuarantineStopsTheDeviceAndNobodyElse) {
  Disk disk(1);
  Rig rig(disk);
  ASSERT_TRUE(rig.write({test::hello(kEpoch, "bad"), test::hello(kEpoch, "good")}));
  execute(disk,
          "CREATE TRIGGER poison BEFORE INSERT ON log WHEN NEW.type = 1 AND NEW.device ="
          " (SELECT key FROM devices WHERE id = 'bad') BEGIN SELECT RAISE(ABORT, 'no'); END");
  for (std::uint64_t seq = 1; seq <= Store::kQuarantinePerDeviceMax; ++seq) {
    ASSERT_TRUE(rig.write({test::nth(kEpoch, seq, "bad")}));
  }
  const std::uint64_t kept = Store::kQuarantinePerDeviceMax;
  rig.acks.clear();
  ASSERT_TRUE(rig.write({test::nth(kEpoch, kept + 1, "bad"), test::nth(kEpoch, 1, "good")}));
  EXPECT_TRUE(rig.acks.empty()) << "the transaction counts for nobody";
  rig.advance(Millis{1000});
  // Under which hello they speak is not known any more: they are asked, and speak again.
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(rig.write({test::nth(kEpoch, kept + 1, "bad"), test::nth(kEpoch, 1, "good")}));
  }
  bool good = false;
  for (const AckTo& entry : rig.acks) {
    if (entry.ack.try_id == Try{}) continue;
    if (entry.device.view() == "good") {
      good = true;
      EXPECT_EQ(test::next_number(entry), Seq{2});
    } else {
      EXPECT_EQ(test::next_number(entry), Seq{kept + 1});
    }
  }
  EXPECT_TRUE(good);
  EXPECT_EQ(rows(disk, "SELECT count(*) FROM quarantine"), std::vector<std::string>{std::to_string(kept)});

  // The operator has understood, and made room.
  execute(disk, "DELETE FROM quarantine; DROP TRIGGER poison");
  rig.advance(Writer::kBlockedTime);
  ASSERT_TRUE(rig.settle());
  rig.acks.clear();
  ASSERT_TRUE(rig.write({test::nth(kEpoch, kept + 1, "bad")}));
  EXPECT_EQ(test::next_number(rig.acks.at(0)), Seq{kept + 2});
}

TEST(Poison, AHelloThatIsRefusedStopsItsDeviceOnly) {
  Disk disk(1);
  Rig rig(disk);
  ASSERT_TRUE(rig.write({test::hello(kEpoch, "good")}));
  execute(disk,
          "CREATE TRIGGER poison BEFORE INSERT ON devices WHEN NEW.id = 'bad'"
          " BEGIN SELECT RAISE(ABORT, 'no'); END");
  rig.write({test::hello(kEpoch, "bad"), test::nth(kEpoch, 1, "good")});
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(rig.write({test::hello(kEpoch, "bad"), test::nth(kEpoch, 1, "good")}));
  }
  EXPECT_EQ(rig.stored(), up_to(1));
  EXPECT_FALSE(rig.store.reader().device("bad").has_value());
  EXPECT_TRUE(rig.writer.stats().writable) << "the disk is well";
}

// Whatever of a device it is: the one that is not listened to is the one whose it is. Names sort so that
// others were written before it.
TEST(Poison, TheDeviceIsBlamedWhoseRowItIs) {
  const std::string of_bad = " WHEN NEW.device = (SELECT key FROM devices WHERE id = 'a-bad')";
  const std::string raise = " BEGIN SELECT RAISE(ABORT, 'no'); END";
  for (const std::string& trigger :
       {"BEFORE INSERT ON latest" + of_bad + raise, "BEFORE INSERT ON boots" + of_bad + raise,
        "BEFORE DELETE ON boots WHEN OLD.device = (SELECT key FROM devices WHERE id = 'a-bad')" + raise,
        "BEFORE UPDATE OF last_seen ON devices WHEN NEW.id = 'a-bad'" + raise}) {
    SCOPED_TRACE(trigger);
    Disk disk(1);
    Rig rig(disk, {.limits = {.boots_per_device_max = 1}});
    const auto both = [&](const auto& message_of) {
      std::vector<Message> messages;
      for (const char* const device : {"a-bad", "good"}) messages.push_back(message_of(device));
      rig.write(messages);
    };
    const auto live = [](const char* device) {
      return test::message(topics::Leaf::kLive, test::batch(1), device);
    };
    both([](const char* device) { return test::nth(kEpoch, 1, device); });
    ASSERT_TRUE(rig.log.empty());
    execute(disk, "CREATE TRIGGER poison " + trigger);
    both(live);
    rig.advance(Ingest::kSeenFlush);
    both(live);
    for (std::uint64_t n = 0; n < 3; ++n) {
      const Epoch epoch{100 + n};
      both([&](const char* device) {
        codec::Hello hello = test::greeting(epoch);
        hello.boot_time = test::kNow;
        return test::hello(hello, {}, device);
      });
      both([&](const char* device) { return test::mark(epoch, 1, device); });
    }
    ASSERT_FALSE(rig.log.empty());
    for (const std::string& line : rig.log) {
      EXPECT_NE(line.find("device a-bad: the database refuses"), std::string::npos) << line;
    }
  }
}

// The disk's errors are no poison, whatever they hit.
TEST(Poison, AFullDiskQuarantinesNothing) {
  Disk disk(1);
  Rig rig(disk);
  ASSERT_TRUE(rig.write({test::hello()}));
  const auto space = *disk.space("/data");
  disk.set_capacity(space.total_bytes - space.free_bytes);
  ASSERT_FALSE(rig.write({test::nth(kEpoch, Seq{1}, std::string(64 << 10U, 'x'))}));
  for (int i = 0; i < 5; ++i) ASSERT_FALSE(rig.retry());
  disk.set_capacity(space.total_bytes);
  ASSERT_TRUE(rig.retry());
  EXPECT_EQ(rig.stored(), up_to(1));
  EXPECT_TRUE(rows(disk, "SELECT * FROM quarantine").empty());
}

// The first page of a table or index, and what the gateway has of it in memory, which a commit of somebody
// else makes it forget.
void rot(Disk& disk, const std::string& name) {
  const auto page = rows(disk, ("SELECT rootpage FROM sqlite_schema WHERE name = '" + name + "'").c_str());
  execute(disk, "PRAGMA user_version = 4");
  disk.rot("/data/godwit.db", (std::stoul(page.at(0)) - 1) * 4096 + 4000, 1, 1);
}

TEST(WriterOfADamagedDatabase, SaysWhatTheRepairHasCost) {
  Disk disk(1);
  ASSERT_TRUE(Rig(disk).write({test::nth(kEpoch, 1)}));
  Rig rig(disk);
  rot(disk, "log_by_device");
  ASSERT_TRUE(rig.write({test::nth(kEpoch, 2)}));
  EXPECT_EQ(rig.stored(), up_to(2));
  ASSERT_EQ(rig.log.size(), 1U);
  EXPECT_NE(rig.log[0].find("0 events are lost"), std::string::npos) << rig.log[0];
  EXPECT_EQ(rig.damaged, 0);
}

TEST(WriterOfADamagedDatabase, EndsIfItIsWhatTheGatewayGoesBy) {
  Disk disk(1);
  ASSERT_TRUE(Rig(disk).write({test::nth(kEpoch, 1)}));
  Rig rig(disk);
  rot(disk, "streams");
  ASSERT_FALSE(rig.write({test::nth(kEpoch, 2)}));
  EXPECT_EQ(rig.damaged, 1);
  EXPECT_EQ(rig.writer.stats().trouble, StoreTrouble::kDamaged);
  EXPECT_TRUE(rig.acks.empty());
  ASSERT_EQ(rig.log.size(), 1U);
  EXPECT_NE(rig.log[0].find("restore a backup"), std::string::npos) << rig.log[0];
  EXPECT_EQ(rig.log[0].find("make room"), std::string::npos) << rig.log[0];
  rig.writer.hurry();
  EXPECT_TRUE(rig.writer.idle());
}

TEST(WriterOfADiskThatFails, DoesNotAskForRoom) {
  Disk disk(1);
  Rig rig(disk);
  ASSERT_TRUE(rig.write({test::nth(kEpoch, 1)}));
  disk.set_hook([](const Disk::Operation& operation) {
    return operation.changes() ? Disk::Answer::kFail : Disk::Answer::kDo;
  });
  ASSERT_FALSE(rig.write({test::nth(kEpoch, 2)}));
  disk.set_hook(nullptr);
  EXPECT_EQ(rig.writer.stats().trouble, StoreTrouble::kDisk);
  ASSERT_EQ(rig.log.size(), 1U);
  EXPECT_EQ(rig.log[0].find("make room"), std::string::npos) << rig.log[0];
  EXPECT_TRUE(rig.retry());
}

}  // namespace
}  // namespace godwit::gateway
