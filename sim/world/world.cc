// SPDX-License-Identifier: Apache-2.0
#include "sim/world/world.h"

#include <algorithm>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include "sim/world/board.h"
#include "sim/world/broker.h"
#include "sim/world/follower.h"
#include "sim/world/gateway_node.h"
#include "sim/world/scene.h"

namespace godwit::sim {
namespace {

constexpr std::uint64_t kManyFollowers = 500;
constexpr Millis kCopyEvery{300'000};  // of each flash, for roll backs

Millis millis(std::uint64_t count) { return Millis{static_cast<std::int64_t>(count)}; }

class World final : private Judge::Witness {
 public:
  World(const Plan& plan, const RunOptions& options, Probes& probes)
      : plan_(plan),
        judge_(*this, plan.kept),
        scene_{.engine = engine_, .judge = judge_, .probes = probes, .trace = options.trace},
        broker_(scene_),
        gateway_(scene_, broker_,
                 {.seed = mix64(plan.seed),
                  .devices = plan.devices.size(),
                  .kept = plan.kept,
                  .batch = plan.batch,
                  .device = "dev-0"}) {
    for (std::size_t i = 0; i < plan.devices.size(); ++i) {
      const std::uint64_t seed = mix64(plan.seed * 64 + i);
      boards_.push_back(std::make_unique<Board>(scene_, broker_, plan.devices[i], i, seed));
      judge_.add_device(boards_.back()->id(), seed, plan.devices[i].rows);
      judge_.flash_is(i, Judge::Flash::kWhole);
      if (plan.devices[i].refuse != 0) judge_.drops_nothing(i);
    }
    judge_.log_is_whole();
    for (std::size_t i = 0; i < plan.followers; ++i)
      followers_.push_back(std::make_unique<Follower>(scene_, gateway_, i, plan.seed, boards_[0]->id()));
    if (plan.followers >= kManyFollowers) scene_.hit(Probe::kFollowersMany);
  }

  void play() {
    gateway_.start();
    for (std::size_t i = 0; i < boards_.size(); ++i)
      engine_.at(Time{static_cast<std::int64_t>(100 * i)}, [this, i] { boards_[i]->power_on(); });
    for (const Fault& fault : plan_.faults) engine_.at(fault.at, [this, fault] { befall(fault); });
    keep_copies();
    engine_.run_until(plan_.duration);
  }

  // Faults are over. Throws Violation if not everybody is back and has delivered in time.
  Time drain() {
    broker_.finish();
    gateway_.finish();
    gateway_.start();
    for (const auto& board : boards_) board->finish();
    for (const auto& follower : followers_) follower->finish();
    const Time begin = engine_.now();
    const Millis limit = drain_limit();
    // What is sampled is in a batch until it is old enough.
    engine_.run_until(begin + longest_age());
    wait_until_done(limit);
    const Millis took = engine_.now() - begin;
    // Nobody has anything new to say, and the database is put back.
    if (has(FaultKind::kRestore)) {
      gateway_.restore(0, Millis{5'000});
      engine_.run_until(engine_.now() + Millis{6'000});
      // One that this database has never heard of is not asked: it is known when it says something.
      for (const auto& board : boards_) {
        if (!gateway_.knows(board->id())) board->restart();
      }
      wait_until_done(limit);
    }
    return took;
  }

  void wait_until_done(Millis limit) {
    const Time begin = engine_.now();
    while (!done()) {
      if (engine_.now() - begin > limit) fail_drain(limit);
      engine_.run_until(engine_.now() + Millis{1'000});
    }
  }

  void judge_all() {
    judge_.finish();
    gateway_.check_rows();
    gateway_.check_reads();
    for (const auto& board : boards_) board->tell_clock();
    gateway_.tell_times();
    if (is_calm(kGoodLatency, kGoodRate)) gateway_.check_goodbyes();
    if (!is_calm(kCalmLatency, kCalmRate)) return;
    gateway_.check_calm();
    for (const auto& board : boards_) {
      if (!board->calm())
        throw Violation("repeats", board->id() + " connected twice, and nothing had happened");
    }
  }

  [[nodiscard]] std::uint64_t hash() const {
    Digest digest = engine_.digest;
    digest.add(gateway_.hash());
    return digest.value();
  }
  Engine& engine() { return engine_; }
  Judge& judge() { return judge_; }

 private:
  bool holds(std::size_t device, RecordId record) const override { return boards_[device]->holds(record); }
  bool holds_unharmed(std::size_t device, RecordId record) const override {
    return boards_[device]->holds_unharmed(record);
  }

  void keep_copies() {
    for (const auto& board : boards_) board->keep_copy();
    engine_.after(kCopyEvery, [this] { keep_copies(); });
  }

  bool has(FaultKind kind) const {
    return std::ranges::find(plan_.faults, kind, &Fault::kind) != plan_.faults.end();
  }
  bool is_calm(std::uint64_t latency, std::uint64_t rate) const {
    return std::ranges::all_of(plan_.faults,
                               [](const Fault& fault) { return fault.kind == FaultKind::kStop; }) &&
           std::ranges::all_of(plan_.devices, [&](const DevicePlan& device) {
             return device.latency <= latency && device.rate >= rate;
           });
  }

  bool done() const {
    return judge_.drained() &&
           std::ranges::all_of(boards_, [](const auto& board) { return board->delivered(); }) &&
           gateway_.running() &&
           std::ranges::all_of(followers_, [end = gateway_.log()->ends().last](const auto& follower) {
             return follower->caught_up(end);
           });
  }

  Millis longest_age() const {
    std::uint64_t age = 0;
    for (const DevicePlan& device : plan_.devices) age = std::max(age, device.age + device.period);
    return millis(age + 1'000);
  }

  // Everybody is back within the largest pauses of a reconnect, each lost round costs an answer's time-out,
  // and what the flash holds crosses the link twice.
  Millis drain_limit() const {
    std::uint64_t limit = 0;
    for (const DevicePlan& device : plan_.devices) {
      const std::uint64_t bytes = 2ULL * device.sector * device.sectors;
      limit = std::max(limit, 600'000 + device.age + 200 * device.latency + 8 * bytes * 1'000 / device.rate);
    }
    return millis(limit);
  }

  [[noreturn]] void fail_drain(Millis limit) const {
    std::string who;
    for (const auto& board : boards_) {
      if (!board->powered()) throw Violation("device_dead", board->id() + " does not start any more");
      if (!board->delivered()) who += " " + board->id() + " (" + board->state() + ")";
    }
    for (const auto& follower : followers_) {
      if (gateway_.running() && !follower->caught_up(gateway_.log()->ends().last)) who += " follower";
    }
    judge_.finish();  // says more, if it is a loss
    throw Violation("drain", "not done " + std::to_string(limit.count()) + " ms after the last fault:" + who);
  }

  void befall(const Fault& fault);
  void befall_board(const Fault& fault, Board& board);

  const Plan& plan_;
  Engine engine_;
  Judge judge_;
  Scene scene_;
  Broker broker_;
  GatewayNode gateway_;
  std::vector<std::unique_ptr<Board>> boards_;
  std::vector<std::unique_ptr<Follower>> followers_;
};

void World::befall(const Fault& fault) {
  scene_.say("fault", [&] {
    return std::string(name_of(fault.kind)) + " device=" + std::to_string(fault.device) +
           " a=" + std::to_string(fault.a) + " b=" + std::to_string(fault.b);
  });
  const Time now = engine_.now();
  switch (fault.kind) {
    case FaultKind::kGatewayClock:
      scene_.hit(fault.b != 0 ? Probe::kGatewayClockForward : Probe::kGatewayClockBack);
      return gateway_.step_clock(fault.b != 0 ? millis(fault.a) : -millis(fault.a));
    case FaultKind::kBrokerKill:
      if (fault.b == 1) return broker_.kill_with_message(millis(fault.a));
      if (fault.b == 2) broker_.stop();
      broker_.kill();
      return engine_.after(millis(fault.a), [this] { broker_.start(); });
    case FaultKind::kBrokerForget:
      return broker_.forget_until(now + millis(fault.a));
    case FaultKind::kBrokerDoubles:
      return broker_.double_until(now + millis(fault.a), fault.b != 0);
    case FaultKind::kAcks:
      return gateway_.trouble_acks_until(now + millis(fault.a), millis(fault.b), fault.stream);
    case FaultKind::kGatewayKill:
      return gateway_.kill(static_cast<KillPoint>(fault.b), millis(fault.a), Random(fault.stream).below(60));
    case FaultKind::kGatewayPower:
      return gateway_.lose_power(fault.b, millis(fault.a));
    case FaultKind::kDisk:
      return gateway_.trouble_disk_until(now + millis(fault.a), static_cast<DiskTrouble>(fault.b));
    case FaultKind::kBackup:
      return gateway_.back_up();
    case FaultKind::kRestore:
      return gateway_.restore(fault.a, millis(fault.b));
    case FaultKind::kHostile:
      return gateway_.hostile(fault.a, static_cast<Hostile>(fault.b), fault.stream);
    case FaultKind::kRot:
      return gateway_.look_at_rotten_copy(fault.a, fault.stream);
    default:
      return befall_board(fault, *boards_[fault.device]);
  }
}

void World::befall_board(const Fault& fault, Board& board) {
  const Time now = engine_.now();
  Random random(fault.stream);
  switch (fault.kind) {
    case FaultKind::kPowerCut:
      return board.cut_power_in(fault.a, fault.b, fault.stream);
    case FaultKind::kOfflineBoots:
      return board.boot_offline(fault.a, millis(fault.b));
    case FaultKind::kRollback:
      return board.roll_back(fault.a, fault.b, fault.stream);
    case FaultKind::kTail:
      return board.destroy_tail(fault.a, fault.b, fault.stream);
    case FaultKind::kFlip:
      if (fault.b != 0) return board.flip_newest_bit(fault.stream);
      return board.flip_bits(fault.a, fault.stream);
    case FaultKind::kDeadSector:
      return board.break_sector(static_cast<std::uint32_t>(fault.a), static_cast<SectorFault>(fault.b + 1));
    case FaultKind::kFlashSilent:
      return board.silence_flash_until(now + millis(fault.a), fault.b != 0);
    case FaultKind::kStop:
      return board.stop(millis(fault.a));
    case FaultKind::kEntropy:
      return board.fail_entropy_until(now + millis(fault.a));
    case FaultKind::kDeviceClock:
      return board.mislead_clock(random.chance(500) ? millis(fault.a) : -millis(fault.a),
                                 now + millis(fault.b));
    case FaultKind::kCut:
      return board.cut_link_after(fault.a);
    case FaultKind::kCable:
      return board.pull_cable_until(now + millis(fault.a), fault.b != 0);
    case FaultKind::kStall:
      return board.stall_until(now + millis(fault.a));
    case FaultKind::kHalfOpen:
      return board.half_open();
    case FaultKind::kSlow:
      return board.slow_until(now + millis(fault.b), {millis(fault.a), random.between(100, 1'000)});
    default:
      return;
  }
}

}  // namespace

Outcome run(const Plan& plan, const RunOptions& options) {
  Outcome outcome;
  World world(plan, options, outcome.probes);
  try {
    world.play();
    outcome.drained = world.drain();
    world.judge_all();
  } catch (const Violation& violation) {
    outcome.violation = violation.kind();
    outcome.what = violation.what();
  } catch (const Livelock& livelock) {
    outcome.violation = "livelock";
    outcome.what = livelock.what();
  } catch (const gateway::StoreError& error) {
    outcome.violation = "store_error";
    outcome.what = std::string("an error reached nobody who knows it: ") + error.what();
  }
  outcome.hash = world.hash();
  outcome.steps = world.engine().steps();
  outcome.counts = world.judge().counts();
  return outcome;
}

}  // namespace godwit::sim
