// SPDX-License-Identifier: Apache-2.0
// Hostile content of the node state's two sectors: mount, load, save, start again. Bit 0 of the first byte:
// repair the checksums, so that hostile fields behind them are reached. Then the first 96 bytes of either
// sector.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "boards/common/storage/node_state.h"
#include "proto/base/assert.h"
#include "proto/base/crc32.h"
#include "sim/flash/sim_flash.h"

namespace {

using namespace godwit;
using boards::NodeState;

constexpr std::size_t kSectorSize = 1536, kStart = 96, kHeaderSize = 40;  // docs/reference/flash.md

class NoLog final : public ports::Log {
  void write(ports::LogLevel, std::string_view, std::initializer_list<ports::LogField>) override {}
};

void repair(MutableBytes sector) {
  const auto size = load_le<std::uint32_t>(&sector[24]);
  if (size <= NodeState::kSessionSizeMax) store_le(&sector[28], crc32(sector.subspan(kHeaderSize, size)));
  store_le(&sector[36], crc32(sector.first(36)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const bool repaired = (data[0] & 1) != 0;
  const Bytes input(data + 1, size - 1);
  std::vector<std::uint8_t> image(2 * kSectorSize, 0xFF);
  for (std::size_t sector = 0; sector < 2; ++sector) {
    const Bytes part = input.subspan(std::min(input.size(), sector * kStart));
    const auto start = MutableBytes(image).subspan(sector * kSectorSize, kSectorSize);
    std::copy_n(part.begin(), std::min(part.size(), kStart), start.begin());
    if (repaired) repair(start);
  }
  sim::SimFlash flash({.sector_size_bytes = kSectorSize, .sector_count = 2, .program_size_bytes = 512});
  flash.load(image);
  NoLog log;
  NodeState state(flash);
  GODWIT_ASSERT(state.mount(log) == Status::kOk);
  const std::uint32_t owner = load_le<std::uint32_t>(&image[12]);
  std::array<std::uint8_t, NodeState::kSessionSizeMax> session{};
  const auto held = state.load_session(owner, session);
  GODWIT_ASSERT(held ? *held > 0 && *held <= session.size() : held.error() == Status::kNotFound);

  GODWIT_ASSERT(state.save_session(owner, {1}, Bytes(session).first(200)) == Status::kOk);
  NodeState next(flash);
  GODWIT_ASSERT(next.mount(log) == Status::kOk);
  GODWIT_ASSERT(next.boot() == state.boot() + 1);
  GODWIT_ASSERT(next.load_session(owner, session) == std::size_t{200});
  GODWIT_ASSERT(flash.counts().refused == 0);
  return 0;
}
