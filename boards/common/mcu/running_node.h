// SPDX-License-Identifier: Apache-2.0
// A board's life as a class, for node.cc (bring-up and main loop) and operator.cc (the console). Others use
// node.h.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "board_limits.h"

#include "boards/common/connection.h"
#include "boards/common/mcu/board.h"
#include "boards/common/mcu/console.h"
#include "boards/common/mcu/fed_flash.h"
#include "boards/common/mcu/sensors.h"
#include "boards/common/mcu/serial_log.h"
#include "boards/common/mcu/settings.h"
#include "boards/common/mcu/storage_watch.h"
#include "boards/common/mcu/system_sensors.h"
#include "boards/common/mcu/wall_clock.h"
#include "boards/common/net/mcu_link.h"
#include "boards/common/net/network.h"
#include "boards/common/storage/node_state.h"
#include "boards/common/storage/partition.h"
#include "boards/common/tls/tls_arena.h"
#include "boards/common/tls/tls_context.h"
#include "firmware/agent/device.h"

namespace godwit::boards {

inline constexpr std::string_view kFirmware = "godwit 0.1.0";

[[nodiscard]] const char* name_of(codec::CrashKind kind);

class Node {
 public:
  explicit Node(Board& board) : board_(board), out_(board), log_(board, out_) {}
  ~Node() = delete;

  [[noreturn]] void run();
  [[nodiscard]] std::int64_t unix_time_ms() {
    const auto time = clock_.time(board_.now());
    return time ? time->value : -1;
  }

 private:
  // What keeps the board from starting, in words for an operator; null: nothing does.
  using Trouble = const char*;

  void say_hello();
  Trouble start();
  Trouble load_provisioning();
  Trouble take(const codec::Provisioning& block);
  Trouble start_tls(const codec::Provisioning& block);
  Trouble start_network();
  Trouble start_device();
  Trouble claim_outbox();
  void pause();
  void wait_out(std::string_view trouble);
  void wait_for(Millis time);
  void feed_while_starting();

  void turn(Instant now);
  [[nodiscard]] Instant next_deadline(Instant now) const;
  [[nodiscard]] bool may_connect(Instant now);
  void take_time(Instant now);
  void connect(Instant now);
  void keep_session();
  void keep_storage_failure();
  [[nodiscard]] codec::Health health(Instant now) const;

  void read_console(Instant now);
  void obey(const Command& command, Instant now);
  void put_status(Instant now);
  // What this board has worked for since its start, in cycles of its processor: without waiting.
  struct Work {
    std::uint64_t network = 0;       // what arrives, up to TCP
    std::uint64_t connecting = 0;    // from a closed link to an open one: TLS above all
    std::uint64_t device = 0;        // sampling, recording, MQTT, and with an open link TLS and TCP
    std::uint32_t longest_turn = 0;  // of the main loop: so long the watchdog waited at most
  };
  // Adds the cycles since `before`, which become now.
  void count(std::uint64_t& work, std::uint32_t& before);
  // Lines of status. The key is no string_view: the code of many calls is smaller so.
  void put_line(const char* key, std::int64_t value);
  void put_line(const char* key, std::string_view value);
  void put_hex_line(const char* key, std::uint32_t value);

  Board& board_;
  SerialOut out_;
  SerialLog log_;
  LineReader line_;
  WallClock clock_;
  std::optional<codec::Crash> crash_;
  codec::ResetReason reset_reason_{};
  Instant health_due_{};
  StorageWatch storage_watch_;
  Work work_;

  std::optional<Settings> settings_;
  std::optional<FedFlash> storage_;
  std::optional<Partition> node_state_flash_;
  std::optional<Partition> outbox_flash_;
  std::optional<NodeState> state_;
  std::optional<TlsArena> arena_;
  std::optional<TlsContext> tls_context_;
  std::optional<TrustAnchors> trust_;
  std::optional<ClientIdentity> identity_;
  std::optional<Network> network_;
  std::optional<SystemSensors> system_sensors_;
  std::array<telemetry::Table, 2> tables_{};
  std::optional<TableSensors> sensors_;
  std::optional<TlsClient> tls_;
  std::optional<McuLink> link_;
  std::optional<Connection> connection_;
  bool running_ = false;             // device_ is there
  Instant start_by_{};               // a step of the start that takes longer hangs
  std::optional<Instant> time_by_;   // the first connection waits for the time of day until then
  bool connecting_ = false;          // that is over
  bool time_refused_ = false;        // the last answer of the time server, and it was said
  std::optional<Instant> reset_by_;  // asked for
  // The provisioning block is read where the device will be: they are never needed at once.
  union {
    std::array<std::uint8_t, codec::kProvisioningBlockSize> block_{};
    agent::Device device_;
  };
  alignas(8) std::array<std::uint8_t, BOARD_TLS_ARENA_SIZE> arena_memory_;
};

}  // namespace godwit::boards
