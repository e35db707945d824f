// SPDX-License-Identifier: Apache-2.0
// What a hostile device may publish, through the ingest rules and into JSON. The input is a sequence of
// messages: leaf (1 byte, modulo the number of leaves), size (2 bytes, little endian), payload.
#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gateway/domain/event_json.h"
#include "gateway/domain/ingest.h"
#include "proto/base/assert.h"
#include "proto/base/bytes.h"

namespace godwit::gateway {
namespace {

class Announced : public BatchContext {
 public:
  void learn(const Changes& changes) {
    for (const Changes::Table& entry : changes.tables) {
      tables_[entry.table.hash] = std::make_shared<const TableInfo>(entry.table);
    }
    for (const Changes::Boot& entry : changes.boots) boots_[entry.boot] = entry.unix_time;
  }
  std::shared_ptr<const TableInfo> table(std::string_view, std::uint32_t hash) const override {
    const auto known = tables_.find(hash);
    return known == tables_.end() ? nullptr : known->second;
  }
  std::optional<UnixMillis> boot_time(std::string_view, Epoch, std::uint32_t boot) const override {
    const auto known = boots_.find(boot);
    return known == boots_.end() ? std::nullopt : std::optional(known->second);
  }

 private:
  std::map<std::uint32_t, std::shared_ptr<const TableInfo>> tables_;
  std::map<std::uint32_t, UnixMillis> boots_;
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
  Ingest ingest({.devices_max = 2, .epochs_per_device_max = 4, .tables_per_device_max = 4}, {});
  Announced announced;
  std::map<Epoch, std::uint64_t> expected;
  std::vector<AckTo> acks;
  while (input.size() >= 3) {
    const auto leaf = static_cast<topics::Leaf>(input[0] % kLeaves);
    const std::size_t size = std::min<std::size_t>(load_le<std::uint16_t>(&input[1]), input.size() - 3);
    const Message message{.device = device,
                          .leaf = leaf,
                          .received = {.at = {}, .unix_time = {1'767'225'600'000}},
                          .payload = std::string(as_text(input.subspan(3, size)))};
    input = input.subspan(3 + size);
    ignore(ingest.handle(message));  // any answer is right, as long as what follows holds
    announced.learn(ingest.changes());
    for (const Changes::Forgotten& stream : ingest.changes().forgotten) expected.erase(stream.epoch);
    for (const Event& event : ingest.changes().events) {
      check_json(event, announced);
      const bool in_stream = event.type == EventType::kTelemetry || event.type == EventType::kLoss;
      if (!in_stream || event.seq == kLiveSeq) continue;
      std::uint64_t& next = expected.try_emplace(event.epoch, 1).first->second;
      GODWIT_ASSERT(event.seq.value == next);
      next += event.count;
    }
    ingest.committed(acks);
    GODWIT_ASSERT(acks.size() <= 1);
  }
}

}  // namespace
}  // namespace godwit::gateway

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  godwit::gateway::run({data, size});
  return 0;
}
