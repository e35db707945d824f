// SPDX-License-Identifier: Apache-2.0
// godwit-device, with the real sensors of this machine and a file as its flash, killed at random moments.
// What its flash holds after each kill is read with the outbox itself, from a copy, and must be in the
// gateway's log at the end: every record once, in order, as it was recorded.
#include <cjson/cJSON.h>
#include <gmock/gmock.h>

#include <csignal>
#include <ctime>
#include <map>
#include <memory>
#include <thread>

#include "boards/host/file_flash.h"
#include "firmware/outbox/outbox.h"
#include "proto/codec/batch.h"
#include "proto/codec/messages.h"
#include "tests/integration/recovery.h"
#include "tests/support/seeded_entropy.h"

namespace godwit::test {
namespace {

using testing::HasSubstr;
using Json = std::unique_ptr<cJSON, decltype(&cJSON_Delete)>;

constexpr std::chrono::seconds kTimeout{30};
constexpr std::uint32_t kFlashKib = 512;
constexpr std::size_t kRows = 2;  // of a record
constexpr std::int64_t kPeriodMs = 50;

struct Recorded {
  std::uint32_t boot = 0;    // 0: time_ms is of the system's clock; else since that start: it is not in step
  std::int64_t time_ms = 0;  // of the first row
  std::uint64_t rows = 0;
  friend bool operator==(const Recorded&, const Recorded&) = default;
};

// 2026-01-31T12:00:00.123Z
std::int64_t parse_time(const std::string& text) {
  std::tm time{};
  const char* const rest = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &time);
  EXPECT_NE(rest, nullptr) << text;
  return static_cast<std::int64_t>(::timegm(&time)) * 1'000 + std::stoll(text.substr(text.size() - 4, 3));
}

class DeviceRecovery : public Recovery {
 protected:
  DeviceRecovery() { gateway_.add_device("host-1"); }

  [[nodiscard]] std::vector<std::string> command() const {
    const auto credentials = gateway_.dir() / "devices" / "host-1";
    return {device_program(),
            "--id",
            "host-1",
            "--broker",
            "127.0.0.1:" + std::to_string(gateway_.mqtt_port()),
            "--ca",
            (credentials / "ca.crt").string(),
            "--cert",
            (credentials / "device.crt").string(),
            "--key",
            (credentials / "device.key").string(),
            "--data",
            data_.string(),
            "--flash-kib",
            std::to_string(kFlashKib),
            "--period",
            std::to_string(static_cast<double>(kPeriodMs) / 1'000),
            "--rows",
            std::to_string(kRows)};
  }
  void start_device() {
    device_ = std::make_unique<Process>(command());
    ++starts_;
  }
  void kill_device() {
    device_.reset();
    look_into_flash(true);
  }

  // The next record that the flash awaits. With `collect`, takes down all that it holds.
  Seq look_into_flash(bool collect) {
    const TempDir copies;
    const auto copy = copies.path() / "flash.bin";
    std::filesystem::copy_file(data_ / "flash.bin", copy);
    auto geometry = boards::FileFlash::kDefaultGeometry;
    geometry.sector_count = kFlashKib * 1024 / geometry.sector_size_bytes;
    auto flash = boards::FileFlash::open(copy, geometry);
    EXPECT_TRUE(flash.has_value());
    SeededEntropy entropy(1);
    outbox::Outbox outbox(**flash, entropy);
    EXPECT_EQ(outbox.mount(), Status::kOk);
    if (collect) collect_records(outbox);
    return outbox.next_seq();
  }
  void collect_records(outbox::Outbox& outbox) {
    EXPECT_EQ(outbox.stats().dropped_records, 0U);
    for (Seq seq = outbox.oldest_seq(); seq < outbox.next_seq(); seq = seq + 1) {
      std::vector<std::uint8_t> payload(outbox.record_size_max());
      const auto entry = outbox.read(seq, payload);
      ASSERT_TRUE(entry.has_value());
      if (entry->kind == outbox::Entry::Kind::kMark) continue;
      ASSERT_EQ(entry->kind, outbox::Entry::Kind::kData) << "record " << seq.value;
      const auto batch = codec::decode_batch(Bytes(payload).first(entry->size_bytes));
      ASSERT_TRUE(batch.has_value());
      const bool is_relative = batch->quality == codec::TimeQuality::kNone;
      const Recorded recorded{.boot = is_relative ? batch->boot : 0,
                              .time_ms = batch->time.count(),
                              .rows = batch->rows_of(kRows)};
      EXPECT_EQ(recorded_.try_emplace(seq.value, recorded).first->second, recorded) << "changed in flash";
    }
  }
  bool wait_for_flash(Seq next) {
    const auto deadline = std::chrono::steady_clock::now() + kTimeout;
    while (look_into_flash(false) < next) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return true;
  }

  // A number of what the gateway says of the device, or of its log; 0 if there is none yet.
  [[nodiscard]] std::uint64_t shown(const char* name) const {
    const Json device(cJSON_Parse(gateway_.get("/api/v1/devices/host-1").body.c_str()), &cJSON_Delete);
    const cJSON* const stream = cJSON_GetObjectItemCaseSensitive(device.get(), "stream");
    const cJSON* item = cJSON_GetObjectItemCaseSensitive(device.get(), name);
    if (item == nullptr) item = cJSON_GetObjectItemCaseSensitive(stream, name);
    return cJSON_IsNumber(item) ? static_cast<std::uint64_t>(item->valuedouble) : 0;
  }
  [[nodiscard]] bool wait_for_committed(Seq next) const {
    const auto deadline = std::chrono::steady_clock::now() + kTimeout;
    while (shown("next_seq") < next.value) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return true;
  }

  TempDir parent_;
  std::filesystem::path data_ = parent_.path() / "data";
  std::unique_ptr<Process> device_;
  std::uint64_t starts_ = 0;
  std::map<std::uint64_t, Recorded> recorded_;  // by seq
};

// What the log shows of a record: every channel has one value for each row.
Recorded shown_record(const LogEvent& event) {
  const Json json(cJSON_Parse(event.json.c_str()), &cJSON_Delete);
  const auto rows = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(json.get(), "rows"));
  const cJSON* const channels = cJSON_GetObjectItemCaseSensitive(json.get(), "channels");
  EXPECT_GT(cJSON_GetArraySize(channels), 0) << event.json;
  const cJSON* channel = nullptr;
  cJSON_ArrayForEach(channel, channels) EXPECT_EQ(cJSON_GetArraySize(channel), rows) << event.json;
  Recorded recorded{.rows = static_cast<std::uint64_t>(rows)};
  const auto number = [&](const char* name) {
    return cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(json.get(), name));
  };
  if (const auto* const time = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json.get(), "time"))) {
    recorded.time_ms = parse_time(time);
  } else {
    recorded.boot = static_cast<std::uint32_t>(number("boot"));
    recorded.time_ms = static_cast<std::int64_t>(number("boot_ms"));
    EXPECT_GT(recorded.boot, 0U) << event.json;
  }
  return recorded;
}

TEST_F(DeviceRecovery, DeliversAllThatItsFlashHoldsHoweverOftenItIsKilled) {
  Seq held = kFirstSeq;
  for (int kill = 0; kill < 10; ++kill) {
    SCOPED_TRACE("kill " + std::to_string(kill));
    // Now and then there is nobody to deliver to: the records of several lives wait in flash.
    const bool alone = kill % 4 >= 2;
    if (alone) gateway_.kill_gateway();
    start_device();
    if (alone) {
      ASSERT_TRUE(wait_for_flash(held + random(2, 12))) << device_->log();
    } else {
      if (kill % 4 == 0 && kill > 0) gateway_.start_gateway();
      ASSERT_TRUE(take_records(random(1, 12))) << device_->log();
      EXPECT_EQ(shown("boot"), starts_);
    }
    // Not always right after a commit or a flash write.
    std::this_thread::sleep_for(std::chrono::milliseconds(random(0, 100)));
    kill_device();
    const Seq now = look_into_flash(false);
    EXPECT_GE(now, held) << "the flash forgot records";
    held = now;
  }

  // Everything, also what is recorded while the rest is delivered and on an orderly stop.
  start_device();
  ASSERT_TRUE(wait_for_committed(held + 5)) << device_->log();
  device_->signal(SIGTERM);
  EXPECT_EQ(device_->wait(kTimeout), 0) << device_->log();
  kill_device();
  held = look_into_flash(false);
  start_device();
  ASSERT_TRUE(wait_for_committed(held + 1)) << device_->log();
  EXPECT_EQ(shown("boot"), starts_);
  EXPECT_EQ(shown("lost_records"), 0U);

  const std::vector<LogEvent> log = read_log(gateway_);
  EXPECT_EQ(first_disorder(log), "");
  std::map<std::uint64_t, Recorded> stored;
  Recorded last;
  std::int64_t last_row_ms = -1;
  for (const LogEvent& event : log) {
    if (!event.is_record()) continue;
    const Recorded record = shown_record(event);
    EXPECT_GE(record.boot, last.boot) << event.json;
    if (record.boot == last.boot) {
      EXPECT_GT(record.time_ms, last_row_ms) << "rows overlap: " << event.json;
    }
    last = record;
    last_row_ms = record.time_ms + (static_cast<std::int64_t>(record.rows) - 1) * kPeriodMs;
    stored.emplace(event.seq.value, record);
  }
  EXPECT_GE(stored.size() + starts_, held.value - 1) << "each start has a mark among its records";
  EXPECT_GT(recorded_.size(), 20U) << "the flash never held much: the test proves little";
  for (const auto& [seq, record] : recorded_) {
    EXPECT_TRUE(stored.contains(seq) && stored.at(seq) == record) << "record " << seq;
  }
}

TEST_F(DeviceRecovery, RefusesADataFolderThatIsInUse) {
  start_device();
  ASSERT_TRUE(take_records(1)) << device_->log();
  const Outcome second = run_program(command());
  EXPECT_NE(second.status, 0);
  EXPECT_THAT(second.log, HasSubstr(data_.string() + " is in use by another godwit-device"));
  EXPECT_TRUE(take_records(2)) << "the first goes on";
  EXPECT_EQ(shown("boot"), 1U);
}

}  // namespace
}  // namespace godwit::test
