// SPDX-License-Identifier: Apache-2.0
// A whole device on a simulated flash of three sectors, with a model broker and gateway beside it and the
// judge of the simulation over both, and ten moves of life and of fate. Between two moves the device is
// offline, and all of it can be put back to a snapshot in place, so that sequences of moves share their
// beginnings.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "firmware/agent/device.h"
#include "sim/flash/sim_flash.h"
#include "sim/judge/judge.h"
#include "tests/power_loss/counting_entropy.h"
#include "tests/support/model_broker.h"

namespace godwit::test {

class DeviceWorld final : private sim::Judge::Witness, private ports::Sensors, private ports::Log {
 public:
  enum class Move : std::uint8_t {
    kAppendSmall,
    kAppendLarge,
    kFill,         // once around the ring
    kCut,          // power goes while it appends; then it boots
    kReboot,       // offline
    kDrain,        // connects and delivers all it has
    kLoseAcks,     // connects and sends a window, of which it hears nothing
    kRollBack,     // an older image of the flash is put in
    kDestroyTail,  // of what was written last
    kKillSector,
  };
  static constexpr std::string_view kLetters = "alfcrdxbtk";  // of the moves

  struct Image {
    sim::SimFlash flash;
    std::array<std::uint32_t, 3> generations;
    std::uint64_t tail;
    sim::Path path;
  };
  struct Snapshot;

  explicit DeviceWorld(std::uint32_t unit);
  DeviceWorld(const DeviceWorld&) = delete;
  DeviceWorld& operator=(const DeviceWorld&) = delete;

  void begin();
  // `choice` picks what the move leaves open: the operation and the tear, the image, the sector. Throws
  // sim::Violation: the promise is broken.
  void make(Move move, std::uint64_t choice);
  // Everything is delivered now, and nothing is missing.
  void finish();

  [[nodiscard]] std::string state() const;  // for a human

  [[nodiscard]] Snapshot save() const;
  void restore(const Snapshot& snapshot);

 private:
  using Memory = std::array<std::byte, sizeof(std::optional<agent::Device>)>;
  struct Place {
    std::uint64_t offset = 0;
    std::uint32_t generation = 0;
    std::vector<std::uint8_t> bytes;  // with the header of the entry
  };
  // What is put back as it is.
  struct State {
    explicit State(const ports::FlashGeometry& geometry) : flash(geometry, 7) {}
    sim::SimFlash flash;
    CountingEntropy entropy;
    ModelGateway gateway;
    std::size_t places = 0;  // so many of them, as the rest
    std::size_t images = 0;
    std::array<std::uint32_t, 3> erases{};
    std::array<std::uint32_t, 3> generations{};  // a sector gets a new one when it is erased, or damaged
    std::array<bool, 3> unreadable{};
    std::array<int, 3> killed{};
    std::uint32_t last_generation = 0;
    std::uint64_t tail = 0;  // where the last entry begins
    std::uint32_t boots = 0;
    Instant now{};
    Seq seen_next = kFirstSeq;
    std::uint64_t refused = 0;  // of this boot
    std::uint64_t logged = 0;
  };

  [[nodiscard]] bool holds(std::size_t device, sim::RecordId record) const override;
  [[nodiscard]] bool holds_unharmed(std::size_t device, sim::RecordId record) const override;
  Status sample(std::size_t table, Instant now, std::span<std::int64_t> row) override;
  void write(ports::LogLevel, std::string_view, std::initializer_list<ports::LogField>) override {}

  [[nodiscard]] std::size_t sector_of(std::uint64_t offset) const {
    return offset / state_.flash.geometry().sector_size_bytes;
  }
  [[nodiscard]] std::size_t unreadable_sectors() const {
    return static_cast<std::size_t>(std::ranges::count(state_.unreadable, true));
  }
  [[nodiscard]] bool has_log() const { return device_->log_state() != codec::LogState::kNone; }
  [[nodiscard]] bool was_in(const Image& image, sim::RecordId id) const;

  void boot();
  void append(int rows);
  void cut(std::uint64_t choice);
  void drain();
  void lose_acks();
  void connect();
  // Moves bytes until both sides are quiet; or, if asked to stop there, until the device is online.
  void exchange(bool to_online);
  void disconnect();
  void roll_back(std::uint64_t choice);
  void destroy_tail(std::uint64_t choice);
  void kill_sector(std::uint64_t choice);

  void after_call();
  void note_erased();
  void note_refused();
  void note_appended();
  void note_logged();
  void check_log();

  telemetry::Table table_;
  State state_;
  // These only grow along a sequence.
  std::vector<Place> places_;  // by RecordId
  std::vector<Image> images_;  // before each move
  std::optional<agent::Device> device_;
  std::optional<sim::Judge> judge_;
  ModelBroker broker_;
  int rows_due_ = 0;

 public:
  struct Snapshot {
    State state;
    Memory device;
    sim::Judge judge;
  };
};
// So its bytes may be put back, at the place where they were.
static_assert(std::is_trivially_destructible_v<agent::Device>);

}  // namespace godwit::test
