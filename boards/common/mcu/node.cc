// SPDX-License-Identifier: Apache-2.0
#include "boards/common/mcu/node.h"

#include <algorithm>
#include <array>
#include <new>
#include <optional>

#include "board_limits.h"

#include "boards/common/connection.h"
#include "boards/common/cortex_m/crash.h"
#include "boards/common/cortex_m/faults.h"
#include "boards/common/cortex_m/stack.h"
#include "boards/common/mcu/console.h"
#include "boards/common/mcu/sensors.h"
#include "boards/common/mcu/serial_log.h"
#include "boards/common/mcu/settings.h"
#include "boards/common/mcu/system_sensors.h"
#include "boards/common/mcu/wall_clock.h"
#include "boards/common/net/mcu_link.h"
#include "boards/common/net/network.h"
#include "boards/common/storage/layout.h"
#include "boards/common/storage/node_state.h"
#include "boards/common/storage/partition.h"
#include "boards/common/storage/provisioning.h"
#include "boards/common/tls/tls_arena.h"
#include "boards/common/tls/tls_context.h"
#include "firmware/agent/device.h"
#include "proto/base/assert.h"

namespace godwit::boards {
namespace {

constexpr std::string_view kFirmware = "godwit 0.1.0";
constexpr Millis kWatchdogTimeout{8'000};
// Work that is due for so long and still not done is no progress: the watchdog is not fed then.
constexpr Millis kOverdueMax{4'000};
constexpr Millis kRetryInterval{5'000};  // of what keeps the board from starting
constexpr Millis kHealthInterval{1'000};
constexpr Millis kStableAfter{10 * 60'000};  // running so long, a start was not one of many
constexpr Millis kSleepMax{1'000};
constexpr Millis kStopMax{5'000};      // an orderly stop before a reset takes so long
constexpr Millis kTimeWaitMax{5'000};  // the first connection waits so long for the time of day
constexpr Millis kDefaultPeriod{1'000};
constexpr std::uint16_t kDefaultRows = 16;
constexpr Millis kSystemPeriod{10'000};
constexpr std::uint16_t kSystemRows = 6;

constexpr Millis kAgeMax{24 * 3'600'000};  // of a batch

std::string_view name_of(codec::ResetReason reason) {
  constexpr std::array<std::string_view, 7> kNames{"unknown", "power_on",  "software", "watchdog",
                                                   "fault",   "brown_out", "pin"};
  return kNames[static_cast<std::size_t>(reason)];
}
std::string_view name_of(codec::CrashKind kind) {
  constexpr std::array<std::string_view, 5> kNames{"unknown", "assert", "fault", "watchdog",
                                                   "stack_overflow"};
  return kNames[static_cast<std::size_t>(kind)];
}
std::string_view name_of(codec::TimeQuality quality) {
  constexpr std::array<std::string_view, 4> kNames{"unknown", "none", "synced", "holdover"};
  return kNames[static_cast<std::size_t>(quality)];
}

class Node;
constinit Node* the_node = nullptr;  // mbedTLS asks for the time without saying whom

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
  // What keeps the board from starting, in words for an operator.
  using Trouble = std::optional<std::string_view>;

  void say_hello();
  Trouble start();
  Trouble load_provisioning();
  Trouble take(const codec::Provisioning& block);
  Trouble start_tls(const codec::Provisioning& block);
  Trouble start_network();
  Trouble start_device();
  void pause();
  void wait_out(std::string_view trouble);
  void wait_for(Millis time);

  void turn(Instant now);
  [[nodiscard]] Instant next_deadline(Instant now) const;
  [[nodiscard]] bool may_connect(Instant now);
  void take_time(Instant now);
  void connect(Instant now);
  void keep_session();
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
  void put_line(std::string_view key, std::int64_t value);
  void put_line(std::string_view key, std::string_view value);
  void put_hex_line(std::string_view key, std::uint32_t value);

  Board& board_;
  SerialOut out_;
  SerialLog log_;
  LineReader line_;
  WallClock clock_;
  std::optional<codec::Crash> crash_;
  codec::ResetReason reset_reason_{};
  Instant health_due_{};
  Work work_;

  std::optional<Settings> settings_;
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

void Node::run() {
  the_node = this;
  board_.start_watchdog(kWatchdogTimeout);
  reset_reason_ = board_.reset_reason();
  if (const auto found = last_crash().read()) {
    crash_ = found->crash;
    // A crash resets the board by itself, as far as the hardware can tell.
    if (found->is_new) {
      reset_reason_ = crash_->kind == codec::CrashKind::kWatchdog ? codec::ResetReason::kWatchdog
                                                                  : codec::ResetReason::kFault;
    }
  }
  say_hello();
  pause();
  while (const Trouble trouble = start()) wait_out(*trouble);
  for (;;) {
    const Instant now = board_.now();
    const std::uint32_t begin = board_.cycles();
    turn(now);
    work_.longest_turn = std::max(work_.longest_turn, board_.cycles() - begin);
    if (reset_by_ && (link_->is_closed() || now >= *reset_by_)) board_.reset();
    const Instant due = next_deadline(now);
    const auto work = device_.next_deadline();
    if (!work || now < *work + kOverdueMax) board_.feed_watchdog();
    if (board_.now() < due) board_.wait(due);
  }
}

void Node::say_hello() {
  out_.put("\n");
  out_.put(kFirmware);
  out_.put(" on ");
  out_.put(board_.name());
  out_.put("\n");
  if (!crash_) return;
  log_.write(ports::LogLevel::kWarning, "crashed_before",
             {{.key = "kind", .text = name_of(crash_->kind)},
              {.key = "pc", .number = crash_->pc},
              {.key = "where", .text = crash_->where.empty() ? "unknown" : crash_->where}});
}

// A board that starts again and again does so more and more slowly.
void Node::pause() {
  if (reset_reason_ == codec::ResetReason::kPowerOn || reset_reason_ == codec::ResetReason::kPin) {
    start_count().clear();
  }
  const std::uint32_t number = start_count().next();
  const Millis time = pause_before_start(number);
  if (time == Millis{0}) return;
  log_.write(ports::LogLevel::kWarning, "start_delayed",
             {{.key = "starts", .number = number}, {.key = "delay_ms", .number = time.count()}});
  wait_for(time);
}

// Says what is wrong, and does nothing else for a while.
void Node::wait_out(std::string_view trouble) {
  log_.write(ports::LogLevel::kError, "not_started", {{.key = "cause", .text = trouble}});
  wait_for(kRetryInterval);
}

void Node::wait_for(Millis time) {
  const Instant until = board_.now() + time;
  for (Instant now = board_.now(); now < until; now = board_.now()) {
    read_console(now);
    board_.feed_watchdog();
    board_.wait(until);
  }
}

// Each step is taken until it succeeds, once.
Node::Trouble Node::start() {
  if (!settings_) {
    if (const Trouble trouble = load_provisioning()) return trouble;
  }
  if (!network_) {
    if (const Trouble trouble = start_network()) return trouble;
  }
  return start_device();
}

Node::Trouble Node::load_provisioning() {
  const auto block = read_provisioning(board_.storage(), block_);
  if (block) return take(*block);
  switch (block.error()) {
    case Status::kNotFound:
      return "not provisioned: write this board's storage with godwit-gateway device add NAME --image FILE";
    case Status::kUnsupported:
      return "provisioned for a newer firmware: update this one, or use an older godwit-gateway device add";
    case Status::kIo:
      return "the storage does not answer";
    default:
      return "the provisioning block is damaged: write it again with godwit-gateway device add NAME --image "
             "FILE";
  }
}

Node::Trouble Node::take(const codec::Provisioning& block) {
  const auto device = DeviceId::parse(block.device);
  const auto layout = storage_layout(board_.storage().geometry());
  if (!device) return "the provisioning block names no device";
  if (!layout) return "the storage is too small";
  if (!state_) {
    node_state_flash_.emplace(board_.storage(), layout->node_state);
    outbox_flash_.emplace(board_.storage(), layout->outbox);
    state_.emplace(*node_state_flash_);
    if (state_->mount(log_) != Status::kOk) {
      state_.reset();
      return "the storage fails: it cannot count the starts of this board";
    }
  }
  Settings settings{.device = *device};
  const auto copy = [](std::string_view from, Settings::Host& to) { std::ranges::copy(from, to.begin()); };
  copy(block.broker_host, settings.broker);
  copy(block.server_name, settings.server_name);
  copy(block.sntp_host, settings.sntp);
  settings.broker_port = block.broker_port;
  settings.sntp_port = block.sntp_port;
  settings.issued = block.issued;
  settings.sample_period = block.sample_period > Millis{0} ? block.sample_period : kDefaultPeriod;
  settings.rows_per_record =
      block.rows_per_record > 0 ? static_cast<std::uint16_t>(block.rows_per_record) : kDefaultRows;
  settings.crc = codec::provisioning_crc(block_);
  if (const Trouble trouble = start_tls(block)) {
    identity_.reset();
    trust_.reset();
    tls_context_.reset();
    arena_.reset();
    return trouble;
  }
  settings_ = settings;
  clock_.set_earliest(settings.issued);
  return std::nullopt;
}

Node::Trouble Node::start_tls(const codec::Provisioning& block) {
  arena_.emplace(arena_memory_);
  tls_context_.emplace(TlsContext::Options{
      .entropy = board_.entropy(),
      .unix_time_ms = [] { return the_node->unix_time_ms(); },
      .earliest_unix_ms =
          std::max(block.issued.value, state_->saved_at(codec::provisioning_crc(block_)).value),
      .public_key_steps_max = BOARD_TLS_STEPS_MAX});
  if (tls_context_->start() != Status::kOk) return "no entropy: without randomness nothing is secret";
  trust_.emplace();
  if (trust_->add(block.ca) != Status::kOk) return "provisioning: the authority's certificate cannot be used";
  if (block.certificate.empty()) return std::nullopt;
  identity_.emplace();
  if (identity_->load(*tls_context_, block.certificate, block.key) != Status::kOk) {
    return "provisioning: the device's certificate and key cannot be used";
  }
  return std::nullopt;
}

Node::Trouble Node::start_network() {
  const SntpClient::Server sntp = settings_->sntp.front() == '\0'
                                      ? SntpClient::Server{}
                                      : SntpClient::Server{settings_->sntp.data(), settings_->sntp_port};
  network_.emplace(board_.ethernet(), board_.entropy(), Network::Options{.hostname = "godwit", .sntp = sntp});
  if (network_->start(board_.now()) != Status::kOk) {
    network_.reset();
    return "no entropy: the network needs randomness";
  }
  tls_.emplace(*tls_context_, *trust_, identity_ ? &*identity_ : nullptr,
               TlsClient::Options{.server_name = settings_->server_name.data(),
                                  .version_first = TlsClient::Version::BOARD_TLS_VERSION_FIRST,
                                  .tls12_tickets = false});
  link_.emplace(*network_, *tls_,
                McuLink::Options{.host = settings_->broker.data(), .port = settings_->broker_port});
  std::array<std::uint8_t, NodeState::kSessionSizeMax> session;
  const auto size = state_->load_session(settings_->crc, session);
  // Without it the first handshake is a full one.
  if (size) ignore(tls_->import_session(Bytes(session).first(*size)));
  return std::nullopt;
}

Node::Trouble Node::start_device() {
  system_sensors_.emplace(*network_, *arena_);
  tables_[0] = {.contract = {.name = "sensors",
                             .period = settings_->sample_period,
                             .channels = board_.sensors().channels()},
                .rows_max = settings_->rows_per_record,
                // A little longer than the rows take, so that their number closes a batch.
                .age_max = std::min(settings_->sample_period * (settings_->rows_per_record + 1), kAgeMax)};
  tables_[1] = {
      .contract = {.name = "system", .period = kSystemPeriod, .channels = system_sensors_->channels()},
      .rows_max = kSystemRows,
      .age_max = kSystemPeriod * (kSystemRows + 1)};
  sensors_.emplace(tables_, std::array<SensorDriver*, 2>{&board_.sensors(), &*system_sensors_});
  const agent::Config config{.id = settings_->device,
                             .firmware = kFirmware,
                             .board = board_.name(),
                             .boot = state_->boot(),
                             .reset_reason = reset_reason_,
                             .last_crash = crash_,
                             .tables = tables_};
  new (&device_) agent::Device(
      config, {.flash = *outbox_flash_, .entropy = board_.entropy(), .sensors = *sensors_, .log = log_});
  switch (device_.start(board_.now())) {
    case Status::kOk:
      break;
    case Status::kUnsupported:
      return "the outbox was written by a newer firmware or with another size of storage";
    case Status::kIo:
      return "the storage fails: the outbox cannot be read";
    default:
      return "the outbox cannot be used";
  }
  connection_.emplace(device_, log_, *link_);
  running_ = true;
  log_.write(
      ports::LogLevel::kInfo, "started",
      {{.key = "device", .text = settings_->device.view()}, {.key = "boot", .number = state_->boot()}});
  return std::nullopt;
}

void Node::turn(Instant now) {
  read_console(now);
  std::uint32_t cycles = board_.cycles();
  network_->poll(now);
  count(work_.network, cycles);
  take_time(now);
  const bool connecting = !link_->is_closed() && !link_->is_open();
  connect(now);
  count(connecting ? work_.connecting : work_.device, cycles);
  keep_session();
  if (now >= health_due_) {
    health_due_ = now + kHealthInterval;
    if (device_.online()) last_crash().clear();  // the gateway has a hello of this boot
    if (now.time_since_epoch() >= kStableAfter) start_count().clear();
    if (stack_used(main_stack()) == main_stack().size_bytes()) stack_overflowed("main loop");
    device_.set_health(now, health(now));
  }
}

void Node::count(std::uint64_t& work, std::uint32_t& before) {
  const std::uint32_t cycles = board_.cycles();
  work += cycles - before;
  before = cycles;
}

Instant Node::next_deadline(Instant now) const {
  Instant due = std::min({now + kSleepMax, health_due_, network_->next_deadline(now)});
  if (const auto work = connection_->next_deadline()) due = std::min(due, *work);
  return due;
}

void Node::take_time(Instant now) {
  const auto answer = network_->take_time();
  if (!answer) return;
  if (clock_.set(answer->at, answer->time) != Status::kOk) {
    if (!time_refused_) {
      log_.write(ports::LogLevel::kWarning, "time_refused",
                 {{.key = "cause", .text = "it is before the provisioning: set the time server's clock"},
                  {.key = "time_ms", .number = answer->time.value}});
    }
    time_refused_ = true;
    return;
  }
  time_refused_ = false;
  device_.set_unix_time(answer->at, answer->time);
  device_.set_health(now, health(now));
}

// Whether certificates can be checked against the time of day, or waiting for it has taken long enough.
bool Node::may_connect(Instant now) {
  if (connecting_) return true;
  if (network_->up() && !time_by_) time_by_ = now + kTimeWaitMax;
  connecting_ = settings_->sntp.front() == '\0' || clock_.time(now) || (time_by_ && now >= *time_by_);
  return connecting_;
}

void Node::connect(Instant now) {
  if (may_connect(now)) {
    connection_->run(now);
  } else if (const auto due = device_.next_deadline(); due && *due <= now) {
    device_.handle_timeout(now);
  }
}

// Only what a full handshake has made is worth a write to flash: it can be resumed again and again.
void Node::keep_session() {
  if (!tls_->session_changed() || !link_->is_open() || link_->resumed()) return;
  std::array<std::uint8_t, NodeState::kSessionSizeMax> session;
  const auto size = tls_->export_session(session);
  if (!size) return;
  const UnixMillis now = clock_.time(board_.now()).value_or(UnixMillis{0});
  const Status saved = state_->save_session(settings_->crc, now, Bytes(session).first(*size));
  if (saved != Status::kOk) {
    log_.write(ports::LogLevel::kWarning, "session_not_saved", {{.key = "cause", .text = to_string(saved)}});
  }
}

codec::Health Node::health(Instant now) const {
  return {.stack_used = stack_used(main_stack()),
          .stack_size = static_cast<std::uint32_t>(main_stack().size_bytes()),
          .heap_used = static_cast<std::uint32_t>(arena_->used_max()),
          .heap_size = static_cast<std::uint32_t>(arena_->size()),
          .time_quality = clock_.quality(now)};
}

void Node::read_console(Instant now) {
  while (const auto c = board_.get()) {
    const auto line = line_.take(*c);
    if (!line) continue;
    if (const auto command = Command::parse(*line)) {
      obey(*command, now);
    } else {
      out_.put("no such command: ");
      out_.put(*line);
      out_.put(" (help lists them)\n");
    }
  }
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

void Node::put_line(std::string_view key, std::int64_t value) {
  out_.put(key);
  out_.put('=');
  out_.put_number(value);
  out_.put('\n');
}

void Node::put_line(std::string_view key, std::string_view value) {
  out_.put(key);
  out_.put('=');
  out_.put(value);
  out_.put('\n');
}

void Node::put_hex_line(std::string_view key, std::uint32_t value) {
  out_.put(key);
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

// In static memory, and never destroyed.
alignas(Node) constinit std::array<std::byte, sizeof(Node)> node_memory{};

}  // namespace

void run_node(Board& board) { (new (node_memory.data()) Node(board))->run(); }

}  // namespace godwit::boards
