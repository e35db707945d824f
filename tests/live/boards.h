// SPDX-License-Identifier: Apache-2.0
// The boards of a live run, which QEMU plays. What their storage holds at each power cut is taken down, and
// has to be in the gateway's log at the end, byte for byte.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/fleet/event_log.h"
#include "sim/judge/judge.h"
#include "tests/support/gateway_fixture.h"
#include "tests/support/qemu_board.h"
#include "tests/support/sntp_server.h"

namespace godwit::live {

class Boards final : public sim::Judge::Witness {
 public:
  // One of each kind, issued and started, connected to the broker at that port. Precondition: available().
  Boards(test::GatewayFixture& gateway, std::uint16_t broker_port);

  // There are an emulator and images.
  [[nodiscard]] static bool available();

  // Power off, a look into its storage, `off` later power on.
  void cut_power(std::size_t board, std::chrono::milliseconds off);
  // Power off for good.
  void finish();
  // All that their storages held is in the gateway's log, as its REST interface says. Throws if a board does
  // not run.
  [[nodiscard]] bool delivered();
  // Power off, a look, power on: what is held then is what has to be delivered.
  void look_into_all();

  // Enters the boards, switched off for good, and what their storages held.
  void tell(sim::Judge& judge) const;
  // Shows the judge an event of a board, with its bytes as the database has them.
  void show(const sim::LogEvent& event, sim::Judge& judge);
  [[nodiscard]] bool is_mine(const std::string& device) const { return boards_.contains(device); }
  [[nodiscard]] std::size_t size() const { return boards_.size(); }
  [[nodiscard]] std::string log_tail() const;

 private:
  using Name = std::pair<std::uint64_t, std::uint64_t>;  // epoch, seq
  struct Board {
    std::unique_ptr<test::QemuBoard> machine;
    std::map<Name, std::string> held;    // ever
    std::map<Name, std::string> stored;  // in the database; read when it is first asked for
    std::uint64_t next_seq = 1;          // at the last look
  };

  [[nodiscard]] bool holds(std::size_t device, sim::RecordId record) const override;
  [[nodiscard]] bool holds_unharmed(std::size_t device, sim::RecordId record) const override {
    return holds(device, record);
  }
  void look(Board& board);

  test::GatewayFixture& gateway_;
  test::SntpServer time_;
  test::TempDir dir_;
  std::map<std::string, Board> boards_;  // by id
};

}  // namespace godwit::live
