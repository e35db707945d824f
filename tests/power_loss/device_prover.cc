// SPDX-License-Identifier: Apache-2.0
#include "tests/power_loss/device_prover.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <optional>

#include "tests/power_loss/device_world.h"

namespace godwit::test {
namespace {

using Move = DeviceWorld::Move;

// In units of 16 bytes; the other units get one move less.
constexpr std::size_t kMovesMax = 6;
constexpr std::uint32_t kUnit = 16;
constexpr std::array<std::uint32_t, 7> kOtherUnits = {1, 2, 4, 8, 32, 256, 512};

// Picks what the last of these moves leaves open.
std::uint64_t choice_of(std::string_view moves) {
  std::uint64_t hash = 0xCBF29CE484222325;
  for (const char letter : moves) hash = (hash ^ static_cast<std::uint8_t>(letter)) * 0x100000001B3;
  hash = (hash ^ (hash >> 30)) * 0xBF58476D1CE4E5B9;
  return hash ^ (hash >> 31);
}

// The sequences that begin with `moves`.
class Sequences {
 public:
  Sequences(Prover& prover, std::uint32_t unit)
      : prover_(prover), world_(unit), unit_(unit), moves_max_(unit == kUnit ? kMovesMax : kMovesMax - 1) {}

  void run(std::string_view moves) {
    try {
      world_.begin();
      for (const char letter : moves) {
        moves_ += letter;
        make();
        // Others that begin with it need not count it again.
        if (moves_.size() == moves.size() || moves.back() == DeviceWorld::kLetters.front()) prover_.go_on();
      }
      descend();
    } catch (const sim::Violation& violation) {
      prover_.fail(violation.what(), std::to_string(unit_) + ":" + moves_);
    }
  }
  void run_alone(std::string_view moves) {
    try {
      world_.begin();
      for (const char letter : moves) {
        moves_ += letter;
        make();
        std::printf("%-6s %s\n", moves_.c_str(), world_.state().c_str());
      }
      world_.finish();
      std::printf("drained %s\n", world_.state().c_str());
    } catch (const sim::Violation& violation) {
      std::printf("%-6s %s\n", moves_.c_str(), world_.state().c_str());
      prover_.fail(violation.what(), std::to_string(unit_) + ":" + moves_);
    }
  }

 private:
  void make() {
    prover_.running(moves_);
    world_.make(static_cast<Move>(DeviceWorld::kLetters.find(moves_.back())), choice_of(moves_));
  }
  void descend() {
    const bool last = moves_.size() + 1 == moves_max_;
    auto& snapshot = snapshots_[moves_.size()].emplace(world_.save());
    for (const char letter : DeviceWorld::kLetters) {
      // The shorter ones are all made, as beginnings.
      if (last ? !prover_.take() : !prover_.go_on()) continue;
      moves_ += letter;
      make();
      if (last) {
        world_.finish();
      } else {
        descend();
      }
      moves_.pop_back();
      world_.restore(snapshot);
    }
  }

  Prover& prover_;
  DeviceWorld world_;
  std::uint32_t unit_;
  std::size_t moves_max_;
  std::string moves_;
  std::array<std::optional<DeviceWorld::Snapshot>, kMovesMax> snapshots_;
};

}  // namespace

std::vector<Item> device_items() {
  std::vector<Item> all;
  const auto add = [&all](std::uint32_t unit, const std::string& moves) {
    const std::string group = unit == kUnit ? "1 to 6 moves of a device" : "1 to 5 moves, other units";
    all.push_back({"moves-" + std::to_string(unit) + "-" + moves, group,
                   [=](Prover& prover) { Sequences(prover, unit).run(moves); }});
  };
  for (const char first : DeviceWorld::kLetters) {
    for (const char second : DeviceWorld::kLetters) add(kUnit, {first, second});
    for (const std::uint32_t unit : kOtherUnits) add(unit, {first});
  }
  return all;
}

void prove_sequence(Prover& prover, std::string_view text) {
  std::uint32_t unit = 0;
  const auto [end, error] = std::from_chars(text.begin(), text.end(), unit);
  if (error != std::errc{} || end == text.end()) return prover.fail("is no sequence", std::string(text));
  Sequences(prover, unit).run_alone(std::string_view(end + 1, text.end()));
}

}  // namespace godwit::test
