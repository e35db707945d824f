// SPDX-License-Identifier: Apache-2.0
// Between our structs and nanopb: text and bytes as callback fields, borrowed in both directions. For the
// codecs of this folder only.
#pragma once

#include <pb_decode.h>
#include <pb_encode.h>

#include <cstring>
#include <expected>
#include <optional>
#include <string_view>

#include "proto/base/bytes.h"
#include "proto/base/status.h"

namespace godwit::codec {

// put_*: what nanopb calls to encode a callback field. take_*: what it calls to decode one.

inline bool put_text(pb_ostream_t* stream, const pb_field_t* field, void* const* arg) {
  const auto text = *static_cast<const std::string_view*>(*arg);
  if (text.empty()) return true;  // as proto3 has it
  return pb_encode_tag_for_field(stream, field) &&
         pb_encode_string(stream, reinterpret_cast<const pb_byte_t*>(text.data()), text.size());
}

using Put = bool(pb_ostream_t*, const pb_field_t*, void* const*);

// A callback field that `put` writes from `source`. nanopb's argument is not const, but only `put` sees it.
template <typename T>
pb_callback_t source_of(Put* put, const T& source) {
  pb_callback_t callback{};
  callback.funcs.encode = put;
  callback.arg = const_cast<T*>(&source);
  return callback;
}

inline std::expected<std::size_t, Status> encode_message(const pb_msgdesc_t* fields, const void* message,
                                                         MutableBytes out) {
  pb_ostream_t stream = pb_ostream_from_buffer(out.data(), out.size());
  if (!pb_encode(&stream, fields, message)) return std::unexpected(Status::kFull);
  return stream.bytes_written;
}

// An input stream whose state is the place of the next byte, so that a callback can borrow it. Sub-streams of
// nanopb share it; only the stream that it makes for a number in place of text has another callback.
inline bool read_input(pb_istream_t* stream, pb_byte_t* out, std::size_t size) {
  const auto* next = static_cast<const std::uint8_t*>(stream->state);
  if (size > 0) std::memcpy(out, next, size);
  stream->state = const_cast<std::uint8_t*>(next + size);
  return true;
}

inline pb_istream_t stream_of(Bytes in) {
  pb_istream_t stream{};
  stream.callback = read_input;
  stream.state = const_cast<std::uint8_t*>(in.data());
  stream.bytes_left = in.size();
  return stream;
}

// What is left of the stream, without taking it. nullopt: not bytes of the input.
inline std::optional<Bytes> rest_of(const pb_istream_t& stream) {
  if (stream.callback != read_input) return std::nullopt;
  return Bytes{static_cast<const std::uint8_t*>(stream.state), stream.bytes_left};
}

inline bool take_bytes(pb_istream_t* stream, const pb_field_t* /*field*/, void** arg) {
  const auto rest = rest_of(*stream);
  if (!rest) return false;
  *static_cast<std::optional<Bytes>*>(*arg) = rest;
  return pb_read(stream, nullptr, rest->size());
}

inline bool take_text(pb_istream_t* stream, const pb_field_t* /*field*/, void** arg) {
  const auto rest = rest_of(*stream);
  if (!rest) return false;
  *static_cast<std::string_view*>(*arg) = as_text(*rest);
  return pb_read(stream, nullptr, rest->size());
}

using Take = bool(pb_istream_t*, const pb_field_t*, void**);

template <typename T>
pb_callback_t sink_to(Take* take, T& sink) {
  pb_callback_t callback{};
  callback.funcs.decode = take;
  callback.arg = &sink;
  return callback;
}

}  // namespace godwit::codec
