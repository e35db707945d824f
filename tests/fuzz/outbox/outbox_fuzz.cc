// SPDX-License-Identifier: Apache-2.0
// Hostile flash content: mount, read all, append, restart. Nothing may crash or run on, and every record that
// is handed out must stand in the image with a CRC that holds, by a calculation of its own.
//
// The first byte of the input: bits 0-1 the geometry, bit 2 the policy, bit 3 repair the CRCs of the sector
// headers, so that hostile fields behind them are reached. The rest is the image.
#include <algorithm>
#include <array>
#include <vector>

#include "firmware/outbox/outbox.h"
#include "proto/base/assert.h"
#include "proto/base/crc32.h"
#include "sim/flash/sim_flash.h"
#include "tests/support/seeded_entropy.h"

namespace {

using namespace godwit;
using outbox::Entry;

constexpr std::array kGeometries = {
    ports::FlashGeometry{.sector_size_bytes = 256, .sector_count = 3, .program_size_bytes = 8},
    ports::FlashGeometry{.sector_size_bytes = 128, .sector_count = 2, .program_size_bytes = 1},
    ports::FlashGeometry{.sector_size_bytes = 512, .sector_count = 4, .program_size_bytes = 64},
    ports::FlashGeometry{.sector_size_bytes = 1024, .sector_count = 2, .program_size_bytes = 512},
};
constexpr std::uint64_t kSeqMax = std::uint64_t{1} << 62;
constexpr std::size_t kHeaderSize = 56;  // of a sector; docs/reference/flash.md

std::vector<std::uint8_t> make_image(const ports::FlashGeometry& geometry, Bytes input, bool repair) {
  std::vector<std::uint8_t> image(std::size_t{geometry.sector_size_bytes} * geometry.sector_count, 0xFF);
  std::copy_n(input.begin(), std::min(input.size(), image.size()), image.begin());
  for (std::size_t at = 0; repair && at < image.size(); at += geometry.sector_size_bytes) {
    store_le(&image[at + 52], crc32(Bytes(image).subspan(at, 52)));
  }
  return image;
}

template <typename T>
std::uint32_t crc_le(T value, std::uint32_t crc) {
  std::array<std::uint8_t, sizeof(T)> bytes{};
  store_le(bytes.data(), value);
  return crc32(bytes, crc);
}

// `payload` stands in `image` behind a record header that is right for it and `seq` in `epoch`.
bool stands_in(Bytes image, Bytes payload, Seq seq, std::uint64_t epoch) {
  const auto size = static_cast<std::uint16_t>(payload.size());
  const std::uint32_t crc = crc_le(seq.value, crc32(payload, crc_le(size, crc_le(epoch, 0))));
  for (std::size_t at = 8; at + payload.size() <= image.size(); ++at) {
    if (load_le<std::uint32_t>(&image[at - 4]) == crc && load_le<std::uint16_t>(&image[at - 8]) == size &&
        std::ranges::equal(image.subspan(at, payload.size()), payload)) {
      return true;
    }
  }
  return false;
}

bool is_genuine(Bytes image, std::uint32_t sector_size, Bytes payload, Seq seq) {
  for (std::size_t at = 0; at + kHeaderSize <= image.size(); at += sector_size) {
    const auto epoch = load_le<std::uint64_t>(&image[at + 16]);
    if (stands_in(image, payload, seq, epoch)) return true;
    // The header may have had one flipped bit, there.
    for (int bit = 0; bit < 64; ++bit) {
      if (stands_in(image, payload, seq, epoch ^ (std::uint64_t{1} << bit))) return true;
    }
  }
  return false;
}

void read_all(outbox::Outbox& box, sim::SimFlash& flash) {
  const auto image = flash.image();
  std::vector<std::uint8_t> buffer(image.size());
  std::uint64_t entries = 0;
  for (Seq seq = box.oldest_seq(); seq < box.next_seq(); ++entries) {
    const auto entry = box.read(seq, buffer);
    GODWIT_ASSERT(entry.has_value() && entry->seq == seq && entry->count > 0);
    if (entry->kind == Entry::Kind::kRecord) {
      const auto payload = Bytes(buffer).first(entry->size_bytes);
      GODWIT_ASSERT(is_genuine(image, flash.geometry().sector_size_bytes, payload, seq));
    }
    seq = seq + entry->count;
    GODWIT_ASSERT(entries <= image.size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto& geometry = kGeometries[data[0] & 3];
  const auto policy = (data[0] & 4) != 0 ? outbox::FullPolicy::kRefuse : outbox::FullPolicy::kDropOldest;
  sim::SimFlash flash(geometry);
  flash.load(make_image(geometry, Bytes(data, size).subspan(1), (data[0] & 8) != 0));
  test::SeededEntropy entropy;

  outbox::Outbox box(flash, entropy, policy);
  const Status mounted = box.mount();
  GODWIT_ASSERT(mounted == Status::kOk || mounted == Status::kUnsupported);
  if (mounted != Status::kOk) return 0;
  read_all(box, flash);
  const std::array<std::uint8_t, 20> payload{1, 2, 3};
  for (int i = 0; i < 40; ++i) {
    const Seq next = box.next_seq();
    const Status status = box.append(payload);
    GODWIT_ASSERT(status == Status::kOk ||
                  (status == Status::kFull && policy == outbox::FullPolicy::kRefuse));
    if (status == Status::kFull) GODWIT_ASSERT(box.ack(next) == Status::kOk);
    GODWIT_ASSERT(status == Status::kFull || box.next_seq() == next + 1);
    if (i == 20) ignore(box.begin_epoch());  // may be kFull; what follows holds either way
  }
  // Seqs near the end of their range are refused by mount(); no log can live to make them.
  if (box.next_seq().value > kSeqMax) return 0;
  outbox::Outbox again(flash, entropy, policy);
  GODWIT_ASSERT(again.mount() == Status::kOk);
  GODWIT_ASSERT(again.next_seq() == box.next_seq());
  GODWIT_ASSERT(again.epoch() == box.epoch());
  read_all(again, flash);
  return 0;
}
