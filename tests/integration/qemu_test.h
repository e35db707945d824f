// SPDX-License-Identifier: Apache-2.0
// What the tests of firmware images share: a broker, a gateway and a time server, boards that QEMU plays with
// the storage that `godwit-gateway device add --image` wrote for them, and the count at the end. Each test
// program exists once for each kind of board. Random moments come from a seed that is printed; GODWIT_SEED=n
// replays another one.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/support/board_storage.h"
#include "tests/support/gateway_fixture.h"
#include "tests/support/gateway_log.h"
#include "tests/support/qemu_board.h"
#include "tests/support/sntp_server.h"

namespace godwit::test {

// The kind of board that this program tests.
const QemuModel& tested_model();

// How a board is issued.
struct BoardSettings {
  const QemuModel& model = tested_model();
  std::string id = "board-1";
  unsigned number = 1;
  unsigned period_ms = 50;
  unsigned rows = 4;
  bool sntp = true;
  std::uint16_t broker_port = 0;            // 0: the broker's
  std::string server_name = "localhost";    // in the broker's certificate
  std::vector<std::string> more_qemu = {};  // arguments
};

class QemuTest : public testing::Test {
 protected:
  static constexpr std::chrono::seconds kTimeout{60};  // a second pause before a reconnect is up to 42 s

  QemuTest();
  // On failure prints what boards, broker and gateway wrote last.
  void TearDown() override;

  void start_servers();
  // Issues it: certificates, and a storage file with the provisioning block. Not started.
  QemuBoard& add_board(const BoardSettings& settings = {});
  [[nodiscard]] std::filesystem::path storage_of(const std::string& id) const;

  // From `first` to `last`.
  [[nodiscard]] unsigned random(unsigned first, unsigned last);

  // What REST says of a board, as canonical JSON; empty: nothing yet.
  [[nodiscard]] std::string shown(const std::string& id = "board-1") const;
  // Waits until REST says that the gateway has all records of its newest stream below `next`.
  [[nodiscard]] bool wait_for_committed(std::uint64_t next, const std::string& id = "board-1",
                                        std::chrono::milliseconds timeout = kTimeout) const;
  [[nodiscard]] std::uint64_t committed(const std::string& id = "board-1") const;
  // Waits until the gateway has taken so many more of its records.
  [[nodiscard]] bool take_records(std::uint64_t count, const std::string& id = "board-1") const;

  // Power off, and takes down what its storage holds then: all of it has to arrive once. Missing may be the
  // record alone that was being written, and never one below `said`, the next_seq that the console told.
  // Returns the next record that the storage awaits. Has to be called at each cut, as what a cut may tear is
  // the newest record only then.
  std::uint64_t kill_and_look(QemuBoard& board, const std::string& id = "board-1", std::uint64_t said = 1);
  // Power off, and on again until all is delivered that the storage held; then off, and everything is
  // counted: all that was ever seen in a storage is in the gateway's database with the same bytes, and the
  // records of each epoch are there from the first on, each once and in order, without a loss but of what a
  // cut tore.
  void expect_all_delivered(QemuBoard& board, const std::string& id = "board-1");
  // The count at the end alone.
  void expect_all_stored();

  GatewayFixture gateway_;
  SntpServer sntp_;
  std::uint64_t seed_;

 private:
  void expect_only_torn(const StoredOutbox& outbox, const std::string& id, std::uint64_t said);

  using Stream = std::map<std::uint64_t, std::string>;  // seq -> batch

  TempDir dir_;
  std::minstd_rand random_;
  std::vector<std::unique_ptr<QemuBoard>> boards_;
  std::map<std::string, std::map<std::uint64_t, Stream>> seen_;                   // id -> epoch -> records
  std::map<std::string, std::map<std::uint64_t, std::set<std::uint64_t>>> torn_;  // id -> epoch -> seqs
};

}  // namespace godwit::test
