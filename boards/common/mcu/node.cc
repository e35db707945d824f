// SPDX-License-Identifier: Apache-2.0
#include "boards/common/mcu/node.h"

#include <algorithm>
#include <array>
#include <new>

#include "boards/common/boot_number.h"
#include "boards/common/cortex_m/crash.h"
#include "boards/common/cortex_m/faults.h"
#include "boards/common/cortex_m/stack.h"
#include "boards/common/mcu/running_node.h"
#include "boards/common/storage/layout.h"
#include "boards/common/storage/provisioning.h"
#include "proto/base/crc32.h"

namespace godwit::boards {
namespace {

constexpr Millis kWatchdogTimeout{8'000};
// Work that is due for so long and still not done is no progress: the watchdog is not fed then.
constexpr Millis kOverdueMax{4'000};
constexpr Millis kRetryInterval{5'000};  // of what keeps the board from starting
// A start reads a header of each sector of the storage; one that takes longer than this hangs.
constexpr Millis kStartMax{10 * 60'000};
constexpr Millis kHealthInterval{1'000};
constexpr Millis kStableAfter{10 * 60'000};  // running so long, a start was not one of many
constexpr Millis kSleepMax{1'000};
constexpr Millis kTimeWaitMax{5'000};  // the first connection waits so long for the time of day
constexpr Millis kDefaultPeriod{1'000};
// With a row in a record and TLS around it, some 200,000 instructions each: what all boards can keep up with.
constexpr Millis kPeriodMin{10};
constexpr std::uint16_t kDefaultRows = 16;
constexpr Millis kSystemPeriod{10'000};
constexpr std::uint16_t kSystemRows = 6;

constexpr const char* kNoEntropy = "no entropy: without randomness nothing is secret";

constinit Node* the_node = nullptr;  // mbedTLS asks for the time without saying whom

// In static memory, and never destroyed.
alignas(Node) constinit std::array<std::byte, sizeof(Node)> node_memory{};

}  // namespace

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
  while (const Trouble trouble = start()) wait_out(trouble);
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
              {.key = "where", .text = crash_->where.empty() ? "see status" : crash_->where}});
}

// A board that starts again and again does so more and more slowly.
void Node::pause() {
  if (reset_reason_ == codec::ResetReason::kPowerOn || reset_reason_ == codec::ResetReason::kPin) {
    start_count().clear();
  }
  const std::uint32_t number = start_count().next();
  const Millis time = pause_before_start(number);
  if (time == Millis{0}) return;
  log_.write(ports::LogLevel::kWarning, "start_delayed", {{.key = "delay_ms", .number = time.count()}});
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

void Node::feed_while_starting() {
  if (!running_ && board_.now() < start_by_) board_.feed_watchdog();
}

// Each step is taken until it succeeds, once.
Node::Trouble Node::start() {
  start_by_ = board_.now() + kStartMax;
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
      return "not provisioned: write this board's storage with godwit-gateway device add DIR ID --image FILE";
    case Status::kUnsupported:
      return "provisioned for a newer firmware: update this one, or use an older godwit-gateway device add";
    case Status::kIo:
      return "the storage does not answer";
    default:
      return "the provisioning block is damaged: write it again with godwit-gateway device add DIR ID "
             "--image "
             "FILE";
  }
}

Node::Trouble Node::take(const codec::Provisioning& block) {
  const auto device = DeviceId::parse(block.device);
  const auto layout = storage_layout(board_.storage().geometry());
  if (!device) return "the provisioning block names no device";
  if (!layout) return "the storage is too small";
  if (!state_) {
    storage_.emplace(
        board_.storage(), [](void* node) { static_cast<Node*>(node)->feed_while_starting(); }, this);
    node_state_flash_.emplace(*storage_, layout->node_state);
    outbox_flash_.emplace(*storage_, layout->outbox);
    state_.emplace(*node_state_flash_);
    if (state_->mount(log_) != Status::kOk) {
      const auto boot = draw_boot_number(board_.entropy());
      if (!boot) {
        state_.reset();
        return kNoEntropy;
      }
      state_->go_on_unsaved(*boot);
      log_.write(ports::LogLevel::kError, "start_not_counted", {{.key = "boot", .number = *boot}});
    }
  }
  Settings settings{.device = *device, .host_name = host_name_of(*device)};
  const auto copy = [](std::string_view from, Settings::Host& to) { std::ranges::copy(from, to.begin()); };
  copy(block.broker_host, settings.broker);
  copy(block.server_name, settings.server_name);
  copy(block.sntp_host, settings.sntp);
  settings.broker_port = block.broker_port;
  settings.sntp_port = block.sntp_port;
  settings.issued = block.issued;
  settings.sample_period = block.sample_period > Millis{0} ? block.sample_period : kDefaultPeriod;
  if (settings.sample_period < kPeriodMin) {
    settings.sample_period = kPeriodMin;
    log_.write(ports::LogLevel::kWarning, "sample_period_raised",
               {{.key = "period_ms", .number = kPeriodMin.count()}});
  }
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
  return nullptr;
}

Node::Trouble Node::start_tls(const codec::Provisioning& block) {
  arena_.emplace(arena_memory_);
  tls_context_.emplace(TlsContext::Options{
      .entropy = board_.entropy(),
      .unix_time_ms = [] { return the_node->unix_time_ms(); },
      .earliest_unix_ms =
          std::max(block.issued.value, state_->saved_at(codec::provisioning_crc(block_)).value),
      .public_key_steps_max = BOARD_TLS_STEPS_MAX});
  const auto cause = [](Status status, Trouble otherwise) {
    return status == Status::kFull ? "out of memory for TLS: BOARD_TLS_ARENA_SIZE is too small" : otherwise;
  };
  Status status = tls_context_->start();
  if (status != Status::kOk) return cause(status, kNoEntropy);
  trust_.emplace();
  status = trust_->add(block.ca);
  if (status != Status::kOk) return cause(status, "provisioning: the authority's certificate cannot be used");
  if (block.certificate.empty()) return nullptr;
  identity_.emplace();
  status = identity_->load(*tls_context_, block.certificate, block.key);
  if (status != Status::kOk) {
    return cause(status, "provisioning: the device's certificate and key cannot be used");
  }
  return nullptr;
}

Node::Trouble Node::start_network() {
  const SntpClient::Server sntp = settings_->sntp.front() == '\0'
                                      ? SntpClient::Server{}
                                      : SntpClient::Server{settings_->sntp.data(), settings_->sntp_port};
  network_.emplace(board_.ethernet(), board_.entropy(),
                   Network::Options{.hostname = settings_->host_name.data(), .sntp = sntp});
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
  return nullptr;
}

Node::Trouble Node::start_device() {
  system_sensors_.emplace(*network_, *arena_);
  tables_[0] = {.contract = {.name = "sensors",
                             .period = settings_->sample_period,
                             .channels = board_.sensors().channels(),
                             .rows_max = settings_->rows_per_record},
                .age_max = telemetry::age_for(settings_->sample_period, settings_->rows_per_record)};
  tables_[1] = {.contract = {.name = "system",
                             .period = kSystemPeriod,
                             .channels = system_sensors_->channels(),
                             .rows_max = kSystemRows},
                .age_max = telemetry::age_for(kSystemPeriod, kSystemRows)};
  sensors_.emplace(tables_, std::array<SensorDriver*, 2>{&board_.sensors(), &*system_sensors_});
  const agent::Config config{.id = settings_->device,
                             .firmware = kFirmware,
                             .board = board_.name(),
                             .boot = state_->boot(),
                             .reset_reason = reset_reason_,
                             .last_crash = crash_,
                             .refused_before = storage_failure().read().refused,
                             .tables = tables_};
  new (&device_) agent::Device(
      config, {.flash = *outbox_flash_, .entropy = board_.entropy(), .sensors = *sensors_, .log = log_});
  if (device_.start(board_.now()) != Status::kOk)
    return "sample period, rows, channels or the storage's sectors are out of bounds";
  if (const Trouble trouble = claim_outbox()) return trouble;
  storage_watch_ = StorageWatch(storage_failure().read().reset_tried);
  connection_.emplace(device_, log_, *link_);
  running_ = true;
  log_.write(
      ports::LogLevel::kInfo, "started",
      {{.key = "device", .text = settings_->device.view()}, {.key = "boot", .number = state_->boot()}});
  return nullptr;
}

// Records of the name that the board had before must not become those of the new one: the gateway asks a
// device that it has never heard of for all that its log holds, delivered or not.
Node::Trouble Node::claim_outbox() {
  const std::uint32_t device = crc32(as_bytes(settings_->device.view()));
  if (state_->device() == device || device_.log_state() == codec::LogState::kNone) return nullptr;
  if (state_->device() != 0 && device_.outbox().oldest_seq() != device_.outbox().next_seq()) {
    return "the storage holds records of another device: provision the board as that one, or erase the "
           "storage";
  }
  if (state_->save_device(device) != Status::kOk) {
    log_.write(ports::LogLevel::kError, "device_not_saved", {});
  }
  return nullptr;
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
  keep_storage_failure();
  if (device_.online()) last_crash().clear();  // the gateway has a hello of this boot
  if (now >= health_due_) {
    health_due_ = now + kHealthInterval;
    if (now.time_since_epoch() >= kStableAfter) start_count().clear();
    // A device that started without a log stays there to say so.
    if (device_.log_state() != codec::LogState::kNone &&
        storage_watch_.wants_reset(now, device_.stats().recorded, device_.stats().refused)) {
      keep_storage_failure();
      log_.write(ports::LogLevel::kError, "storage_fails", {});
      board_.reset();
    }
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
                 {{.key = "cause", .text = "it is before the provisioning: set the time server's clock"}});
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

// Only what a full handshake has made is worth a write to flash: it can be resumed again and again. Once the
// gateway has answered, all of a broker's tickets have come, so that two of them cost one write.
void Node::keep_session() {
  if (!device_.online() || link_->resumed() || !tls_->session_changed()) return;
  std::array<std::uint8_t, NodeState::kSessionSizeMax> session;
  const auto size = tls_->export_session(session);
  const UnixMillis now = clock_.time(board_.now()).value_or(UnixMillis{0});
  const Status saved =
      size ? state_->save_session(settings_->crc, now, Bytes(session).first(*size)) : size.error();
  if (saved != Status::kOk) {
    log_.write(ports::LogLevel::kWarning, "session_not_saved", {{.key = "cause", .text = to_string(saved)}});
  }
}

void Node::keep_storage_failure() {
  storage_failure().store({.refused = device_.refused_untold(), .reset_tried = storage_watch_.reset_tried()});
}

codec::Health Node::health(Instant now) const {
  return {.stack_used = stack_used(main_stack()),
          .stack_size = static_cast<std::uint32_t>(main_stack().size_bytes()),
          .heap_used = static_cast<std::uint32_t>(arena_->used_max()),
          .heap_size = static_cast<std::uint32_t>(arena_->size()),
          .time_quality = clock_.quality(now)};
}

void run_node(Board& board) { (new (node_memory.data()) Node(board))->run(); }

}  // namespace godwit::boards
