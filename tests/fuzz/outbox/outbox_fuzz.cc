// SPDX-License-Identifier: Apache-2.0
// Hostile flash content: mount, read all, append, restart. Nothing may crash or run on, and every record that
// is handed out must stand in the image with a CRC that holds, by a calculation of its own.
//
// The first byte of the input: bits 0-1 the geometry, bit 2 the policy, bit 3 repair what the sector headers
// are checked by, so that hostile fields behind it are reached. The rest is the image.
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
    ports::FlashGeometry{.sector_size_bytes = 512, .sector_count = 3, .program_size_bytes = 8},
    ports::FlashGeometry{.sector_size_bytes = 256, .sector_count = 2, .program_size_bytes = 1},
    ports::FlashGeometry{.sector_size_bytes = 512, .sector_count = 4, .program_size_bytes = 64},
    ports::FlashGeometry{.sector_size_bytes = 1024, .sector_count = 2, .program_size_bytes = 512},
};
constexpr std::uint64_t kSeqMax = std::uint64_t{1} << 62;
// docs/reference/flash.md
constexpr std::size_t kHeaderSize = 184;
constexpr std::size_t kMarksAt = 56;

std::vector<std::uint8_t> make_image(const ports::FlashGeometry& geometry, Bytes input, bool repair) {
  std::vector<std::uint8_t> image(std::size_t{geometry.sector_size_bytes} * geometry.sector_count, 0xFF);
  std::copy_n(input.begin(), std::min(input.size(), image.size()), image.begin());
  for (std::size_t at = 0; repair && at < image.size(); at += geometry.sector_size_bytes) {
    store_le(&image[at + 12], crc32(bytes_of(geometry)));
    const auto serial = load_le<std::uint32_t>(&image[at + 16]) & 0xFF;
    store_le(&image[at + 16], static_cast<std::uint32_t>((serial + 1) * geometry.sector_count +
                                                         at / geometry.sector_size_bytes));
    store_le(&image[at + 4], crc32(Bytes(image).subspan(at + 8, kHeaderSize - 8)));
  }
  return image;
}

template <typename T>
std::uint32_t crc_le(T value, std::uint32_t crc) {
  std::array<std::uint8_t, sizeof(T)> bytes{};
  store_le(bytes.data(), value);
  return crc32(bytes, crc);
}

// What the checks of entries may begin with: nothing, or an epoch that some mark names.
std::vector<std::uint32_t> keys_in(Bytes image, std::uint32_t sector_size) {
  std::vector<std::uint32_t> keys = {0};
  for (std::size_t at = 0; at + kHeaderSize <= image.size(); at += sector_size) {
    for (std::size_t mark = 0; mark < 8; ++mark) {
      keys.push_back(crc32(image.subspan(at + kMarksAt + mark * 16, 8)));
    }
  }
  for (std::size_t at = 8; at + 16 <= image.size(); ++at) {
    if (load_le<std::uint16_t>(&image[at - 8]) == 0x2010) keys.push_back(crc32(image.subspan(at, 8)));
  }
  return keys;
}

// `payload` stands in `image` behind a header that is right for it and `seq` under one of `keys`.
bool is_genuine(Bytes image, const std::vector<std::uint32_t>& keys, Bytes payload, Seq seq) {
  const auto kind_and_size = static_cast<std::uint16_t>(0x1000 | payload.size());
  for (std::size_t at = 8; at + payload.size() <= image.size(); ++at) {
    if (load_le<std::uint16_t>(&image[at - 8]) != kind_and_size ||
        !std::ranges::equal(image.subspan(at, payload.size()), payload)) {
      continue;
    }
    for (const std::uint32_t key : keys) {
      const std::uint32_t crc = crc_le(seq.value, crc32(payload, crc_le(kind_and_size, key)));
      if (load_le<std::uint32_t>(&image[at - 4]) == crc) return true;
    }
  }
  return false;
}

void read_all(outbox::Outbox& box, sim::SimFlash& flash) {
  const auto image = flash.image();
  const auto keys = keys_in(image, flash.geometry().sector_size_bytes);
  std::vector<std::uint8_t> buffer(image.size());
  std::uint64_t entries = 0;
  for (Seq seq = box.oldest_seq(); seq < box.next_seq(); ++entries) {
    const auto entry = box.read(seq, buffer);
    GODWIT_ASSERT(entry.has_value() && entry->seq == seq && entry->count > 0);
    if (entry->kind == Entry::Kind::kData) {
      GODWIT_ASSERT(is_genuine(image, keys, Bytes(buffer).first(entry->size_bytes), seq));
    }
    seq = seq + (entry->kind == Entry::Kind::kLoss ? entry->count : 1);
    GODWIT_ASSERT(entries <= image.size());
  }
  std::array<Mark, outbox::Outbox::kMarksKept> marks;
  const auto count = box.marks_before(box.next_seq(), marks);
  GODWIT_ASSERT(count.has_value());
  for (std::size_t i = 0; i < *count; ++i) GODWIT_ASSERT(marks[i].first_seq < box.next_seq());
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
    if (status == Status::kFull) GODWIT_ASSERT(box.ack(box.next_seq()) == Status::kOk);
    GODWIT_ASSERT(status == Status::kFull || box.next_seq() > next);
  }
  // Seqs near the end of their range are refused by mount(); no log can live to make them.
  if (box.next_seq().value > kSeqMax) return 0;
  outbox::Outbox again(flash, entropy, policy);
  GODWIT_ASSERT(again.mount() == Status::kOk);
  GODWIT_ASSERT(again.next_seq() == box.next_seq());
  read_all(again, flash);
  return 0;
}
