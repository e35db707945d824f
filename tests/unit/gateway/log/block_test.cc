// SPDX-License-Identifier: Apache-2.0
#include "gateway/log/block.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/domain/event_json.h"
#include "tests/unit/gateway/log/rig.h"

namespace godwit::gateway::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(Block, HoldsEachEventAsAFrameAroundItsJson) {
  FakeLog log;
  log.append("pump", 1);
  log.append(EventType::kDeviceOffline, "pump");
  const LogPage page = log.read({0}, {}, {});
  const Encoded encoded = encode({0}, page, log, kBlockTextMax);
  ASSERT_EQ(encoded.blocks.size(), 1U);
  ASSERT_EQ(encoded.events, 2U);
  const Block& block = *encoded.blocks[0];
  EXPECT_EQ(block.after, LogOffset{0});
  EXPECT_EQ(block.through, log.id(2));
  std::string text;
  for (std::size_t i = 0; i < 2; ++i) {
    std::string json;
    append_json(json, page.events[i], log);
    EXPECT_EQ(block.json(block.entries[i]), json);
    EXPECT_EQ(block.frame(block.entries[i]), "id: " + to_text(log.id(static_cast<std::int64_t>(i) + 1)) +
                                                 "\nevent: " + std::string(type_name(page.events[i].type)) +
                                                 "\ndata: " + json + "\n\n");
    EXPECT_THAT(json, StartsWith(R"({"id":")" + to_text(block.entries[i].id) + R"(",)"));
    text += block.frame(block.entries[i]);
  }
  EXPECT_EQ(block.text, text);
}

// An id has up to 32 characters, and those beyond 15 are no part of an entry.
TEST(Block, CountsTheIdsOfItsEntries) {
  const auto size = [](const std::string& device) {
    FakeLog log;
    for (int i = 0; i < 100; ++i) log.append(EventType::kDeviceOffline, device);
    const Encoded encoded = encode({0}, log.read({0}, {}, {}), log, kBlockTextMax);
    EXPECT_EQ(encoded.blocks.size(), 1U);
    return encoded.blocks[0]->size_bytes() - encoded.blocks[0]->text.capacity();
  };
  EXPECT_GE(size(std::string(32, 'd')), size("d") + 100 * 33);
}

TEST(Block, EndsBeforeItGetsTooLong) {
  FakeLog log;
  for (int i = 0; i < 20; ++i) {
    Event event;
    event.device = "pump";
    event.batch = std::string(15'000, 'x');  // 20,000 characters of base64
    log.append(std::move(event));
  }
  const LogPage page = log.read({0}, {}, {});
  const Encoded encoded = encode({0}, page, log, SIZE_MAX);
  EXPECT_EQ(encoded.events, 20U);
  EXPECT_EQ(encoded.blocks.size(), 7U);
  LogOffset after;
  std::int64_t next = 1;
  for (const BlockPtr& block : encoded.blocks) {
    EXPECT_LE(block->text.size(), kBlockTextMax);
    EXPECT_EQ(block->after, after);
    after = block->through.offset;
    for (const Block::Entry& entry : block->entries) {
      EXPECT_EQ(entry.id.offset.value, next++);
      EXPECT_THAT(std::string(block->frame(entry)), StartsWith("id: " + to_text(entry.id) + "\n"));
      EXPECT_THAT(std::string(block->json(entry)), StartsWith("{\"id\":\"" + to_text(entry.id)));
    }
  }
  EXPECT_EQ(after, LogOffset{20});
}

TEST(Block, SaysHowFarItCameWhenTheTextIsFull) {
  FakeLog log;
  for (int i = 0; i < 10; ++i) log.append("pump", i);
  const LogPage page = log.read({0}, {}, {});
  const Encoded encoded = encode({0}, page, log, 1);
  EXPECT_EQ(encoded.events, 1U) << "at least one";
  EXPECT_EQ(encoded.blocks.back()->through, log.id(1));
}

TEST(Block, APageOfNothingStillSaysHowFarItReaches) {
  FakeLog log;
  for (int i = 0; i < 10; ++i) log.append("pump", i);
  const LogPage page = log.read({0}, {.device = "fan", .types = {}}, {});
  const Encoded encoded = encode({0}, page, log, kBlockTextMax);
  ASSERT_EQ(encoded.blocks.size(), 1U);
  EXPECT_TRUE(encoded.blocks[0]->entries.empty());
  EXPECT_EQ(encoded.blocks[0]->through, log.id(10));
}

// H1: 200 bytes that stand for 1,024 rows of 16 channels of 37 digits.
class BombContext : public BatchContext {
 public:
  explicit BombContext(std::uint32_t hash) {
    TableInfo table{.hash = hash, .name = "bomb", .period_ms = 1, .durable = true, .channels = {}};
    for (int i = 0; i < 16; ++i) {
      table.channels.push_back(
          {.name = "c" + std::to_string(i), .unit = "1", .exponent = 18, .min = 0, .max = 0});
    }
    table_ = std::make_shared<const TableInfo>(std::move(table));
  }
  std::shared_ptr<const TableInfo> table(std::string_view, std::uint32_t) const override { return table_; }
  std::optional<BootTime> boot_time(std::string_view, Epoch) const override { return std::nullopt; }

 private:
  std::shared_ptr<const TableInfo> table_;
};

Event bomb(std::size_t rows) {
  std::array<codec::ChannelModel, 16> models{};
  std::array<std::uint8_t, 4096> samples{};
  codec::SampleEncoder encoder(models, samples);
  std::array<std::int64_t, 16> row{};
  row.fill(INT64_MAX - 1);
  for (std::size_t i = 0; i < rows; ++i) {
    if (encoder.add(row) != Status::kOk) throw std::logic_error("the row does not fit");
  }
  const std::size_t size = encoder.finish();
  codec::Batch batch;
  batch.table = 7;
  batch.quality = codec::TimeQuality::kSynced;
  batch.time = Millis{1};
  batch.rows = static_cast<std::uint32_t>(rows);
  batch.samples = Bytes(samples.data(), size);
  std::array<std::uint8_t, 5000> out{};
  Event event;
  event.device = "evil";
  event.batch = std::string(as_text(Bytes(out.data(), codec::encode(batch, out).value())));
  return event;
}

TEST(Block, ADecodeBombIsShownUndecoded) {
  const BombContext context(7);
  for (const std::size_t rows : {100U, 1024U}) {
    const Event event = bomb(rows);
    std::string json;
    append_json(json, event, context);
    EXPECT_LE(json.size(), kEventJsonMax + 1024);
    if (rows == 100) {
      EXPECT_THAT(json, HasSubstr(R"("channels":{"c0":[9223372036854775806000000000000000000,)"));
    } else {
      EXPECT_THAT(json, HasSubstr(R"("table":"bomb")"));
      EXPECT_THAT(json, HasSubstr(R"("rows":1024,"channels":null,"batch":")"));
      EXPECT_LE(json.size(), 2 * event.batch.size() + 1024);
    }
  }
}

// Bombs that just pass: 64 KB of JSON of a hundred bytes. What one job makes of them stays bounded.
TEST(Block, AJobMakesABoundedPieceOfBombs) {
  const BombContext context(7);
  LogPage page;
  std::int64_t offset = 0;
  for (int i = 0; i < 256; ++i) {
    Event event = bomb(100);
    event.offset = {++offset};
    page.events.push_back(std::move(event));
  }
  page.through = {.offset = {offset}, .term = {1}};
  std::size_t text = 0;
  const Encoded encoded = encode({0}, page, context, kBlockTextMax);
  for (const BlockPtr& block : encoded.blocks) text += block->text.size();
  EXPECT_LT(text, 2 * kBlockTextMax + kEventJsonMax);
  EXPECT_LT(encoded.events, 4U);
}

}  // namespace
}  // namespace godwit::gateway::test
