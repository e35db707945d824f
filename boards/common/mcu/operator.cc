// SPDX-License-Identifier: Apache-2.0
// The operator's console: what its commands do.
#include <array>

#include "boards/common/cortex_m/crash.h"
#include "boards/common/cortex_m/stack.h"
#include "boards/common/mcu/running_node.h"
#include "proto/base/assert.h"

namespace godwit::boards {
namespace {

constexpr Millis kStopMax{5'000};  // an orderly stop before a reset takes so long
constexpr int kCharactersPerTurn = 64;

const char* name_of(codec::ResetReason reason) {
  static constexpr std::array<const char*, 7> kNames{"unknown", "power_on",  "software", "watchdog",
                                                     "fault",   "brown_out", "pin"};
  return kNames[static_cast<std::size_t>(reason)];
}
const char* name_of(codec::TimeQuality quality) {
  static constexpr std::array<const char*, 4> kNames{"unknown", "none", "synced", "holdover"};
  return kNames[static_cast<std::size_t>(quality)];
}

// Fills the stack for a test of what happens then.
[[gnu::noinline]] std::uint32_t fill_stack(std::uint32_t depth) {
  volatile std::uint32_t room[16] = {};
  room[0] = depth;
  return depth == 0 ? 0 : fill_stack(depth - 1) + room[0];
}

[[noreturn]] void provoke(Command::Fault fault) {
  switch (fault) {
    case Command::Fault::kHard:
      __builtin_trap();
    case Command::Fault::kAssert:
      GODWIT_ASSERT(false);
    case Command::Fault::kHang:
      break;
    case Command::Fault::kStack:
      static_cast<void>(fill_stack(0xFFFF'FFFF));
      break;
  }
  for (;;) asm volatile("");
}

}  // namespace

const char* name_of(codec::CrashKind kind) {
  static constexpr std::array<const char*, 5> kNames{"unknown", "assert", "fault", "watchdog",
                                                     "stack_overflow"};
  return kNames[static_cast<std::size_t>(kind)];
}

// At most one command in a turn: a block that was pasted must not keep the watchdog waiting.
void Node::read_console(Instant now) {
  for (int left = kCharactersPerTurn; left > 0; --left) {
    const auto c = board_.get();
    if (!c) return;
    const auto line = line_.take(*c);
    if (!line) continue;
    if (const auto command = Command::parse(*line)) {
      obey(*command, now);
    } else {
      out_.put("no such command: ");
      out_.put(*line);
      out_.put(" (help lists them)\n");
    }
    return;
  }
}

void Node::obey(const Command& command, Instant now) {
  switch (command.kind) {
    case Command::Kind::kHelp:
      out_.put(kConsoleHelp);
      break;
    case Command::Kind::kStatus:
      put_status(now);
      break;
    case Command::Kind::kLog:
      log_.set_level(command.level);
      break;
    case Command::Kind::kFault:
      provoke(command.fault);
    case Command::Kind::kReset:
      if (!running_) board_.reset();
      if (reset_by_) break;
      start_count().clear();
      device_.stop(now);
      reset_by_ = now + kStopMax;
      break;
  }
}

void Node::put_line(const char* key, std::int64_t value) {
  out_.put(std::string_view(key));
  out_.put('=');
  out_.put_number(value);
  out_.put('\n');
}

void Node::put_line(const char* key, std::string_view value) {
  out_.put(std::string_view(key));
  out_.put('=');
  out_.put(value);
  out_.put('\n');
}

void Node::put_hex_line(const char* key, std::uint32_t value) {
  out_.put(std::string_view(key));
  out_.put('=');
  out_.put_hex(value);
  out_.put('\n');
}

void Node::put_status(Instant now) {
  put_line("firmware", kFirmware);
  put_line("board", board_.name());
  put_line("uptime_ms", now.time_since_epoch().count());
  put_line("reset_reason", name_of(reset_reason_));
  if (crash_) {
    put_line("crash", name_of(crash_->kind));
    put_hex_line("crash_pc", crash_->pc);
    put_hex_line("crash_lr", crash_->lr);
    put_hex_line("crash_cause", crash_->cause);
    put_hex_line("crash_address", crash_->address);
    put_line("crash_where", crash_->where);
  }
  put_line("running", running_ ? 1 : 0);
  if (!running_) return;
  const codec::Health h = health(now);
  put_line("device", settings_->device.view());
  put_line("boot", state_->boot());
  put_line("time_ms", unix_time_ms());
  put_line("time_quality", name_of(h.time_quality));
  put_line("cable", network_->cable() ? 1 : 0);
  put_line("network", network_->up() ? 1 : 0);
  put_line("link", link_->is_open() ? 1 : 0);
  put_line("online", device_.online() ? 1 : 0);
  put_line("resumed", link_->is_open() && link_->resumed() ? 1 : 0);
  const agent::Stats stats = device_.stats();
  put_line("sessions", static_cast<std::int64_t>(stats.sessions));
  put_line("sampled", static_cast<std::int64_t>(stats.sample_rows));
  put_line("recorded", static_cast<std::int64_t>(stats.recorded));
  put_line("published", static_cast<std::int64_t>(stats.published));
  put_line("oldest_seq", static_cast<std::int64_t>(device_.outbox().oldest_seq().value));
  put_line("next_seq", static_cast<std::int64_t>(device_.outbox().next_seq().value));
  put_line("acked_seq", static_cast<std::int64_t>(device_.acked_seq().value));
  put_line("dropped", static_cast<std::int64_t>(device_.outbox().stats().dropped_records));
  put_line("network_cycles", static_cast<std::int64_t>(work_.network));
  put_line("connecting_cycles", static_cast<std::int64_t>(work_.connecting));
  put_line("device_cycles", static_cast<std::int64_t>(work_.device));
  put_line("longest_turn_cycles", work_.longest_turn);
  put_line("stack_used", h.stack_used);
  put_line("stack_size", h.stack_size);
  put_line("heap_used", h.heap_used);
  put_line("heap_size", h.heap_size);
  put_line("heap_allocations", arena_->allocations());
  const Network::Stats net = network_->stats();
  put_line("rx_bytes", static_cast<std::int64_t>(net.rx_bytes));
  put_line("tx_bytes", static_cast<std::int64_t>(net.tx_bytes));
  put_line("rx_errors", net.rx_errors);
  put_line("rx_dropped", net.rx_dropped);
  put_line("tx_dropped", net.tx_dropped);
  put_line("tcp_retransmissions", net.tcp_retransmissions);
  put_line("net_buffers_used", net.buffers_used_max);
  put_line("net_heap_used", net.heap_used_max);
}

}  // namespace godwit::boards
