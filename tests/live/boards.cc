// SPDX-License-Identifier: Apache-2.0
#include "tests/live/boards.h"

#include <cjson/cJSON.h>

#include <array>
#include <filesystem>
#include <stdexcept>
#include <thread>
#include <tuple>

#include "proto/base/bytes.h"
#include "tests/support/board_storage.h"
#include "tests/support/gateway_database.h"

namespace godwit::live {
namespace {

constexpr std::array kModels{&test::kLm3s6965, &test::kMps2An385};
constexpr const char* kHost = "10.0.2.2:";  // this machine's loopback, in QEMU's user network

}  // namespace

bool Boards::available() {
  for (const auto* const model : kModels)
    if (!std::filesystem::exists(test::image_of(model->name))) return false;
  try {
    return test::run_program({"qemu-system-arm", "--version"}).status == 0;
  } catch (const std::exception&) {
    return false;
  }
}

Boards::Boards(test::GatewayFixture& gateway, std::uint16_t broker_port) : gateway_(gateway) {
  unsigned number = 0;
  for (const auto* const model : kModels) {
    const std::string id = "board-" + std::to_string(++number);
    const std::filesystem::path storage = dir_.path() / (id + ".img");
    const test::Outcome added = test::run_gateway_program(
        {"device", "add", gateway.dir().string(), id, "--image", storage.string(), "--image-size",
         std::to_string(model->storage_bytes()), "--board-broker", kHost + std::to_string(broker_port),
         "--server-name", "localhost", "--period", "200", "--rows", "4", "--sntp",
         kHost + std::to_string(time_.port())});
    if (added.status != 0) throw std::runtime_error("godwit-gateway device add fails:\n" + added.log);
    Board& board = boards_[id];
    board.machine = std::make_unique<test::QemuBoard>(test::QemuBoard::Options{
        .model = *model, .storage = storage, .number = number, .image = {}, .more = {}});
    board.machine->start();
  }
}

void Boards::look(Board& board) {
  board.machine->kill();
  const test::StoredOutbox outbox =
      test::read_outbox(board.machine->options().model, board.machine->options().storage);
  board.next_seq = outbox.next_seq;
  for (const auto& [seq, batch] : outbox.records) {
    const auto held = board.held.try_emplace({outbox.epoch_of(seq), seq}, batch).first;
    if (held->second != batch)
      throw sim::Violation("wrong_content",
                           "record " + std::to_string(seq) + " changed in a board's storage");
  }
}

void Boards::cut_power(std::size_t board, std::chrono::milliseconds off) {
  Board& victim = std::next(boards_.begin(), static_cast<std::ptrdiff_t>(board % boards_.size()))->second;
  look(victim);
  std::this_thread::sleep_for(off);
  victim.machine->start();
}

void Boards::look_into_all() {
  for (auto& [id, board] : boards_) {
    look(board);
    board.machine->start();
  }
}

void Boards::finish() {
  for (auto& [id, board] : boards_) board.machine->kill();
}

bool Boards::delivered() {
  for (auto& [id, board] : boards_) {
    board.machine->check();
    const test::HttpsResponse shown = gateway_.get("/api/v1/devices/" + id);
    const std::unique_ptr<cJSON, decltype(&cJSON_Delete)> json(cJSON_Parse(shown.body.c_str()),
                                                               &cJSON_Delete);
    const cJSON* const stream = cJSON_GetObjectItemCaseSensitive(json.get(), "stream");
    const cJSON* const next = cJSON_GetObjectItemCaseSensitive(stream, "next_seq");
    if (!cJSON_IsNumber(next) || static_cast<std::uint64_t>(next->valuedouble) < board.next_seq) return false;
  }
  return true;
}

void Boards::tell(sim::Judge& judge) const {
  for (const auto& [id, board] : boards_) {
    const std::size_t device = judge.add_device(id, nullptr, 0);
    judge.left(device);
    for (const auto& [name, batch] : board.held)
      judge.appended(device, Epoch{name.first}, Seq{name.second}, as_bytes(batch));
  }
}

// Their storages have room for more than a run records: nothing of it may ever be reported as lost.
bool Boards::holds(std::size_t /*device*/, sim::RecordId /*record*/) const { return true; }

void Boards::show(const sim::LogEvent& event, sim::Judge& judge) {
  Board& board = boards_.at(event.device);
  if (board.stored.empty()) {
    for (const test::StoredRecord& record : test::read_database(gateway_.dir(), event.device))
      if (record.lost == 0) board.stored[{record.epoch, record.seq}] = record.batch;
  }
  std::vector<std::int64_t> none;
  sim::Logged logged = sim::to_logged(event, judge, none);
  const auto bytes = board.stored.find({event.epoch.value, event.seq.value});
  if (bytes != board.stored.end()) logged.batch = as_bytes(bytes->second);
  judge.logged(logged);
}

std::string Boards::log_tail() const {
  std::string log;
  for (const auto& [id, board] : boards_) log += "--- " + id + ":\n" + board.machine->log_tail();
  return log;
}

}  // namespace godwit::live
