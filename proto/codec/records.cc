// SPDX-License-Identifier: Apache-2.0
// Record and Ack, by hand: a device encodes and decodes one of them for each thing that it records.
#include <array>

#include "proto/codec/messages.h"
#include "proto/codec/wire.h"

namespace godwit::codec {
namespace {

// Field numbers of the schema.
namespace record_field {
constexpr std::uint32_t kTryId = 1, kSeq = 2, kBatch = 3, kLoss = 4, kMark = 5, kRefused = 6;
}
namespace ack_field {
constexpr std::uint32_t kTryId = 1, kNextSeq = 2, kRewind = 3, kSendHello = 4, kMarksBefore = 5;
}
namespace count_field {
constexpr std::uint32_t kCount = 1, kReason = 2;
}

std::unexpected<Status> malformed() { return std::unexpected(Status::kMalformed); }

// Loss and Refused look the same on the wire.
template <typename Counted>
void put_counted(WireWriter& out, std::uint32_t field, const Counted& counted) {
  std::array<std::uint8_t, 16> buffer{};  // 11 bytes of count, 2 of reason
  WireWriter inner(buffer);
  inner.varint(count_field::kCount, counted.count);
  inner.varint(count_field::kReason, static_cast<std::uint64_t>(counted.reason));
  out.bytes(field, Bytes(buffer).first(inner.finish().value_or(0)));
}

// A reason above `last` is one of a newer firmware. Refused, it would hold up its stream for ever.
template <typename Counted, typename Reason>
bool take_counted(Bytes in, Reason last, Counted& counted) {
  WireReader reader(in);
  std::uint64_t reason = 0;
  counted.count = 0;
  while (reader.next()) {
    if (reader.field() == count_field::kCount) counted.count = reader.varint();
    if (reader.field() == count_field::kReason) reason = reader.varint();
  }
  counted.reason =
      reason <= static_cast<std::uint64_t>(last) ? static_cast<Reason>(reason) : Reason::kUnspecified;
  return reader.ok() && counted.count != 0;
}

bool take_entry(WireReader& reader, Record& record) {
  switch (reader.field()) {
    case record_field::kBatch:
      record.batch = reader.bytes();
      return reader.ok();
    case record_field::kLoss:
      return take_counted(reader.bytes(), LossReason::kNotHeld, record.loss.emplace());
    case record_field::kMark:
      record.mark = Epoch{reader.fixed64()};
      return *record.mark != Epoch{};
    default:
      return take_counted(reader.bytes(), RefusedReason::kFlash, record.refused.emplace());
  }
}

}  // namespace

std::expected<std::size_t, Status> encode(const Record& record, MutableBytes out) {
  WireWriter writer(out);
  writer.fixed32(record_field::kTryId, record.try_id.value);
  writer.varint(record_field::kSeq, record.seq.value);
  if (record.batch) writer.bytes(record_field::kBatch, *record.batch);
  if (record.loss) put_counted(writer, record_field::kLoss, *record.loss);
  if (record.mark) writer.fixed64(record_field::kMark, record.mark->value);
  if (record.refused) put_counted(writer, record_field::kRefused, *record.refused);
  return writer.finish();
}

std::expected<std::size_t, Status> encode_record_prefix(Try try_id, Seq seq, std::size_t batch_size,
                                                        MutableBytes out) {
  WireWriter writer(out);
  writer.fixed32(record_field::kTryId, try_id.value);
  writer.varint(record_field::kSeq, seq.value);
  writer.bytes_head(record_field::kBatch, batch_size);
  return writer.finish();
}

std::expected<std::size_t, Status> encode(const Ack& ack, MutableBytes out) {
  WireWriter writer(out);
  writer.fixed32(ack_field::kTryId, ack.try_id.value);
  writer.varint(ack_field::kNextSeq, ack.next_seq.value);
  writer.varint(ack_field::kRewind, ack.rewind ? 1 : 0);
  writer.varint(ack_field::kSendHello, ack.send_hello ? 1 : 0);
  writer.varint(ack_field::kMarksBefore, ack.marks_before.value);
  return writer.finish();
}

std::expected<Record, Status> decode_record(Bytes in) {
  Record record;
  WireReader reader(in);
  int entries = 0;
  while (reader.next()) {
    if (reader.field() == record_field::kTryId) {
      record.try_id = {reader.fixed32()};
    } else if (reader.field() == record_field::kSeq) {
      record.seq = {reader.varint()};
    } else if (reader.field() <= record_field::kRefused) {
      ++entries;
      if (!take_entry(reader, record)) return malformed();
    }
  }
  if (!reader.ok() || entries != 1 || record.try_id == Try{} || record.seq < kFirstSeq) return malformed();
  if (record.loss && record.loss->count > UINT64_MAX - record.seq.value) return malformed();
  return record;
}

std::expected<Ack, Status> decode_ack(Bytes in) {
  Ack ack{.next_seq = {}};
  WireReader reader(in);
  while (reader.next()) {
    switch (reader.field()) {
      case ack_field::kTryId:
        ack.try_id = {reader.fixed32()};
        break;
      case ack_field::kNextSeq:
        ack.next_seq = {reader.varint()};
        break;
      case ack_field::kRewind:
        ack.rewind = reader.varint() != 0;
        break;
      case ack_field::kSendHello:
        ack.send_hello = reader.varint() != 0;
        break;
      case ack_field::kMarksBefore:
        ack.marks_before = {reader.varint()};
        break;
      default:
        break;
    }
  }
  if (!reader.ok() || ack.next_seq < kFirstSeq || (ack.try_id == Try{} && !ack.send_hello))
    return malformed();
  return ack;
}

}  // namespace godwit::codec
