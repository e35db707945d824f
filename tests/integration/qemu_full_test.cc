// SPDX-License-Identifier: Apache-2.0
// A storage that is full: the oldest records are given up, and said to be.
#include "tests/integration/qemu_test.h"
#include "tests/support/gateway_database.h"

namespace godwit::test {
namespace {

using testing::HasSubstr;
using QemuFull = QemuTest;

TEST_F(QemuFull, GivesUpTheOldestAndReportsTheLoss) {
  QemuBoard& board = add_board({.period_ms = 10, .rows = 2});
  board.start();
  ASSERT_EQ(board.wait_for_status("running", "1", kTimeout), "1");
  ASSERT_GE(board.wait_for_count("next_seq", 2, kTimeout), 2U);
  board.kill();
  const std::uint64_t full = fill_outbox(tested_model(), storage_of("board-1"));

  // It has nobody to deliver to and no room.
  board.start();
  ASSERT_EQ(board.wait_for_status("running", "1", kTimeout), "1");
  ASSERT_GE(board.wait_for_count("dropped", 1, kTimeout), 1U) << "it never dropped a record";
  board.kill();
  const StoredOutbox held = read_outbox(tested_model(), storage_of("board-1"));
  EXPECT_GT(held.oldest_seq, 1U);
  EXPECT_GT(held.next_seq, full) << "it records no more";

  start_servers();
  board.start();
  ASSERT_TRUE(wait_for_committed(held.next_seq, "board-1", std::chrono::seconds(100)));
  EXPECT_EQ(first_disorder(read_log(gateway_)), "") << "a loss stands for the records it tells of";
  std::uint64_t lost = 0;
  std::uint64_t stored = 0;
  for (const StoredRecord& record : read_database(gateway_.dir(), "board-1")) {
    lost += record.lost;
    stored += record.lost == 0 ? 1 : 0;
    if (record.lost != 0) {
      continue;
    }
    if (const auto found = held.records.find(record.seq); found != held.records.end()) {
      ASSERT_EQ(record.batch, found->second) << "record " << record.seq;
    }
  }
  EXPECT_GE(lost, held.oldest_seq - 1);
  EXPECT_GE(stored + lost, held.next_seq - 1);
  EXPECT_THAT(shown(), testing::Not(HasSubstr(R"("lost_records":0)")));
}

}  // namespace
}  // namespace godwit::test
