// SPDX-License-Identifier: Apache-2.0
#include "sim/world/plan.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include "sim/engine/random.h"

namespace godwit::sim {
namespace {

constexpr std::array<std::string_view, kFaultKinds> kNames{
    "power_cut",      "offline_boots", "rollback",     "tail",          "flip",        "dead_sector",
    "flash_silent",   "entropy",       "device_clock", "gateway_clock", "cut",         "cable",
    "stall",          "half_open",     "slow",         "stop",          "broker_kill", "broker_forget",
    "broker_doubles", "acks",          "gateway_kill", "gateway_power", "disk",        "backup",
    "restore",        "hostile",       "rot"};

constexpr std::uint64_t kMinute = 60'000;

DevicePlan make_device(Random& random) {
  DevicePlan device;
  device.unit = random.pick(std::array<std::uint32_t, 8>{1, 2, 4, 8, 16, 32, 256, 512});
  device.sector = random.pick(std::array<std::uint32_t, 3>{1024, 2048, 4096});
  // A sector has to hold a header and a record of 512 bytes, each padded to units.
  if (device.unit >= 256) device.sector = 4096;
  device.sectors = static_cast<std::uint32_t>(random.between(3, random.chance(300) ? 16 : 6));
  device.rows = random.between(1, 8);
  device.period = random.pick(std::array<std::uint64_t, 5>{1'000, 2'000, 5'000, 10'000, 30'000});
  // A record every 10 s or more, so that a run has some hundreds.
  device.age = std::max<std::uint64_t>(device.period * device.rows, 10'000);
  device.rows = std::max<std::uint64_t>(device.rows, 10'000 / device.period);
  device.latency = random.chance(200) ? random.between(300, 7'000) : random.between(1, 200);
  device.rate = random.chance(200) ? random.between(100, 1'000) : random.between(2'000, 200'000);
  device.clock_after = random.chance(150) ? 0 : random.between(1, random.chance(300) ? 600'000 : 3'000);
  device.keep_alive = random.chance(250) ? 0 : 60;
  device.refuse = random.chance(250) ? 1 : 0;
  return device;
}

// The two numbers of a fault.
void draw(Fault& fault, Random& random) {
  const auto seconds = [&](std::uint64_t low, std::uint64_t high) {
    return 1'000 * random.between(low, high);
  };
  switch (fault.kind) {
    case FaultKind::kPowerCut:
      fault.a = random.chance(200) ? kAtErase : random.below(30);
      fault.b = random.chance(600) ? 1 : random.between(2, 4);
      break;
    case FaultKind::kOfflineBoots:
      fault.a = random.between(1, 5);
      fault.b = seconds(1, 120);
      break;
    case FaultKind::kRollback:
      fault.a = random.below(8);
      fault.b = random.below(3);
      break;
    case FaultKind::kTail:
      fault.a = random.between(1, random.chance(300) ? 3'000 : 300);
      fault.b = random.below(3);
      break;
    case FaultKind::kFlip:
      fault.b = random.below(2);
      fault.a = fault.b == 1 ? 1 : random.between(1, 3);
      break;
    case FaultKind::kDeadSector:
      fault.a = random.below(16);
      fault.b = random.below(5);
      break;
    case FaultKind::kFlashSilent:
      fault.a = seconds(1, 120);
      fault.b = random.below(2);
      break;
    case FaultKind::kDeviceClock:
      fault.a = seconds(1, 100'000);
      fault.b = seconds(10, 600);
      break;
    case FaultKind::kGatewayClock:
      fault.a = random.chance(500) ? seconds(1, 100) : seconds(100, 100'000);
      fault.b = random.below(2);
      break;
    case FaultKind::kCut:
      fault.a = random.below(random.chance(500) ? 300 : 5'000);
      break;
    case FaultKind::kCable:
    case FaultKind::kBrokerKill:
    case FaultKind::kBrokerDoubles:
      fault.b = random.below(fault.kind == FaultKind::kBrokerKill ? 3 : 2);
      [[fallthrough]];
    case FaultKind::kEntropy:
    case FaultKind::kStall:
    case FaultKind::kStop:
    case FaultKind::kBrokerForget:
      fault.a = seconds(1, random.chance(300) ? 900 : 60);
      break;
    case FaultKind::kSlow:
      fault.a = random.between(500, 10'000);
      fault.b = seconds(60, 600);
      break;
    case FaultKind::kAcks:
      fault.a = seconds(10, 300);
      fault.b = random.between(100, 20'000);
      break;
    case FaultKind::kGatewayKill:
      fault.a = seconds(1, 60);
      fault.b = random.below(4);
      break;
    case FaultKind::kGatewayPower:
      fault.a = seconds(1, 60);
      fault.b = random.below(40);
      break;
    case FaultKind::kDisk:
      fault.a = seconds(1, 120);
      fault.b = random.below(4);
      break;
    case FaultKind::kRestore:
      fault.a = random.chance(200) ? kStartAnew : random.below(4);
      fault.b = seconds(1, 60);
      break;
    case FaultKind::kHostile:
      fault.a = random.between(1, 200);
      fault.b =
          random.chance(300) ? static_cast<std::uint64_t>(Hostile::kFlood) : random.below(kHostileKinds);
      break;
    case FaultKind::kRot:
      fault.a = random.between(1, 3);
      break;
    case FaultKind::kHalfOpen:
    case FaultKind::kBackup:
      break;
  }
}

// In some runs, from streams of its own.
void add_rot(Plan& plan) {
  Random random(plan.seed, 3);
  if (!random.chance(150)) return;
  for (std::uint64_t left = random.between(1, 4); left > 0; --left) {
    Fault fault{
        .at =
            Time{static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(plan.duration.count())))},
        .kind = FaultKind::kRot};
    draw(fault, random);
    fault.stream = random.next();
    plan.faults.push_back(fault);
  }
}

std::string line_of(const DevicePlan& device) {
  const auto field = [](const char* name, std::uint64_t value) {
    return std::string(" ") + name + "=" + std::to_string(value);
  };
  return "device" + field("unit", device.unit) + field("sector", device.sector) +
         field("sectors", device.sectors) + field("period", device.period) + field("rows", device.rows) +
         field("age", device.age) + field("latency", device.latency) + field("rate", device.rate) +
         field("clock_after", device.clock_after) + field("keep_alive", device.keep_alive) +
         field("refuse", device.refuse);
}

std::string line_of(const Fault& fault) {
  return "fault at=" + std::to_string(fault.at.count()) + " kind=" + std::string(name_of(fault.kind)) +
         " device=" + std::to_string(fault.device) + " a=" + std::to_string(fault.a) +
         " b=" + std::to_string(fault.b) + " stream=" + std::to_string(fault.stream);
}

// One line of a plan: a word, then name=value.
class Line {
 public:
  explicit Line(std::string_view text) {
    word = take(text);
    while (!text.empty()) {
      const std::string_view field = take(text);
      const auto equals = field.find('=');
      if (equals != std::string_view::npos) fields_[field.substr(0, equals)] = field.substr(equals + 1);
    }
  }
  std::string_view word;

  [[nodiscard]] std::string_view text(std::string_view name) {
    const auto found = fields_.find(name);
    if (found == fields_.end()) missing = name;
    return found == fields_.end() ? std::string_view() : found->second;
  }
  template <typename Number>
  void read(std::string_view name, Number& out) {
    const std::string_view value = text(name);
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), out);
    if (error != std::errc{} || end != value.data() + value.size()) missing = name;
  }
  // What older plans do not say stays as it is.
  template <typename Number>
  void read_if_said(std::string_view name, Number& out) {
    if (fields_.contains(name)) read(name, out);
  }
  std::string_view missing;  // or no number

 private:
  static std::string_view take(std::string_view& text) {
    const auto space = std::min(text.find(' '), text.size());
    const std::string_view head = text.substr(0, space);
    text.remove_prefix(std::min(space + 1, text.size()));
    return head;
  }
  std::map<std::string_view, std::string_view> fields_;
};

DevicePlan read_device(Line& line) {
  DevicePlan device;
  line.read("unit", device.unit);
  line.read("sector", device.sector);
  line.read("sectors", device.sectors);
  line.read("period", device.period);
  line.read("rows", device.rows);
  line.read("age", device.age);
  line.read("latency", device.latency);
  line.read("rate", device.rate);
  line.read("clock_after", device.clock_after);
  line.read_if_said("keep_alive", device.keep_alive);
  line.read_if_said("refuse", device.refuse);
  return device;
}

Fault read_fault(Line& line) {
  Fault fault;
  std::int64_t at = 0;
  line.read("at", at);
  fault.at = Time{at};
  const auto name = std::ranges::find(kNames, line.text("kind"));
  if (name == kNames.end()) line.missing = "kind";
  fault.kind = static_cast<FaultKind>(name == kNames.end() ? 0 : name - kNames.begin());
  line.read("device", fault.device);
  line.read("a", fault.a);
  line.read("b", fault.b);
  line.read("stream", fault.stream);
  return fault;
}

}  // namespace

std::string_view name_of(FaultKind kind) { return kNames[static_cast<std::size_t>(kind)]; }

Plan make_plan(std::uint64_t seed) {
  Random random(seed, 1);
  Plan plan{.seed = seed};
  const std::uint64_t devices = random.between(1, 3);
  plan.duration = Time{static_cast<std::int64_t>(120 * kMinute / devices)};
  plan.followers = random.between(1, 3);
  if (Random(seed, 2).chance(10)) plan.followers = 500;
  if (random.chance(300)) plan.kept = random.between(3, 8);
  if (random.chance(300)) plan.batch = random.between(4, 32);
  for (std::uint64_t i = 0; i < devices; ++i) plan.devices.push_back(make_device(random));

  // Some kinds only, so that each gets a run in which the others are not in its way.
  std::vector<FaultKind> kinds;
  const std::uint64_t share = random.between(100, 700);
  const bool calm = random.chance(80);  // nothing happens, or devices that say goodbye
  const bool slow = calm && random.chance(500);
  for (std::size_t kind = 0; kind < kDrawnFaultKinds; ++kind) {
    if (random.chance(share) && !calm) kinds.push_back(static_cast<FaultKind>(kind));
  }
  if (calm && !slow && random.chance(500)) kinds.push_back(FaultKind::kStop);
  for (DevicePlan& device : plan.devices) {
    if (!calm) break;
    device.latency = slow ? random.between(5'500, kCalmLatency) : std::min(device.latency, kGoodLatency);
    device.rate = std::max(device.rate, slow ? kCalmRate : kGoodRate);
  }
  if (kinds.empty()) return plan;
  if (std::ranges::find(kinds, FaultKind::kRestore) != kinds.end()) kinds.push_back(FaultKind::kBackup);
  const std::uint64_t faults = random.between(5, 35);
  Time before{0};
  for (std::uint64_t i = 0; i < faults; ++i) {
    // Some come while the one before still has its effect.
    const auto duration = static_cast<std::uint64_t>(plan.duration.count());
    const std::uint64_t soon = static_cast<std::uint64_t>(before.count()) + random.below(30'000);
    before = Time{static_cast<std::int64_t>(random.chance(300) ? soon % duration : random.below(duration))};
    Fault fault{.at = before,
                .kind = kinds[random.below(kinds.size())],
                .device = static_cast<std::uint32_t>(random.below(devices))};
    Random own(seed, 1'000 + i);
    draw(fault, own);
    fault.stream = own.next();
    plan.faults.push_back(fault);
  }
  add_rot(plan);
  std::ranges::stable_sort(plan.faults, {}, &Fault::at);
  return plan;
}

std::string to_text(const Plan& plan) {
  std::string text = "plan version=1 seed=" + std::to_string(plan.seed) +
                     " duration=" + std::to_string(plan.duration.count()) +
                     " followers=" + std::to_string(plan.followers) + " kept=" + std::to_string(plan.kept) +
                     " batch=" + std::to_string(plan.batch) + "\n";
  for (const DevicePlan& device : plan.devices) text += line_of(device) + "\n";
  for (const Fault& fault : plan.faults) text += line_of(fault) + "\n";
  return text;
}

std::expected<Plan, std::string> parse_plan(std::string_view text) {
  Plan plan;
  bool headed = false;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    const std::string_view content = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (content.empty() || content.front() == '#') continue;
    Line line(content);
    if (line.word == "plan") {
      std::int64_t duration = 0;
      line.read("seed", plan.seed);
      line.read("duration", duration);
      line.read("followers", plan.followers);
      line.read("kept", plan.kept);
      line.read("batch", plan.batch);
      plan.duration = Time{duration};
      headed = true;
    } else if (line.word == "device") {
      plan.devices.push_back(read_device(line));
    } else if (line.word == "fault") {
      plan.faults.push_back(read_fault(line));
    } else {
      return std::unexpected("line " + std::to_string(number) + ": plan, device or fault expected");
    }
    if (!line.missing.empty()) {
      return std::unexpected("line " + std::to_string(number) + ": " + std::string(line.missing) +
                             "=VALUE is missing or is none");
    }
  }
  if (!headed || plan.devices.empty())
    return std::unexpected("a plan has a line 'plan' and one 'device' at least");
  for (const Fault& fault : plan.faults) {
    if (fault.device >= plan.devices.size())
      return std::unexpected("a fault names a device that there is not");
  }
  std::ranges::stable_sort(plan.faults, {}, &Fault::at);
  return plan;
}

}  // namespace godwit::sim
