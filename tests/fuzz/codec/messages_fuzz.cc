// SPDX-License-Identifier: Apache-2.0
// The decoders of messages: the first byte chooses one, the rest is its input. What decodes must encode, and
// decode to the same again.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "proto/base/assert.h"
#include "proto/codec/batch.h"
#include "proto/codec/messages.h"

namespace {

using namespace godwit;
using namespace godwit::codec;

std::array<std::uint8_t, 2048> encoded;

Bytes first(std::expected<std::size_t, Status> size) { return Bytes(encoded).first(size.value()); }

void try_ack(Bytes in) {
  const auto ack = decode_ack(in);
  if (!ack) return;
  const auto again = decode_ack(first(encode(*ack, encoded)));
  GODWIT_ASSERT(again && again->try_id == ack->try_id && again->next_seq == ack->next_seq);
  GODWIT_ASSERT(again->rewind == ack->rewind && again->send_hello == ack->send_hello);
  GODWIT_ASSERT(again->marks_before == ack->marks_before);
}

void try_batch(Bytes in) {
  const auto batch = decode_batch(in);
  if (!batch || batch->samples.size() > encoded.size() - kBatchHeaderMax) return;
  const auto again = decode_batch(first(encode(*batch, encoded)));
  GODWIT_ASSERT(again && again->table == batch->table && again->quality == batch->quality);
  GODWIT_ASSERT(again->time == batch->time && again->boot == batch->boot && again->rows == batch->rows);
  GODWIT_ASSERT(std::ranges::equal(again->samples, batch->samples));
}

void try_record(Bytes in) {
  const auto record = decode_record(in);
  if (!record) return;
  const int entries =
      static_cast<int>(record->batch.has_value()) + static_cast<int>(record->loss.has_value()) +
      static_cast<int>(record->mark.has_value()) + static_cast<int>(record->refused.has_value());
  GODWIT_ASSERT(entries == 1);
  if (record->batch) try_batch(*record->batch);
  if (record->batch && record->batch->size() > encoded.size() - kRecordPrefixMax) return;
  const auto again = decode_record(first(encode(*record, encoded)));
  GODWIT_ASSERT(again && again->try_id == record->try_id && again->seq == record->seq);
  GODWIT_ASSERT(again->loss == record->loss && again->mark == record->mark &&
                again->refused == record->refused);
  GODWIT_ASSERT(!record->batch || (again->batch && std::ranges::equal(*again->batch, *record->batch)));
}

class CountTables : public TableVisitor {
 public:
  void table(std::uint32_t, const ChannelTable&) override { ++count; }
  int count = 0;
};

class EncodeTables : public TableVisitor {
 public:
  void table(std::uint32_t, const ChannelTable& table) override {
    const Hello hello{.try_id = {1}, .oldest_seq = {1}, .next_seq = {1}};
    const std::array tables{announced(table)};
    CountTables visitor;
    GODWIT_ASSERT(decode_hello(first(encode(hello, tables, encoded)), visitor) && visitor.count == 1);
  }
};

void try_hello(Bytes in) {
  EncodeTables visitor;
  const auto hello = decode_hello(in, visitor);
  if (!hello) return;
  const auto again = decode_hello(first(encode(*hello, {}, encoded)), visitor);
  GODWIT_ASSERT(again && again->try_id == hello->try_id && again->next_seq == hello->next_seq);
  GODWIT_ASSERT(again->oldest_seq == hello->oldest_seq && again->epoch == hello->epoch);
  GODWIT_ASSERT(again->marks_before == hello->marks_before && again->more_marks == hello->more_marks);
  GODWIT_ASSERT(std::ranges::equal(again->named_marks(), hello->named_marks()));
  GODWIT_ASSERT(again->log_state == hello->log_state && again->bad_sectors == hello->bad_sectors);
  GODWIT_ASSERT(again->firmware == hello->firmware && again->board == hello->board);
  GODWIT_ASSERT(again->boot_time == hello->boot_time && again->reset_reason == hello->reset_reason);
  GODWIT_ASSERT(again->health == hello->health && again->crash == hello->crash);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  constexpr std::array<void (*)(Bytes), 4> kDecoders{try_ack, try_hello, try_record, try_batch};
  kDecoders[data[0] % kDecoders.size()](Bytes(data + 1, size - 1));
  return 0;
}
