// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/qemu_test.h"

#include <cjson/cJSON.h>

#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <thread>

#include "tests/support/gateway_database.h"

namespace godwit::test {
namespace {

using Clock = std::chrono::steady_clock;
using Json = std::unique_ptr<cJSON, decltype(&cJSON_Delete)>;

constexpr std::uint64_t kSeed = 20'260'101;
constexpr std::chrono::milliseconds kPollInterval{100};
constexpr const char* kHost = "10.0.2.2";  // this machine's loopback, in QEMU's user network

std::uint64_t seed() {
  const char* text = std::getenv("GODWIT_SEED");
  return text == nullptr ? kSeed : std::stoull(text);
}

std::string address(std::uint16_t port) { return std::string(kHost) + ":" + std::to_string(port); }

}  // namespace

QemuTest::QemuTest() : seed_(seed()), random_(static_cast<std::minstd_rand::result_type>(seed_)) {
  std::cout << "GODWIT_SEED=" << seed_ << "\n";
}

void QemuTest::TearDown() {
  if (!HasFailure()) return;
  std::cout << gateway_.log_tail();
  for (const auto& board : boards_)
    std::cout << "--- " << board->options().storage << ":\n" << board->log_tail();
}

void QemuTest::start_servers() {
  gateway_.start_broker();
  gateway_.start_gateway();
}

std::filesystem::path QemuTest::storage_of(const std::string& id) const {
  return dir_.path() / (id + ".img");
}

QemuBoard& QemuTest::add_board(const BoardSettings& settings) {
  std::vector<std::string> command{
      "device",
      "add",
      gateway_.dir().string(),
      settings.id,
      "--image",
      storage_of(settings.id).string(),
      "--image-size",
      std::to_string(settings.model.storage_bytes()),
      "--board-broker",
      address(settings.broker_port == 0 ? gateway_.mqtt_port() : settings.broker_port),
      "--server-name",
      settings.server_name,
      "--period",
      std::to_string(settings.period_ms),
      "--rows",
      std::to_string(settings.rows)};
  if (settings.sntp) command.insert(command.end(), {"--sntp", address(sntp_.port())});
  const Outcome added = run_gateway_program(command);
  if (added.status != 0) throw std::runtime_error("godwit-gateway device add fails:\n" + added.log);
  boards_.push_back(std::make_unique<QemuBoard>(QemuBoard::Options{.model = settings.model,
                                                                   .storage = storage_of(settings.id),
                                                                   .number = settings.number,
                                                                   .image = {},
                                                                   .more = settings.more_qemu}));
  return *boards_.back();
}

unsigned QemuTest::random(unsigned first, unsigned last) {
  return std::uniform_int_distribution<unsigned>(first, last)(random_);
}

std::string QemuTest::shown(const std::string& id) const {
  const HttpsResponse response = gateway_.get("/api/v1/devices/" + id);
  return response.status == 200 ? canonical_json(response.body) : "";
}

std::uint64_t QemuTest::committed(const std::string& id) const {
  const Json device(cJSON_Parse(shown(id).c_str()), &cJSON_Delete);
  const cJSON* const stream = cJSON_GetObjectItemCaseSensitive(device.get(), "stream");
  const cJSON* const next = cJSON_GetObjectItemCaseSensitive(stream, "next_seq");
  return cJSON_IsNumber(next) ? static_cast<std::uint64_t>(next->valuedouble) : 1;
}

bool QemuTest::wait_for_committed(std::uint64_t next, const std::string& id,
                                  std::chrono::milliseconds timeout) const {
  const auto deadline = Clock::now() + timeout;
  while (committed(id) < next) {
    for (const auto& board : boards_) board->check();
    if (Clock::now() > deadline) return false;
    std::this_thread::sleep_for(kPollInterval);
  }
  return true;
}

bool QemuTest::take_records(std::uint64_t count, const std::string& id) const {
  return wait_for_committed(committed(id) + count, id);
}

std::uint64_t QemuTest::kill_and_look(QemuBoard& board, const std::string& id, std::uint64_t said) {
  board.kill();
  const StoredOutbox outbox = read_outbox(board.options().model, board.options().storage);
  std::uint64_t newest = 0;
  for (const auto& [seq, batch] : outbox.records) {
    Stream& stream = seen_[id][outbox.epoch_of(seq)];
    EXPECT_EQ(stream.try_emplace(seq, batch).first->second, batch)
        << id << ": record " << seq << " changed in storage";
  }
  for (const auto& [epoch, stream] : seen_[id])
    if (!stream.empty()) newest = std::max(newest, stream.rbegin()->first);
  EXPECT_EQ(outbox.dropped, 0U) << id;
  expect_only_torn(outbox, id, said);
  // What was recorded once does not become unrecorded.
  EXPECT_GT(outbox.next_seq, newest) << id;
  return outbox.next_seq;
}

// A cut may hit the append of the record that is last, and spend its seq: that one was never recorded.
void QemuTest::expect_only_torn(const StoredOutbox& outbox, const std::string& id, std::uint64_t said) {
  for (const std::uint64_t seq : outbox.lost) {
    const std::uint64_t epoch = outbox.epoch_of(seq);
    std::set<std::uint64_t>& torn = torn_[id][epoch];
    if (torn.contains(seq)) continue;
    EXPECT_EQ(seq, outbox.next_seq - 1) << id << ": record " << seq << " got lost in storage";
    EXPECT_GE(seq, said) << id << ": record " << seq << " got lost, and was said to be recorded";
    EXPECT_FALSE(seen_[id][epoch].contains(seq)) << id << ": record " << seq << " got lost in storage";
    torn.insert(seq);
  }
}

void QemuTest::expect_all_delivered(QemuBoard& board, const std::string& id) {
  const std::uint64_t next = kill_and_look(board, id);
  board.start();
  EXPECT_TRUE(wait_for_committed(next, id)) << id;
  board.kill();
  expect_all_stored();
}

void QemuTest::expect_all_stored() {
  EXPECT_EQ(first_disorder(read_log(gateway_)), "");
  for (const auto& [id, streams] : seen_) {
    std::map<std::uint64_t, Stream> stored;
    for (const StoredRecord& record : read_database(gateway_.dir(), id)) {
      const std::set<std::uint64_t>& torn = torn_[id][record.epoch];
      for (std::uint64_t seq = record.seq; seq < record.seq + record.lost; ++seq)
        EXPECT_TRUE(torn.contains(seq)) << id << ": record " << seq << " was given up";
      if (record.lost != 0) continue;
      EXPECT_FALSE(torn.contains(record.seq)) << id << ": record " << record.seq << " arrived, then got lost";
      stored[record.epoch].try_emplace(record.seq, record.batch);
    }
    for (const auto& [epoch, records] : streams) {
      for (const auto& [seq, batch] : records) {
        const auto found = stored[epoch].find(seq);
        ASSERT_NE(found, stored[epoch].end()) << id << ": record " << seq << " never arrived";
        ASSERT_EQ(found->second, batch) << id << ": record " << seq << " is not what was recorded";
      }
    }
  }
}

}  // namespace godwit::test
