// SPDX-License-Identifier: Apache-2.0
// The messages that are encoded by hand, held against nanopb's encoding of the schema.
#include <gtest/gtest.h>
#include <pb_decode.h>
#include <pb_encode.h>

#include <array>
#include <initializer_list>
#include <optional>
#include <vector>

#include "godwit.pb.h"

#include "proto/codec/messages.h"
#include "tests/unit/proto/codec/vectors.h"

namespace godwit::codec {
namespace {

using Buffer = std::vector<std::uint8_t>;
constexpr std::initializer_list<std::uint64_t> kNumbers{0,      1,          127,        128,       16'383,
                                                        16'384, 0xFFFFFFFF, 1ULL << 32, UINT64_MAX};

Buffer by_nanopb(const pb_msgdesc_t* fields, const void* message) {
  Buffer out(128);
  pb_ostream_t stream = pb_ostream_from_buffer(out.data(), out.size());
  EXPECT_TRUE(pb_encode(&stream, fields, message));
  out.resize(stream.bytes_written);
  return out;
}

template <typename Message>
Buffer by_hand(const Message& message) {
  Buffer out(128);
  out.resize(encode(message, out).value_or(0));
  return out;
}

TEST(MessagesByHand, EncodeAnAckAsNanopbDoes) {
  for (const std::uint64_t number : kNumbers) {
    for (const unsigned flags : {0U, 1U, 2U, 3U}) {
      const auto try_id = static_cast<std::uint32_t>(number);
      const bool rewind = (flags & 1U) != 0;
      const bool send_hello = (flags & 2U) != 0;
      const godwit_v1_Ack expected{try_id, number, rewind, send_hello, ~number};
      EXPECT_EQ(by_hand(Ack{{try_id}, {number}, rewind, send_hello, {~number}}),
                by_nanopb(godwit_v1_Ack_fields, &expected));
    }
  }
}

TEST(MessagesByHand, EncodeARecordOfEachKindAsNanopbDoes) {
  for (const std::uint64_t number : kNumbers) {
    godwit_v1_Record expected{};
    expected.try_id = 7;
    expected.seq = number;
    Record record{.try_id = {7}, .seq = {number}};

    expected.which_entry = godwit_v1_Record_loss_tag;
    expected.entry.loss = {number, godwit_v1_LossReason_LOSS_REASON_CORRUPT};
    record.loss = Loss{number, LossReason::kCorrupt};
    EXPECT_EQ(by_hand(record), by_nanopb(godwit_v1_Record_fields, &expected));
    record.loss.reset();

    expected.which_entry = godwit_v1_Record_refused_tag;
    expected.entry.refused = {number, godwit_v1_RefusedReason_REFUSED_REASON_FLASH};
    record.refused = Refused{number, RefusedReason::kFlash};
    EXPECT_EQ(by_hand(record), by_nanopb(godwit_v1_Record_fields, &expected));
    record.refused.reset();

    expected.which_entry = godwit_v1_Record_mark_tag;
    expected.entry.mark = number;
    record.mark = Epoch{number};
    EXPECT_EQ(by_hand(record), by_nanopb(godwit_v1_Record_fields, &expected));
  }
}

std::optional<Ack> ack_by_nanopb(const Buffer& bytes) {
  pb_istream_t stream = pb_istream_from_buffer(bytes.data(), bytes.size());
  godwit_v1_Ack message{};
  if (!pb_decode(&stream, godwit_v1_Ack_fields, &message)) return std::nullopt;
  if (message.next_seq == 0 || (message.try_id == 0 && !message.send_hello)) return std::nullopt;
  return Ack{
      {message.try_id}, {message.next_seq}, message.rewind, message.send_hello, {message.marks_before}};
}

void expect_same_ack(const Buffer& bytes, const std::string& what) {
  const auto ours = decode_ack(bytes);
  const auto theirs = ack_by_nanopb(bytes);
  ASSERT_EQ(ours.has_value(), theirs.has_value()) << what;
  if (!ours) return;
  EXPECT_EQ(ours->try_id, theirs->try_id) << what;
  EXPECT_EQ(ours->next_seq, theirs->next_seq) << what;
  EXPECT_EQ(ours->rewind, theirs->rewind) << what;
  EXPECT_EQ(ours->send_hello, theirs->send_hello) << what;
  EXPECT_EQ(ours->marks_before, theirs->marks_before) << what;
}

TEST(MessagesByHand, TakeAnAckAsNanopbDoesWhateverIsChangedInIt) {
  for (const std::string name : {"v1/ack", "v1/ack_plain", "v1/ack_ask", "newer/ack"}) {
    const Buffer whole = vector_of(name);
    for (std::size_t size = 0; size <= whole.size(); ++size) {
      expect_same_ack({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)},
                      name + " cut at " + std::to_string(size));
    }
    for (std::size_t at = 0; at < whole.size(); ++at) {
      for (unsigned value = 0; value < 256; ++value) {
        Buffer changed = whole;
        changed[at] = static_cast<std::uint8_t>(value);
        expect_same_ack(changed, name + " byte " + std::to_string(at) + " is " + std::to_string(value));
      }
    }
  }
}

}  // namespace
}  // namespace godwit::codec
