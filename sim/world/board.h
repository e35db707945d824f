// SPDX-License-Identifier: Apache-2.0
// A board of the world: a real Device with its flash, sensors, entropy, clock and link, whose power can go at
// any flash operation. After each call of the device it tells the judge what append() has confirmed, by
// reading it back from a copy of the outbox; so the judge need not believe the device.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "firmware/agent/device.h"
#include "sim/engine/random.h"
#include "sim/world/broker.h"
#include "sim/world/network.h"
#include "sim/world/plan.h"
#include "sim/world/scene.h"
#include "sim/world/world_flash.h"

namespace godwit::sim {

class Board final : private Link::End, private ports::Sensors, private ports::Entropy, private ports::Log {
 public:
  Board(Scene& scene, Broker& broker, const DevicePlan& plan, std::size_t index, std::uint64_t seed);
  ~Board();

  void power_on();
  void power_off();
  void restart();
  [[nodiscard]] bool powered() const { return device_.has_value(); }

  // --- Faults; each says in plan.h what its numbers mean ---
  void cut_power_in(std::uint64_t operations, std::uint64_t in_a_row, std::uint64_t stream);
  void boot_offline(std::uint64_t times, Millis between);
  void roll_back(std::uint64_t which, std::uint64_t boots, std::uint64_t stream);
  void destroy_tail(std::uint64_t size, std::uint64_t boots, std::uint64_t stream);
  void flip_bits(std::uint64_t count, std::uint64_t stream);
  void flip_newest_bit(std::uint64_t stream);
  void break_sector(std::uint32_t sector, SectorFault fault);
  void silence_flash_until(Time end, bool reboot);
  // Says goodbye, and comes back.
  void stop(Millis off);
  void fail_entropy_until(Time end) { no_entropy_until_ = end; }
  void mislead_clock(Millis off, Time until);
  void cut_link_after(std::uint64_t bytes);
  void pull_cable_until(Time end, bool fails_at_once);
  void stall_until(Time end);
  void half_open();
  void slow_until(Time end, const LinkQuality& quality);

  // Remembers the flash as it is now, for a roll back.
  void keep_copy();
  // No more samples and no more faults: it delivers what it has.
  void finish();
  // Powered, and everything it holds is acked.
  [[nodiscard]] bool delivered() const;
  [[nodiscard]] std::string state() const;  // for a human
  // It has delivered: the gateway knows its clock.
  void tell_clock() const;
  // Connected once in this boot.
  [[nodiscard]] bool calm() const { return device_ && device_->stats().sessions == 1; }
  [[nodiscard]] const std::string& id() const { return id_; }

  // See Judge::Witness.
  [[nodiscard]] bool holds(RecordId record) const;
  [[nodiscard]] bool holds_unharmed(RecordId record) const;

 private:
  struct Place {
    std::uint64_t offset = 0;
    std::vector<std::uint8_t> bytes;  // with what stands around the payload
  };
  struct Copy {
    WorldFlash::Copy flash;
    Path path;
  };

  void link_bytes(Link& link, std::string_view bytes) override;
  void link_writable(Link& link) override;
  void link_closed(Link& link) override;
  Status sample(std::size_t table, Instant now, std::span<std::int64_t> row) override;
  Status fill(MutableBytes out) override;
  void write(ports::LogLevel level, std::string_view event,
             std::initializer_list<ports::LogField> fields) override;

  [[nodiscard]] Instant local() const { return Instant(scene_.now() - booted_at_); }
  void wake();
  void after_call();
  void note_appended();
  void note_refused();
  [[nodiscard]] bool may_refuse() const;
  void after_flips();
  void touch_flash(Judge::Flash flash);
  void check_promises();
  void place(RecordId id, Bytes payload);
  void serve_link();
  void connect();
  void transmit();
  void lose_power();
  void set_clock();
  void offline_boots_from(std::uint64_t boots, Time begin, Millis between);

  Scene& scene_;
  Broker& broker_;
  const DevicePlan plan_;
  const std::size_t index_;
  const std::string id_;
  const std::uint64_t seed_;
  Random entropy_;
  telemetry::Table table_;
  WorldFlash flash_;
  std::optional<agent::Device> device_;
  Timer timer_;
  Timer power_timer_;
  Timer clock_timer_;
  std::shared_ptr<Link> link_;
  std::uint64_t connecting_ = 0;  // odd while a connection is being opened; counts both
  std::uint64_t links_ = 0;
  std::uint32_t boots_ = 0;
  Time booted_at_{0};
  Seq seen_next_ = kFirstSeq;
  bool has_log_ = false;
  std::vector<Place> places_;  // by RecordId
  std::deque<Copy> copies_;    // the newest at the back
  std::uint64_t cuts_left_ = 0;
  Random cut_random_{0};
  Time no_cable_until_{0};
  bool cable_fails_at_once_ = false;
  Time no_entropy_until_{0};
  Time clock_false_until_{0};
  Millis clock_off_{0};
  bool clock_set_ = false;
  Time clock_set_at_{0};  // first in this boot
  bool clock_true_ = false;
  LinkQuality slow_;
  Time slow_until_{0};
  bool finished_ = false;
  std::uint64_t seen_refused_ = 0;
  std::uint64_t untold_refused_ = 0;  // of those, that no entry of the log tells of
  std::uint32_t cuts_ = 0;            // of its power since it last appended
  std::uint64_t seen_twice_ = 0;      // what was programmed twice
  bool protocol_broken_ = false;
  bool flash_is_anything_ = false;    // see Judge::Flash
  std::optional<Time> silent_since_;  // the link, and something is to be delivered
};

}  // namespace godwit::sim
