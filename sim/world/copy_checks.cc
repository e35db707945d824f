// SPDX-License-Identifier: Apache-2.0
#include "sim/world/copy_checks.h"

#include <algorithm>
#include <tuple>
#include <vector>

#include "gateway/domain/event_json.h"
#include "sim/engine/random.h"

namespace godwit::sim {
namespace {

constexpr std::size_t kPage = 4'096;  // of the database
constexpr std::size_t kEvents = 500;
// Declared: 4 bytes for each that is shown. Opening the database, and the upper pages of its trees,
// come to so much.
constexpr std::uint64_t kReadPerByte = 4;
constexpr std::uint64_t kReadOnce = 64'000;
// A smaller database says nothing about it.
constexpr std::uint64_t kMuch = 256'000;

// Knows nothing of tables and boots.
class NoContext final : public gateway::BatchContext {
 public:
  std::shared_ptr<const gateway::TableInfo> table(std::string_view, std::uint32_t) const override {
    return nullptr;
  }
  std::optional<gateway::BootTime> boot_time(std::string_view, Epoch) const override { return std::nullopt; }
};

std::string json_of(const gateway::Event& event) {
  std::string json;
  gateway::append_json(json, event, NoContext());
  return json;
}

void put_copy(Disk& copy, const Disk& disk, const std::string& folder) {
  copy.make_directory(folder);
  copy.restore(disk.copy());
}

// Streams, tables and boots of all devices: what Ingest goes by.
auto projections(gateway::Store& store) {
  std::vector<std::tuple<std::string, std::uint64_t, std::uint64_t, std::uint64_t>> all;
  for (const gateway::DeviceState& state : store.load()) {
    const std::string id(state.row.id.view());
    for (const auto& stream : state.streams)
      all.emplace_back(id, stream.mark.epoch.value, stream.mark.first_seq.value, stream.expected.value);
    for (const auto& table : state.tables) all.emplace_back(id, table.hash, table.digest, table.conflict);
    for (const auto& boot : state.boots) all.emplace_back(id, boot.epoch.value, 0, 0);
  }
  std::ranges::sort(all);
  return all;
}

// Walks the log as a follower does; what it gives is held against `truth`, which has every event.
void compare_logs(const Scene& scene, const gateway::LogReader& truth, const gateway::LogReader& rotten) {
  const auto fail = [](gateway::LogOffset offset, const char* what) {
    throw Violation("rot_believed", "event " + std::to_string(offset.value) + " " + what);
  };
  const gateway::LogOffset end = truth.ends().last.offset;
  if (rotten.ends().last.offset != end) fail(rotten.ends().last.offset, "is said to be the last one");
  gateway::LogOffset at{};
  while (at < end) {
    const gateway::LogPage page = rotten.read(at, {}, {.events = kEvents});
    if (page.gap) {
      scene.hit(Probe::kRottenPageIsAGap);
      if (page.gap->reason != gateway::GapReason::kDamaged || page.gap->from.value != at.value + 1 ||
          page.gap->to < page.gap->from)
        fail(at, "is followed by a gap that is not true");
      at = page.gap->to;
    }
    if (page.events.empty() && !page.gap) fail(at, "is followed by nothing, and no gap says so");
    const auto stored = truth.read(at, {}, {.events = page.events.size() + 1}).events;
    for (std::size_t i = 0; i < page.events.size(); ++i) {
      if (page.events[i].offset.value != at.value + 1) fail(at, "is followed by silence");
      if (i >= stored.size() || json_of(page.events[i]) != json_of(stored[i]))
        fail(page.events[i].offset, "is shown otherwise than it was stored");
      at = page.events[i].offset;
    }
  }
}

}  // namespace

void check_rotten(const Scene& scene, const Disk& disk, const std::string& folder, gateway::Store& truth,
                  std::uint64_t pages, std::uint64_t seed) {
  Random random(seed);
  Disk copy(seed);
  put_copy(copy, disk, folder);
  const std::string file = folder + "/godwit.db";
  const std::uint64_t whole = copy.size(file).value_or(0) / kPage;
  if (whole == 0) return;  // all is in the write-ahead log still
  for (std::uint64_t i = 0; i < pages; ++i)
    copy.rot(file, random.below(whole) * kPage + random.below(kPage), random.between(1, 64), random.next());
  const auto known = projections(truth);
  try {
    gateway::Store store(folder, {}, copy);
    if (projections(store) != known) throw Violation("rot_believed", "streams, tables or boots have changed");
    compare_logs(scene, truth.reader(), store.reader());
  } catch (const gateway::StoreError& error) {
    scene.hit(Probe::kRottenPageRefused);
    scene.say("rot", [&] { return std::string("refused: ") + error.what(); });
  }
}

void check_catching_up(const Scene& scene, const Disk& disk, const std::string& folder) {
  const std::string file = folder + "/godwit.db";
  if (disk.size(file).value_or(0) + disk.size(file + "-wal").value_or(0) < kMuch) return;
  Disk copy(1);
  put_copy(copy, disk, folder);
  std::uint64_t read = 0;
  const gateway::Store store(folder, {}, copy);
  copy.set_hook([&](const Disk::Operation& operation) {
    if (operation.kind == Disk::Operation::Kind::kRead) read += operation.size;
    return Disk::Answer::kDo;
  });
  std::uint64_t shown = 0;
  gateway::LogOffset at{};
  for (bool more = true; more;) {
    const gateway::LogPage page = store.reader().read(at, {}, {.events = kEvents});
    for (const gateway::Event& event : page.events) shown += json_of(event).size();
    at = page.through.offset;
    more = page.more;
  }
  scene.hit(Probe::kCaughtUpMuch);
  if (read > kReadPerByte * shown + kReadOnce)
    throw Violation("reads_too_much", "catching up " + std::to_string(shown) + " bytes reads " +
                                          std::to_string(read) + " from the disk");
  scene.say("catching up",
            [&] { return std::to_string(shown) + " bytes, " + std::to_string(read) + " read"; });
}

}  // namespace godwit::sim
