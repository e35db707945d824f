// SPDX-License-Identifier: Apache-2.0
// A device: recorders, outbox, uplink and MQTT session as one value behind one interface without I/O. A board
// is a short loop around it (boards/host); the simulator drives thousands from one event queue.
//
// After any input: send transmit() until empty, obey link_request(), then sleep until next_deadline() or
// input. RAM: sizeof(Device), at most 8 KB with all its buffers; TLS and flash are not in it. No allocation,
// no static state; main loop only. Calls do flash I/O but never wait for the network.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "firmware/agent/uplink.h"
#include "firmware/mqtt/backoff.h"
#include "firmware/mqtt/session.h"
#include "firmware/outbox/outbox.h"
#include "firmware/ports/entropy.h"
#include "firmware/ports/flash.h"
#include "firmware/ports/log.h"
#include "firmware/ports/sensors.h"
#include "firmware/telemetry/recorder.h"
#include "proto/base/bytes.h"
#include "proto/base/ids.h"
#include "proto/base/status.h"
#include "proto/base/time.h"

namespace godwit::agent {

enum class LinkRequest : std::uint8_t {
  kStay,     // keep the link as it is, up or down
  kConnect,  // open it, then call link_up(), or link_down() if that fails
  kClose,    // close it once transmit() is empty, then call link_down()
};

struct Config {
  DeviceId id;
  std::string_view firmware;  // version, at most 32 printable ASCII characters; text is borrowed
  std::string_view board;     // as firmware
  std::uint32_t boot = 1;     // counts the starts of this board, from 1
  codec::ResetReason reset_reason = codec::ResetReason::kUnspecified;
  std::optional<codec::Crash> last_crash{};  // how the boot before this one ended; text borrowed
  // Records that could not be recorded before a reset, and that the log does not tell of: refused_untold().
  std::uint32_t refused_before = 0;
  // 1 to kTablesMax; borrowed. Encoded with the texts above, at most what Uplink::kHelloSizeMax leaves beside
  // the numbers and one mark.
  std::span<const telemetry::Table> tables;
  outbox::FullPolicy full_policy = outbox::FullPolicy::kDropOldest;
  std::uint16_t keep_alive_s = 60;
  mqtt::Backoff::Options reconnect{};
};

// All services must outlive the device.
struct Ports {
  ports::Flash& flash;
  ports::Entropy& entropy;
  ports::Sensors& sensors;
  ports::Log& log;
};

struct Stats {
  std::uint64_t recorded = 0;     // records appended since start()
  std::uint64_t sample_rows = 0;  // rows sampled since start()
  std::uint64_t refused = 0;      // records that could not be appended since start()
  std::uint64_t published = 0;    // entries of the log sent, repeats included
  std::uint64_t sessions = 0;     // opened since start()
};

class Device final : private Uplink::Owner {
 public:
  static constexpr Millis kGoodbyeMax{3'000};
  static constexpr std::size_t kTablesMax = 2;
  static constexpr std::size_t kBatchSizeMax = 512;  // bytes of a record; bounds what a reset can lose of RAM

  Device(const Config& config, const Ports& ports);
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // Mounts the outbox and starts sampling; call once, before anything else. kInvalidArgument: the
  // configuration breaks a rule, or the flash has a geometry that no log fits. Whatever is wrong with what
  // the flash holds, the device starts and connects: at worst without a log, which its hello says, and what
  // it samples is counted as refused then.
  Status start(Instant now);

  // The clock was set, or corrected: `unix_time` is the time at `now`. No effect: a time that no clock shows
  // (before 1970 or after codec::kTimeMax).
  void set_unix_time(Instant now, UnixMillis unix_time);

  // What the next hello says; a change of its time quality is said at once.
  void set_health(Instant now, const codec::Health& health);

  void link_up(Instant now);
  void link_down(Instant now);
  // Bytes from the link; all are taken.
  void handle_bytes(Instant now, Bytes bytes);
  void handle_timeout(Instant now);
  [[nodiscard]] std::optional<Instant> next_deadline() const;

  // What should be sent next; borrowed until the next call that is not const.
  [[nodiscard]] Bytes transmit() const { return session_.transmit(); }
  void transmitted(Instant now, std::size_t size);
  [[nodiscard]] LinkRequest link_request() const;

  // For an orderly stop: samples no more, records what is sampled so far, delivers it if the gateway is there
  // (for kGoodbyeMax at most), then tells the gateway that it is gone and says goodbye: link_request()
  // becomes kClose and stays so. What the gateway has not committed stays in the outbox.
  void stop(Instant now);

  // Not mounted while log_state() is kNone.
  [[nodiscard]] const outbox::Outbox& outbox() const { return outbox_; }
  [[nodiscard]] codec::LogState log_state() const;
  [[nodiscard]] Stats stats() const;
  // Records that could not be appended and that no entry of the log tells of yet: to be kept over a reset.
  [[nodiscard]] std::uint32_t refused_untold() const;
  // The gateway has committed every entry below this one, as far as this device knows.
  [[nodiscard]] Seq acked_seq() const { return uplink_.acked_seq(); }
  // The gateway has answered since the link came up and is not known to be gone.
  [[nodiscard]] bool online() const { return uplink_.online(); }

 private:
  enum class Life : std::uint8_t { kNew, kRunning, kStopping, kStopped };
  enum class Link : std::uint8_t { kDown, kConnecting, kUp };

  codec::Hello hello() override;
  std::span<const codec::AnnouncedTable> tables() override;
  std::uint32_t random() override;

  Status check_config() const;
  Status mount();
  // Of a table that start() has set up.
  telemetry::Recorder& recorder(std::size_t table);
  [[nodiscard]] telemetry::Stamp stamp(Instant now) const;
  void sample_due(Instant now);
  void sample(std::size_t table, Instant now);
  void close_batch(std::size_t table, Instant now);
  void drain(Instant now);
  void handle_event(Instant now, const mqtt::Event& event);
  void handle_message(Instant now, const mqtt::Message& message);
  void count_refused(Status status, Instant now);
  void stop_when_delivered(Instant now);

  Config config_;
  Ports ports_;
  topics::Topic filter_;
  topics::Topic ack_topic_;
  topics::Topic live_topic_;
  topics::Topic gone_topic_;
  mqtt::Message will_;
  std::array<std::uint8_t, 512> receive_{};
  std::array<std::uint8_t, Uplink::kHelloSizeMax + 148> transmit_{};  // with topic and header
  std::array<std::array<std::uint8_t, kBatchSizeMax>, kTablesMax> batches_{};
  std::array<std::optional<telemetry::Recorder>, kTablesMax> recorders_;
  std::array<codec::AnnouncedTable, kTablesMax> announced_{};  // of config_.tables
  outbox::Outbox outbox_;
  mqtt::Session session_;
  Uplink uplink_;
  mqtt::Backoff backoff_;
  Life life_ = Life::kNew;
  Link link_ = Link::kDown;
  bool has_log_ = false;
  std::uint32_t bad_sectors_said_ = 0;
  std::array<Instant, 2> refused_due_{};  // the next line about a log that is full; about flash that fails
  Instant connect_at_{};                  // while running and kDown
  Instant stop_by_{};                     // while kStopping: at the latest then
  std::optional<UnixMillis> boot_time_;   // Unix time at monotonic zero
  std::optional<codec::Health> health_;
  Stats stats_;
};

static_assert(sizeof(Device) <= 8192);

}  // namespace godwit::agent
