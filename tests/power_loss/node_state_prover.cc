// SPDX-License-Identifier: Apache-2.0
#include "tests/power_loss/node_state_prover.h"

#include <algorithm>
#include <array>
#include <optional>
#include <random>
#include <set>
#include <string>

#include "boards/common/storage/node_state.h"
#include "sim/flash/sim_flash.h"

namespace godwit::test {
namespace {

using boards::NodeState;
using sim::SimFlash;
using sim::Tear;
using sim::Wear;
using Session = std::string;

constexpr std::array kTears = {Tear::kBefore, Tear::kPart, Tear::kGarbage, Tear::kWeak, Tear::kAfter};
constexpr std::array<std::uint32_t, 8> kUnits = {1, 2, 4, 8, 16, 32, 256, 512};
constexpr std::uint32_t kOwner = 7;
constexpr std::uint32_t kSteps = 9;

class NoLog final : public ports::Log {
  void write(ports::LogLevel, std::string_view, std::initializer_list<ports::LogField>) override {}
};

// What was saved, and whether it is still there.
struct Life {
  struct Snapshot {
    SimFlash flash;
    std::uint32_t boot;
    std::set<Session> sessions;
    std::uint32_t number;
  };

  explicit Life(const ports::FlashGeometry& geometry) : flash(geometry, 7) {}

  [[nodiscard]] Snapshot save() const { return {flash, boot, sessions, number}; }
  void restore(const Snapshot& snapshot) {
    flash = snapshot.flash;
    boot = snapshot.boot;
    sessions = snapshot.sessions;
    number = snapshot.number;
    state.reset();
  }

  bool start() {
    NoLog log;
    flash.power_on();
    state.emplace(flash);
    const Status status = state->mount(log);
    if (!flash.powered()) return true;
    if (status != Status::kOk) return broken("mount() says " + std::string(to_string(status)));
    if (state->boot() <= boot && !renumbers) return broken("a boot number was given out twice");
    boot = state->boot();
    return check();
  }
  bool check() {
    std::array<std::uint8_t, NodeState::kSessionSizeMax> buffer{};
    const auto size = state->load_session(kOwner, buffer);
    const Session found(as_text(Bytes(buffer).first(size.value_or(0))));
    if (forgets) return ever.contains(found) || broken("a session that was never saved");
    if (!sessions.contains(found)) return broken("neither the older nor the newer");
    sessions = {found};  // from now on there is no doubt
    return true;
  }
  // After kOk the session is what was saved; otherwise it may be that, or what it may have been before.
  void keep() {
    std::minstd_rand random(++number);
    Session session(number % 3 == 0 ? 0 : 1 + number * 97 % NodeState::kSessionSizeMax, ' ');
    std::ranges::generate(session, [&random] { return static_cast<char>(random() >> 8); });
    const Status status =
        session.empty() ? state->clear_session() : state->save_session(kOwner, {}, as_bytes(session));
    if (status == Status::kOk) sessions.clear();
    sessions.insert(session);
    ever.insert(session);
  }
  bool broken(const std::string& what) {
    failure = what;
    return false;
  }

  SimFlash flash;
  std::optional<NodeState> state;
  std::uint32_t boot = 0;
  std::set<Session> sessions{Session()};  // that may stand
  std::set<Session> ever{Session()};
  std::uint32_t number = 0;
  bool forgets = false;    // damage may cost the session, or bring back an older one
  bool renumbers = false;  // and both copies
  std::string failure;
};

// 1,064 bytes in whole units, and one unit that is not used.
ports::FlashGeometry geometry_of(std::uint32_t unit) {
  return {.sector_size_bytes = (1064 + 2 * unit - 1) / unit * unit,
          .sector_count = 2,
          .program_size_bytes = unit};
}

// A cut or an error at each operation of starts and saves.
void prove_cuts(Prover& prover, std::uint32_t unit) {
  Life life(geometry_of(unit));
  if (!life.start()) return prover.fail(life.failure, "start");
  for (std::uint32_t step = 0; step < kSteps; ++step) {
    const auto before = life.save();
    const auto perform = [&life] {
      if (!life.start()) return false;
      if (life.flash.powered()) life.keep();
      return true;
    };
    const std::uint64_t first = life.flash.counts().operations;
    if (!perform()) return prover.fail(life.failure, "step " + std::to_string(step));
    const std::uint64_t operations = life.flash.counts().operations - first;
    const auto after = life.save();
    for (std::uint64_t operation = 0; operation < operations; ++operation) {
      for (const Tear tear : kTears) {
        for (const auto kind : {SimFlash::Fault::Kind::kPowerCut, SimFlash::Fault::Kind::kError}) {
          if (!prover.take()) continue;
          life.restore(before);
          life.flash.arm({.operation = operation, .tear = tear, .kind = kind});
          bool kept = perform();
          life.flash.disarm();
          kept = kept && life.start();
          life.flash.complete_tear();  // cells that were charged halfway read as they were meant
          if (!kept || !life.start()) {
            return prover.fail(life.failure, "step " + std::to_string(step) + ", operation " +
                                                 std::to_string(operation) + ", tear " +
                                                 std::to_string(static_cast<int>(tear)));
          }
        }
      }
    }
    life.restore(after);
  }
}

constexpr std::array kWays = {
    Wear{.erase = Status::kIo},
    Wear{.program = Status::kIo},
    Wear{.read = Status::kCorrupt},
    Wear{.read = Status::kIo},
    Wear{.read = Status::kIo, .program = Status::kIo, .erase = Status::kIo},
};

// Either sector, and each unit, fails for good: it starts again, and again.
void prove_wear(Prover& prover, std::uint32_t unit) {
  const ports::FlashGeometry geometry = geometry_of(unit);
  for (std::uint32_t starts = 1; starts <= 4; ++starts) {
    Life life(geometry);
    for (std::uint32_t i = 0; i < starts; ++i) {
      if (!life.start()) return prover.fail(life.failure, "start");
      life.keep();
    }
    life.forgets = true;
    const auto before = life.save();
    const std::uint64_t units = 2 * geometry.sector_size_bytes / unit;
    for (std::uint64_t place = 0; place < units + 2; ++place) {
      for (const Wear& wear : kWays) {
        if (!prover.take()) continue;
        life.restore(before);
        if (place < 2) {
          life.flash.break_sector(static_cast<std::uint32_t>(place), wear);
        } else {
          life.flash.break_unit((place - 2) * unit, wear);
        }
        for (int i = 0; i < 4; ++i) {
          if (!life.start()) {
            return prover.fail(life.failure,
                               "place " + std::to_string(place) + ", start " + std::to_string(i));
          }
          if (i == 1) life.keep();
        }
      }
    }
  }
}

}  // namespace

std::vector<Item> node_state_items() {
  std::vector<Item> all;
  for (const std::uint32_t unit : kUnits) {
    const std::string name = std::to_string(unit);
    if (unit >= 16) {
      all.push_back({"node-cuts-" + name, "node state: cuts", [=](Prover& p) { prove_cuts(p, unit); }});
    }
    all.push_back({"node-wear-" + name, "node state: sectors and units for good",
                   [=](Prover& p) { prove_wear(p, unit); }});
  }
  return all;
}

}  // namespace godwit::test
