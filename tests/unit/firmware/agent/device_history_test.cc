// SPDX-License-Identifier: Apache-2.0
// A device whose flash is put back, damaged or overwritten, and a gateway whose database is restored: what
// both keep of the history. The rules: docs/adr/0012-every-mark-is-an-epoch.md. Each row of the rig is unlike
// all others, so a ledger beside the two can tell a lost row from a repeated one.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <set>
#include <string>

#include "firmware/agent/device.h"
#include "tests/unit/firmware/agent/device_log.h"

namespace godwit::agent {
namespace {

using Rows = std::set<std::int64_t>;

Rows difference(const Rows& a, const Rows& b) {
  Rows out;
  std::ranges::set_difference(a, b, std::inserter(out, out.end()));
  return out;
}

// Every batch of the rig's table is full, so the first 4 x recorded rows of a boot are those in flash.
constexpr std::size_t kRowsPerRecord = 4;

class History {
 public:
  explicit History(const ports::FlashGeometry& geometry = {4096, 16, 8}) : rig(geometry) {
    EXPECT_EQ(rig.boot(), Status::kOk);
  }

  DeviceRig rig;

  struct FlashCopy {
    std::vector<std::uint8_t> image;
    Rows rows;
  };
  struct Backup {
    test::ModelGateway::Database database;
    Rows rows;
  };

  void offline(Millis time) {
    rig.link_allowed = false;
    rig.cut_link();
    run(time);
  }
  void online(Millis time) {
    rig.link_allowed = true;
    run(time);
  }
  void reboot() {
    rig.power_cut();
    boot();
  }
  [[nodiscard]] FlashCopy copy() const { return {rig.flash.image(), in_flash_}; }
  void put_back(const FlashCopy& copy) {
    rig.power_cut();
    destroyed_.merge(difference(difference(in_flash_, copy.rows), stored()));
    in_flash_ = copy.rows;
    rig.flash.load(copy.image);
    boot();
  }
  // Rows that only those bytes held are nobody's fault.
  void destroy_tail(std::size_t bytes) {
    rig.power_cut();
    destroyed_.merge(difference(in_flash_, stored()));
    auto image = rig.flash.image();
    std::size_t end = image.size();
    while (end > 0 && image[end - 1] == 0xFF) --end;
    for (std::size_t i = end - std::min(bytes, end); i < end; ++i) image[i] ^= 0x18;
    rig.flash.load(image);
    in_flash_ = rows_held();
    boot();
  }
  [[nodiscard]] Backup backup() const { return {rig.gateway.database, stored()}; }
  void restore(const Backup& backup) {
    destroyed_.merge(difference(difference(stored(), backup.rows), in_flash_));
    rig.gateway.database = backup.database;
    rig.broker.send_ack(rig.gateway.restart());
    rig.settle();
  }

  // Everything that was not destroyed is stored, once, and what this log holds in order.
  void expect_nothing_missing() {
    online(Millis{240'000});
    EXPECT_EQ(rig.device->acked_seq(), rig.device->outbox().next_seq());
    const auto times = rows_of(rig);
    const Rows once = stored();
    EXPECT_EQ(once.size(), times.size()) << "a row is stored twice";
    const Rows missing = difference(difference(made_, destroyed_), once);
    EXPECT_TRUE(missing.empty()) << missing.size() << " rows are neither stored nor destroyed, the first is "
                                 << *missing.begin();
    std::vector<std::int64_t> held;
    std::ranges::copy_if(times, std::back_inserter(held),
                         [&](std::int64_t t) { return in_flash_.contains(t); });
    EXPECT_TRUE(std::ranges::is_sorted(held));
  }
  [[nodiscard]] std::uint64_t lost() const {
    std::uint64_t count = 0;
    for (const ModelItem& item : rig.gateway.database.log) count += item.lost;
    return count;
  }
  [[nodiscard]] Rows stored() const {
    const auto times = rows_of(rig);
    return {times.begin(), times.end()};
  }

 private:
  // What another log finds in the flash.
  [[nodiscard]] Rows rows_held() const {
    sim::SimFlash flash = rig.flash;
    test::SeededEntropy entropy;
    outbox::Outbox outbox(flash, entropy);
    EXPECT_EQ(outbox.mount(), Status::kOk);
    Rows rows;
    std::array<std::uint8_t, Device::kBatchSizeMax> buffer{};
    for (Seq seq = outbox.oldest_seq(); seq < outbox.next_seq();) {
      const auto entry = outbox.read(seq, buffer);
      if (!entry) break;
      if (entry->kind == outbox::Entry::Kind::kData)
        append_rows(as_text(Bytes(buffer).first(entry->size_bytes)), rig.tables[0].contract.rows_max,
                    [&](std::int64_t row) { rows.insert(row); });
      seq = entry->seq + (entry->kind == outbox::Entry::Kind::kLoss ? entry->count : 1);
    }
    return rows;
  }
  void boot() {
    rig.now += Millis{137};  // or two boots would sample one instant
    first_row_ = rig.sensors.sampled.size();
    ASSERT_EQ(rig.boot(), Status::kOk);
  }
  void run(Millis time) {
    rig.run_for(time);
    const std::size_t rows = kRowsPerRecord * rig.device->stats().recorded;
    for (std::size_t i = first_row_; i < first_row_ + rows; ++i) {
      made_.insert(rig.sensors.sampled.at(i));
      in_flash_.insert(rig.sensors.sampled[i]);
    }
  }

  std::size_t first_row_ = 0;  // of this boot
  Rows made_;
  Rows in_flash_;   // of the present log, ever
  Rows destroyed_;  // held nowhere any more, by a fault that no rule can undo
};

TEST(DeviceHistory, IsToldToTheGatewayInEveryHello) {
  History history;
  history.offline(Millis{10'000});
  const Epoch first = history.rig.device->outbox().epoch();
  history.reboot();
  history.offline(Millis{10'000});
  const Epoch second = history.rig.device->outbox().epoch();
  history.online(Millis{60'000});
  const codec::Hello hello = last_hello(history.rig);
  EXPECT_EQ(hello.epoch, second);
  ASSERT_EQ(hello.marks_count, 2U);
  EXPECT_EQ(hello.marks[0].epoch, second);
  EXPECT_EQ(hello.marks[1], (Mark{first, {1}}));
  EXPECT_FALSE(hello.more_marks);
  history.expect_nothing_missing();
  expect_complete(history.rig);
}

TEST(DeviceHistory, SurvivesAFlashThatWasPutBackHoweverOftenItReboots) {
  for (const int before_s : {5, 20, 60}) {
    for (int reboots = 0; reboots < 4; ++reboots) {
      SCOPED_TRACE(std::to_string(before_s) + " s before the copy, reboots: " + std::to_string(reboots));
      History history;
      history.online(Millis{1'000 * before_s});
      const auto copy = history.copy();
      history.online(Millis{60'000});
      history.put_back(copy);
      history.offline(Millis{40'000});
      for (int i = 0; i < reboots; ++i) {
        history.reboot();
        history.offline(Millis{i == 1 ? 100 : 20'000});
      }
      history.expect_nothing_missing();
      EXPECT_EQ(history.lost(), 0U);
      EXPECT_EQ(history.rig.gateway.database.unknown, 0U);
    }
  }
}

TEST(DeviceHistory, SurvivesTheDestructionOfItsTailHoweverOftenItReboots) {
  for (std::size_t bytes = 1; bytes < 400; bytes += 7) {
    for (int reboots = 0; reboots < 3; ++reboots) {
      SCOPED_TRACE(std::to_string(bytes) + " bytes, reboots: " + std::to_string(reboots));
      History history;
      history.online(Millis{60'000});
      history.destroy_tail(bytes);
      history.offline(Millis{10'000});
      for (int i = 0; i < reboots; ++i) {
        history.reboot();
        history.offline(Millis{10'000});
      }
      history.expect_nothing_missing();
    }
  }
}

// The gateway has a loss where the copy that is put back has nothing.
TEST(DeviceHistory, SurvivesATailThatIsALossWhenAnOlderCopyIsPutBack) {
  for (std::size_t bytes = 1; bytes < 120; bytes += 3) {
    SCOPED_TRACE(bytes);
    History history;
    history.online(Millis{30'000});
    const auto copy = history.copy();
    history.destroy_tail(bytes);
    history.online(Millis{20'000});
    history.put_back(copy);
    history.offline(Millis{4'000});
    history.reboot();
    history.expect_nothing_missing();
  }
}

TEST(DeviceHistory, SurvivesACopyThatIsPutBackTwiceAndTheOtherBranchAfterIt) {
  History history;
  history.online(Millis{20'000});
  const auto base = history.copy();
  history.online(Millis{30'000});
  const auto first_branch = history.copy();
  history.put_back(base);
  history.online(Millis{30'000});
  const auto second_branch = history.copy();
  for (const auto& branch : {first_branch, second_branch, base, first_branch}) {
    history.put_back(branch);
    history.offline(Millis{12'000});
    history.online(Millis{60'000});
  }
  history.expect_nothing_missing();
  EXPECT_EQ(history.lost(), 0U);
}

TEST(DeviceHistory, FillsADatabaseThatWasRestoredFromWhatTheFlashStillHolds) {
  for (int reboots = 0; reboots < 3; ++reboots) {
    SCOPED_TRACE(reboots);
    History history;
    history.online(Millis{20'000});
    const auto backup = history.backup();
    history.online(Millis{240'000});
    for (int i = 0; i < reboots; ++i) history.reboot();
    history.restore(backup);
    history.expect_nothing_missing();
    EXPECT_EQ(history.lost(), 0U) << "a ring that holds all of it loses nothing";
    expect_complete(history.rig);
  }
}

TEST(DeviceHistory, FillsADatabaseThatWasRestoredToBeforeAnEpoch) {
  History history;
  history.online(Millis{40'000});
  const auto backup = history.backup();
  history.online(Millis{40'000});
  history.destroy_tail(20);
  history.online(Millis{60'000});
  history.reboot();
  history.online(Millis{60'000});
  history.restore(backup);
  history.expect_nothing_missing();
  EXPECT_EQ(history.rig.gateway.database.unknown, 0U);
}

TEST(DeviceHistory, FillsADatabaseThatKnowsNothingOfIt) {
  History history;
  const auto empty = history.backup();
  history.online(Millis{40'000});
  history.reboot();
  history.online(Millis{40'000});
  history.restore(empty);
  history.expect_nothing_missing();
  expect_complete(history.rig);
}

// The gateway expects an entry that the fork has too, while the one before it is held no more.
TEST(DeviceHistory, OfAForkThatOverwroteWhatBothHadIsStoredOrReported) {
  History history({1024, 4, 8});
  history.rig.tables[0].contract.rows_max = kRowsPerRecord;
  history.online(Millis{20'000});
  const auto copy = history.copy();
  history.online(Millis{60'000});
  history.put_back(copy);
  history.offline(Millis{1'200'000});  // several times around the ring
  history.reboot();
  history.online(Millis{240'000});

  // Back from the end to where the fork began (a mark and five records after 20 s), each seq once.
  constexpr std::uint64_t kFork = 7;
  const auto& log = history.rig.gateway.database.log;
  std::uint64_t place = history.rig.device->outbox().next_seq().value;
  for (std::size_t i = log.size(); place > kFork;) {
    ASSERT_GT(i, 0U);
    const ModelItem& item = log[--i];
    ASSERT_EQ(item.seq + std::max<std::uint64_t>(item.lost, 1), place);
    place = item.seq;
  }
  EXPECT_EQ(place, kFork);
  EXPECT_GT(history.lost(), 0U);
  EXPECT_EQ(rows_of(history.rig).size(), history.stored().size());
}

TEST(DeviceHistory, OfMoreMarksThanAHelloNamesIsAskedForPageByPage) {
  History history;
  std::vector<History::FlashCopy> copies;
  for (int boot = 0; boot < 40; ++boot) {
    history.offline(Millis{5'000});
    if (boot == 3) copies.push_back(history.copy());
    history.reboot();
  }
  history.expect_nothing_missing();
  EXPECT_EQ(history.lost(), 0U);
  expect_complete(history.rig);
  EXPECT_EQ(history.rig.gateway.database.streams.size(), 41U);
  EXPECT_GE(history.rig.gateway.hellos, 5U) << "40 marks, 8 at a time";

  history.put_back(copies[0]);
  for (int boot = 0; boot < 20; ++boot) {
    history.offline(Millis{5'000});
    history.reboot();
  }
  history.expect_nothing_missing();
  EXPECT_EQ(history.lost(), 0U) << "36 epochs later, what it shares with the gateway is found";
  EXPECT_EQ(history.rig.gateway.database.unknown, 0U);
}

TEST(DeviceHistory, IsNotMovedByAnAckOfAnotherTry) {
  History history;
  history.online(Millis{30'000});
  const std::uint32_t old_try = history.rig.gateway.tries.back();
  const auto copy = history.copy();
  history.online(Millis{30'000});
  history.put_back(copy);
  history.offline(Millis{40'000});
  history.rig.broker.commit_acks = false;  // the answer to the new hello does not come
  history.online(Millis{120'000});
  ASSERT_NE(history.rig.gateway.tries.back(), old_try);
  const Seq acked = history.rig.device->acked_seq();
  for (const std::uint32_t try_id : {old_try, old_try + 1}) {
    std::array<std::uint8_t, codec::kAckSizeMax> late{};
    const auto size = codec::encode(codec::Ack{.try_id = {try_id}, .next_seq = {12}}, late);
    history.rig.broker.send_ack(as_text(Bytes(late).first(*size)));
    history.rig.settle();
    EXPECT_EQ(history.rig.device->acked_seq(), acked);
    EXPECT_FALSE(history.rig.device->online());
  }
  history.rig.broker.commit_acks = true;
  history.expect_nothing_missing();
}

TEST(DeviceHistory, IsMovedBackByTheFirstAckOfATryAndOnlyForwardByLaterOnes) {
  History history;
  history.online(Millis{30'500});
  const Seq acked = history.rig.device->acked_seq();
  const auto ack = [&](Seq next) {
    std::array<std::uint8_t, codec::kAckSizeMax> bytes{};
    const Try last{history.rig.gateway.tries.back()};
    const auto size = codec::encode(codec::Ack{.try_id = last, .next_seq = next}, bytes);
    history.rig.broker.send_ack(as_text(Bytes(bytes).first(*size)));
    history.rig.settle();
  };
  ack({2});
  EXPECT_EQ(history.rig.device->acked_seq(), acked) << "it was overtaken";

  history.rig.broker.commit_acks = false;
  history.rig.device->set_unix_time(history.rig.now, {1'700'000'000'000});  // a new try
  history.rig.settle();
  ack({2});
  EXPECT_EQ(history.rig.device->acked_seq(), Seq{2});
  const std::uint64_t repeated = history.rig.gateway.duplicates;
  EXPECT_GT(repeated, 0U) << "what the ring holds is sent again";
}

TEST(DeviceHistory, WithAGatewayThatAcksWhatWasNeverMadeCostsNoEraseAndBacksOff) {
  History history;
  history.offline(Millis{40'000});
  history.rig.gateway.acks_too_high_by = 1'000;
  const std::uint64_t erases = history.rig.flash.counts().erases;
  history.online(Millis{600'000});
  EXPECT_LE(history.rig.flash.counts().erases - erases, 10U) << "of the records made meanwhile";
  EXPECT_LT(history.rig.gateway.hellos, 60U);
  EXPECT_NE(std::ranges::find(history.rig.log.events, "ack_too_high"), history.rig.log.events.end());
  EXPECT_EQ(history.rig.device->acked_seq(), kFirstSeq);
  history.rig.gateway.acks_too_high_by = 0;
  history.expect_nothing_missing();
}

// The power is cut in the last unit of a mark, whose cells are charged halfway. Many offline restarts later
// they read as they were meant: the mark verifies, and no header or hello knows of it.
TEST(DeviceHistory, OfATornMarkThatVerifiesLaterHoldsNothingUp) {
  History history;
  history.online(Millis{10'000});
  history.offline(Millis{1'000});
  history.reboot();
  history.rig.flash.arm({.operation = 2, .tear = sim::Tear::kGarbage});
  history.offline(Millis{5'000});
  ASSERT_FALSE(history.rig.flash.powered());
  history.rig.flash.power_on();
  history.reboot();
  history.offline(Millis{900'000});  // into the next sector
  for (std::size_t i = 0; i <= outbox::Outbox::kMarksKept; ++i) {
    history.reboot();
    history.offline(Millis{5'000});
  }
  history.rig.flash.complete_tear();
  history.expect_nothing_missing();
}

// Any sequence of what may happen to both sides; nothing is dropped, as the ring is large.
TEST(DeviceHistory, SurvivesAnySequenceOfRebootsCopiesBackupsAndLostAcks) {
  for (std::uint32_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::minstd_rand random(seed);
    History history;
    std::vector<History::FlashCopy> copies;
    std::vector<History::Backup> backups;
    for (int move = 0; move < 14; ++move) {
      const Millis time{1'000 * static_cast<int>(1 + random() / 7 % 40)};
      switch (random() / 11 % 9) {
        case 0:
        case 1:
          history.offline(time);
          break;
        case 2:
        case 3:
          history.online(time);
          break;
        case 4:
          history.reboot();
          break;
        case 5:
          copies.push_back(history.copy());
          break;
        case 6:
          if (!copies.empty()) history.put_back(copies[random() / 13 % copies.size()]);
          break;
        case 7:
          if (backups.empty() || random() % 2 == 0) {
            backups.push_back(history.backup());
          } else {
            history.restore(backups[random() / 17 % backups.size()]);
          }
          break;
        default:
          history.rig.broker.commit_acks = false;
          history.online(Millis{5'000});
          history.rig.broker.commit_acks = true;
      }
    }
    history.expect_nothing_missing();
    EXPECT_EQ(history.lost(), 0U);
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace godwit::agent
