// SPDX-License-Identifier: Apache-2.0
// Cuts the power of an outbox at every flash operation of a workload and in every way, wears its sectors and
// units out, flips its bits and puts older images back, and checks after each step, by contents, that it has
// kept its promise (outbox_ledger.h). What a few minutes can do in full is done in full; random schedules of
// many faults take the rest of the time.
//
//   outbox_prover [--minutes M | --walks N] [--one-of N] [--seed S] [--item NAME] [--json FILE]
//
// Random walks take what the items leave of the time, 10 minutes, or are N, and then no time counts. With
// --one-of every so many schedules of the items are taken, which ones the seed says. A failure names its
// item;
// --item NAME runs that alone. Exits 1 after a failure.
#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "tests/power_loss/device_prover.h"
#include "tests/power_loss/node_state_prover.h"
#include "tests/power_loss/outbox_world.h"
#include "tests/power_loss/prover.h"

namespace godwit::test {
namespace {

using outbox::FullPolicy;
using sim::SimFlash;
using sim::Tear;
using sim::Wear;
using FaultKind = SimFlash::Fault::Kind;

constexpr std::array kTears = {Tear::kBefore, Tear::kPart, Tear::kGarbage, Tear::kWeak, Tear::kAfter};
constexpr std::array<std::uint32_t, 8> kUnits = {1, 2, 4, 8, 16, 32, 256, 512};
constexpr std::array<std::uint32_t, 4> kSectorCounts = {2, 3, 5, 16};

// Small sectors, with room for a mark and a few records behind their header.
ports::FlashGeometry geometry_of(std::uint32_t unit, std::uint32_t sectors) {
  const std::uint32_t size = unit == 512 ? 2560 : unit == 256 ? 1280 : 512;
  return {.sector_size_bytes = size, .sector_count = sectors, .program_size_bytes = unit};
}

struct Setting {
  ports::FlashGeometry geometry;
  bool acks;

  [[nodiscard]] std::string name() const {
    return std::to_string(geometry.program_size_bytes) + "x" + std::to_string(geometry.sector_count) +
           (acks ? "-acks" : "-drops");
  }
  // Once around the ring, and a bit.
  [[nodiscard]] std::uint32_t steps() const {
    return geometry.sector_count * (geometry.program_size_bytes > 32 ? 4 : 6) + 6;
  }
  [[nodiscard]] std::size_t size_of(std::uint32_t step) const {
    return 1 + step * 37 % (geometry.program_size_bytes > 32 ? 400 : 90);
  }
  [[nodiscard]] bool reboots_before(std::uint32_t step) const { return step % 7 == 3; }
};

// The workload: appends of all sizes, a reboot now and then, acks or not.
class Run {
 public:
  Run(const Setting& with, std::uint64_t seed)
      : setting(with), world(with.geometry, FullPolicy::kDropOldest, seed) {}

  bool begin() { return world.mount(); }
  bool prepare(std::uint32_t step) {
    if (setting.acks && step % 2 == 1 && world.ack_all() != Status::kOk) return false;
    return !setting.reboots_before(step) || world.mount();
  }
  bool go_on(std::uint32_t step) {
    return prepare(step) && world.append(setting.size_of(step)) && world.check();
  }
  // To the step before `end`.
  bool go_to(std::uint32_t end) {
    if (!begin()) return false;
    for (std::uint32_t step = 0; step < end; ++step) {
      if (!go_on(step)) return false;
    }
    return true;
  }
  // After a fault: what the device does next, with a reboot where it hurts.
  bool recover(bool charge_first) {
    if (!world.flash.powered() && !world.mount()) return false;
    if (charge_first) {
      // Cells that were charged halfway read as they were meant at the first start already.
      world.flash.complete_tear();
      if (!world.mount()) return false;
    }
    if (!world.append(5) || !world.mount()) return false;
    world.flash.complete_tear();
    return world.mount() && world.append(20) && world.mount();
  }

  Setting setting;
  OutboxWorld world;
};

std::string describe(std::uint32_t step, std::uint64_t operation, Tear tear, FaultKind kind) {
  return "step " + std::to_string(step) + ", operation " + std::to_string(operation) + ", tear " +
         std::to_string(static_cast<int>(tear)) + (kind == FaultKind::kPowerCut ? ", cut" : ", error");
}

// Each operation of each step fails, in each way; with `depth` 2 each one of what follows, too.
void prove_cuts(Prover& prover, const Setting& setting, int depth) {
  Run run(setting, 7);
  if (!run.begin()) return prover.fail(run.world.failure(), "mount");
  for (std::uint32_t step = 0; step < setting.steps(); ++step) {
    if (!run.prepare(step)) return prover.fail(run.world.failure(), "step " + std::to_string(step));
    const auto before = run.world.save();
    const std::uint64_t first = run.world.flash.counts().operations;
    if (!run.world.append(setting.size_of(step)) || !run.world.check()) {
      return prover.fail(run.world.failure(), "step " + std::to_string(step));
    }
    const std::uint64_t operations = run.world.flash.counts().operations - first;
    const auto after = run.world.save();
    for (std::uint64_t operation = 0; operation < operations; ++operation) {
      for (const Tear tear : kTears) {
        for (const FaultKind kind : {FaultKind::kPowerCut, FaultKind::kError}) {
          for (const bool charge_first : {false, true}) {
            if (charge_first && (tear == Tear::kBefore || tear == Tear::kAfter)) continue;
            if (depth == 2 && (kind == FaultKind::kError || charge_first)) continue;
            if (depth == 1 && !prover.take()) continue;
            run.world.restore(before);
            run.world.flash.arm({.operation = operation, .tear = tear, .kind = kind});
            ignore(run.world.try_append(setting.size_of(step)));  // fails, or not if it was tried again
            run.world.flash.disarm();
            const std::string what = describe(step, operation, tear, kind);
            if (depth == 1) {
              if (!run.recover(charge_first)) return prover.fail(run.world.failure(), what);
              continue;
            }
            if (!run.world.mount()) return prover.fail(run.world.failure(), what);
            const auto second = run.world.save();
            for (std::uint64_t next = 0;; ++next) {
              bool happened = true;
              for (const Tear second_tear : kTears) {
                if (!prover.take()) continue;
                run.world.restore(second);
                run.world.flash.arm({.operation = next, .tear = second_tear});
                ignore(run.world.try_append(5));
                if (run.world.flash.powered()) ignore(run.world.try_append(40));
                happened = !run.world.flash.armed();
                run.world.flash.disarm();
                if (!happened) break;
                if (!run.recover(false)) {
                  return prover.fail(run.world.failure(),
                                     what + ", then " + describe(0, next, second_tear, {}));
                }
              }
              if (!happened || next > 400) break;
            }
          }
        }
      }
    }
    run.world.restore(after);
  }
}

// Three cuts one after the other, each at any operation of what follows the one before.
void prove_triples(Prover& prover, const Setting& setting) {
  constexpr int kSchedules = 3'000;
  Run run(setting, 7);
  std::vector<OutboxWorld::Snapshot> moments;
  std::vector<std::uint64_t> operations;
  if (!run.begin()) return prover.fail(run.world.failure(), "mount");
  for (std::uint32_t step = 0; step < setting.steps(); ++step) {
    if (!run.prepare(step)) return prover.fail(run.world.failure(), "step " + std::to_string(step));
    moments.push_back(run.world.save());
    const std::uint64_t first = run.world.flash.counts().operations;
    if (!run.world.append(setting.size_of(step)) || !run.world.check())
      return prover.fail(run.world.failure(), "step " + std::to_string(step));
    operations.push_back(run.world.flash.counts().operations - first);
  }
  for (int schedule = 0; schedule < kSchedules; ++schedule) {
    if (!prover.take()) continue;
    std::mt19937_64 random(prover.seed() * kSchedules + static_cast<std::uint64_t>(schedule));
    const std::size_t step = random() % moments.size();
    run.world.restore(moments[step]);
    std::uint64_t end = operations[step];
    std::string what;
    for (int i = 0; i < 3; ++i) {
      const std::uint64_t operation = random() % end;
      const Tear tear = kTears[random() % kTears.size()];
      what += describe(static_cast<std::uint32_t>(step), operation, tear, {}) + "; ";
      run.world.flash.arm({.operation = operation, .tear = tear});
      ignore(run.world.try_append(i == 0 ? setting.size_of(static_cast<std::uint32_t>(step)) : 5));
      if (run.world.flash.powered()) ignore(run.world.try_append(40));
      run.world.flash.disarm();
      if (random() % 4 == 0) run.world.flash.complete_tear();
      if (!run.world.mount()) return prover.fail(run.world.failure(), what);
      // What comes next is two marks and an entry, often behind the header of a sector.
      end = 8 + 120 / setting.geometry.program_size_bytes;
    }
    if (!run.recover(false)) return prover.fail(run.world.failure(), what);
  }
}

// Life behind wear: once around the ring and a half, with reboots; what is confirmed from now on must last.
bool live_on(Run& run) {
  const std::uint32_t steps = run.setting.steps();
  for (std::uint32_t step = 0; step < steps + steps / 2; ++step) {
    if (!run.prepare(step) || !run.world.append(run.setting.size_of(step))) return false;
    if (step % 5 == 0 && !run.world.check()) return false;
  }
  return run.world.mount();
}

struct Way {
  const char* name;
  Wear wear;
};
constexpr std::array kWays = {
    Way{"erase fails", {.erase = Status::kIo}},
    Way{"program fails", {.program = Status::kIo}},
    Way{"read is corrupt", {.read = Status::kCorrupt}},
    Way{"read gets no answer", {.read = Status::kIo}},
    Way{"nothing works", {.read = Status::kIo, .program = Status::kIo, .erase = Status::kIo}},
};

// Each sector and each unit fails for good, in each way, at three moments: while the power is off, or on.
void prove_wear(Prover& prover, const Setting& setting, bool units) {
  const std::uint32_t size = setting.geometry.sector_size_bytes;
  const std::uint32_t unit = setting.geometry.program_size_bytes;
  for (const std::uint32_t moment : {setting.steps() / 3, setting.steps() - 7, setting.steps() - 1}) {
    const bool reboot = moment != setting.steps() - 7;
    Run run(setting, 7);
    if (!run.go_to(moment)) return prover.fail(run.world.failure(), "before");
    const auto before = run.world.save();
    const std::uint64_t sectors = setting.geometry.sector_count;
    const std::uint64_t places = sectors + (units ? sectors * size / unit : 0);
    for (std::uint64_t place = 0; place < places; ++place) {
      for (const Way& way : kWays) {
        if (!prover.take()) continue;
        run.world.restore(before);
        const bool whole = place < sectors;
        const std::uint64_t begin = whole ? place * size : (place - sectors) * unit;
        if (whole) {
          run.world.flash.break_sector(static_cast<std::uint32_t>(place), way.wear);
        } else {
          run.world.flash.break_unit(begin, way.wear);
        }
        // Later erases that fail may garble what they were to erase, which is given up then.
        run.world.ledger.excuse_bytes(begin, begin + (whole ? size : unit));
        if ((reboot && !run.world.mount()) || !live_on(run)) {
          return prover.fail(run.world.failure(), std::string(way.name) + (whole ? ", sector " : ", unit ") +
                                                      std::to_string(begin / (whole ? size : unit)) +
                                                      " at step " + std::to_string(moment) +
                                                      (reboot ? "" : ", running"));
        }
      }
    }
  }
}

// Each bit flips, while the power is off or on.
void prove_bits(Prover& prover, const Setting& setting) {
  Run run(setting, 7);
  if (!run.go_to(setting.steps() - 2)) return prover.fail(run.world.failure(), "before");
  const auto before = run.world.save();
  const std::uint64_t stride = setting.geometry.sector_count > 5 ? 7 : 1;
  for (std::uint64_t bit = 0; bit < run.world.flash.size_bytes() * 8; bit += stride) {
    if (!prover.take()) continue;
    run.world.restore(before);
    run.world.flash.flip_bit(bit / 8, bit % 8);
    run.world.ledger.excuse_any(1);
    const bool running = bit % 3 == 0;
    if ((running ? !run.world.check() : !run.world.mount()) || !run.world.append(5) || !run.world.mount()) {
      return prover.fail(run.world.failure(), "bit " + std::to_string(bit) + (running ? ", running" : ""));
    }
  }
}

// Each older image is put back, at the end and halfway, and none to two offline boots record on it. What
// (epoch, seq) names in one copy, it must name in all.
void prove_rollbacks(Prover& prover, const Setting& setting) {
  Run run(setting, 7);
  Identities identities;
  run.world.identities = &identities;
  std::vector<OutboxWorld::Snapshot> images;
  if (!run.begin()) return prover.fail(run.world.failure(), "mount");
  for (std::uint32_t step = 0; step < setting.steps(); ++step) {
    images.push_back(run.world.save());
    if (!run.go_on(step)) return prover.fail(run.world.failure(), "before");
  }
  std::uint32_t image_number = 0;
  for (const auto& image : images) {
    for (int boots = 0; boots <= 2; ++boots) {
      for (int records = 0; records <= 3; ++records) {
        for (int again = 0; again <= 1; ++again) {
          if (!prover.take()) continue;
          bool kept = true;
          for (int round = 0; round <= again && kept; ++round) {
            run.world.restore(image);
            kept = run.world.mount();
            for (int boot = 0; boot < boots && kept; ++boot) {
              for (int i = 0; i < records && kept; ++i) kept = run.world.append(9);
              kept = kept && run.world.mount();
            }
          }
          if (!kept || !run.world.append(9) || !run.world.mount()) {
            return prover.fail(run.world.failure(), "image " + std::to_string(image_number) + ", boots " +
                                                        std::to_string(boots) + ", records " +
                                                        std::to_string(records) + ", again " +
                                                        std::to_string(again));
          }
        }
      }
    }
    ++image_number;
  }
}

// Many faults in a random order, until the time is over.
void walk(Prover& prover, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto any = [&random](std::uint64_t below) { return random() % below; };
  Setting setting{geometry_of(kUnits[any(kUnits.size())], kSectorCounts[any(3)]), any(2) == 0};
  Run run(setting, seed);
  run.world.entropy.fails = any(8) == 0 ? 2 : 0;
  Identities identities;
  run.world.identities = &identities;
  std::vector<OutboxWorld::Snapshot> images;
  std::string trace;
  bool kept = run.begin();
  for (int step = 0; step < 60 && kept; ++step) {
    switch (any(10)) {
      default:
        trace += " append";
        ignore(run.world.try_append(setting.size_of(static_cast<std::uint32_t>(any(100)))));
        kept = run.world.check();
        break;
      case 5:
        trace += " reboot";
        kept = run.world.mount();
        break;
      case 6:
        trace += " ack";
        if (setting.acks) ignore(run.world.ack_all());
        break;
      case 7:
        trace += " keep";
        images.push_back(run.world.save());
        break;
      case 8: {
        trace += " cut";
        run.world.flash.arm({.operation = any(12), .tear = kTears[any(kTears.size())]});
        for (int i = 0; i < 4 && run.world.flash.powered(); ++i) ignore(run.world.try_append(1 + any(40)));
        run.world.flash.disarm();
        kept = run.world.mount();
        if (kept && any(2) == 0) {
          trace += " charge";
          run.world.flash.complete_tear();
          kept = run.world.mount();
        }
        break;
      }
      case 9:
        if (images.empty()) break;
        trace += " rollback";
        run.world.restore(images[any(images.size())]);
        kept = run.world.mount();
        break;
    }
  }
  // Entropy that failed at first must have come back.
  if (kept) kept = run.world.append(7) && run.world.mount();
  if (!kept) prover.fail(run.world.failure(), setting.name() + trace);
}

std::vector<Item> items() {
  std::vector<Item> all;
  for (const std::uint32_t sectors : kSectorCounts) {
    for (const std::uint32_t unit : kUnits) {
      for (const bool acks : {false, true}) {
        const Setting setting{geometry_of(unit, sectors), acks};
        const std::string name = setting.name();
        all.push_back({"cuts-" + name, "cuts, depth 1", [=](Prover& p) { prove_cuts(p, setting, 1); }});
        if (sectors <= 3 && unit >= 8) {
          all.push_back({"pairs-" + name, "cuts, depth 2", [=](Prover& p) { prove_cuts(p, setting, 2); }});
        }
        all.push_back({"rollbacks-" + name, "older images", [=](Prover& p) { prove_rollbacks(p, setting); }});
        if (sectors <= 3) {
          all.push_back(
              {"triples-" + name, "cuts, depth 3, samples", [=](Prover& p) { prove_triples(p, setting); }});
        }
        if (acks) continue;
        // Of 16 sectors the units are too many to go around the ring with each.
        const bool units = sectors <= 5;
        all.push_back({"wear-" + name, "sectors and units for good",
                       [=](Prover& p) { prove_wear(p, setting, units); }});
        all.push_back({"bits-" + name, sectors <= 5 ? "bits" : "bits, one of 7 in 16 sectors",
                       [=](Prover& p) { prove_bits(p, setting); }});
      }
    }
  }
  for (Item& item : node_state_items()) all.push_back(std::move(item));
  for (Item& item : device_items()) all.push_back(std::move(item));
  return all;
}

}  // namespace
}  // namespace godwit::test

int main(int argc, char** argv) {
  using namespace godwit::test;
  return prove(argc, argv, items(), {{"moves", prove_sequence}}, walk);
}
