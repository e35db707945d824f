// SPDX-License-Identifier: Apache-2.0
// What a hostile device may publish, through the ingest rules and into JSON. The input is a sequence of
// messages: leaf (1 byte, modulo the number of leaves), size (2 bytes, little endian), payload.
#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "gateway/domain/event_json.h"
#include "gateway/domain/ingest.h"
#include "proto/base/assert.h"
#include "proto/base/bytes.h"

namespace godwit::gateway {
namespace {

class Announced : public BatchContext {
 public:
  void learn(const Changes& changes) {
    for (const auto& [device, table] : changes.tables) {
      tables_[table.info.hash] = std::make_shared<const TableInfo>(table.info);
    }
    for (const auto& [device, boot] : changes.boots) boots_[boot.epoch] = boot.time;
  }
  std::shared_ptr<const TableInfo> table(std::string_view, std::uint32_t hash) const override {
    const auto known = tables_.find(hash);
    return known == tables_.end() ? nullptr : known->second;
  }
  std::optional<BootTime> boot_time(std::string_view, Epoch epoch) const override {
    const auto known = boots_.find(epoch);
    return known == boots_.end() ? std::nullopt : std::optional(known->second);
  }

 private:
  std::map<std::uint32_t, std::shared_ptr<const TableInfo>> tables_;
  std::map<Epoch, BootTime> boots_;
};

void check_json(const Event& event, const BatchContext& context) {
  std::string json;
  append_json(json, event, context);
  GODWIT_ASSERT(json.front() == '{' && json.back() == '}');
  GODWIT_ASSERT(std::ranges::none_of(json, [](char c) { return static_cast<unsigned char>(c) < 0x20U; }));
}

void run(Bytes input) {
  constexpr int kLeaves = 5;
  const DeviceId device = *DeviceId::parse("hostile");
  const IngestLimits limits{
      .devices_max = 2, .epochs_per_device_max = 4, .tables_per_device_max = 4, .boots_per_device_max = 4};
  Ingest ingest(limits, {});
  Announced announced;
  std::map<std::pair<Epoch, std::uint64_t>, Seq> expected;  // of each stream, by its mark
  while (input.size() >= 3) {
    const auto leaf = static_cast<topics::Leaf>(input[0] % kLeaves);
    const std::size_t size = std::min<std::size_t>(load_le<std::uint16_t>(&input[1]), input.size() - 3);
    const Message message{.device = device,
                          .leaf = leaf,
                          .received = {.at = {}, .unix_time = {1'767'225'600'000}},
                          .payload = std::string(as_text(input.subspan(3, size)))};
    input = input.subspan(3 + size);
    ignore(ingest.handle(message));  // any answer is right, as long as what follows holds
    Changes changes = ingest.take();
    announced.learn(changes);
    for (const Event& event : changes.events) check_json(event, announced);
    for (const auto& [id, mark] : changes.forgotten_streams) {
      expected.erase({mark.epoch, mark.first_seq.value});
    }
    for (const auto& [id, stream] : changes.streams) {
      const auto [known, began] =
          expected.try_emplace({stream.mark.epoch, stream.mark.first_seq.value}, stream.mark.first_seq);
      std::uint64_t next = known->second.value;
      for (const Event& event : changes.events) {
        if (places(event) == 0 || event.epoch != stream.mark.epoch || event.seq.value != next) continue;
        next += places(event);
      }
      GODWIT_ASSERT(next == stream.expected.value);
      known->second = stream.expected;
    }
    GODWIT_ASSERT(expected.size() <= limits.epochs_per_device_max);
    GODWIT_ASSERT(ingest.committed(std::move(changes)).size() <= 2);
  }
}

}  // namespace
}  // namespace godwit::gateway

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  godwit::gateway::run({data, size});
  return 0;
}
