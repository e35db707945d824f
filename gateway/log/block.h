// SPDX-License-Identifier: Apache-2.0
// Events, encoded: the one form in which they reach every follower. A block is made once, never changed, and
// shared by all who send it. Values; safe from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/domain/event.h"
#include "gateway/domain/log_id.h"
#include "gateway/domain/reader.h"

namespace godwit::gateway {

// A block ends before the event that would make its text longer than this. A single one may be longer: at
// most kEventJsonMax, or the base64 of its batch.
inline constexpr std::size_t kBlockTextMax = std::size_t{64} * 1024;

// The log's events after `after` up to `through`, or of a private page those that pass a filter.
struct Block {
  struct Entry {
    LogId id;
    EventType type;
    std::string device;
    std::uint32_t begin;  // of the event's frame in `text`
    std::uint32_t json;   // where its JSON begins
    std::uint32_t end;
  };

  LogOffset after;
  LogId through;
  std::optional<LogGap> gap;   // in front of the entries
  std::string text;            // frames of text/event-stream, since most followers send that
  std::vector<Entry> entries;  // ascending

  [[nodiscard]] std::string_view frame(const Entry& entry) const {
    return std::string_view(text).substr(entry.begin, entry.end - entry.begin);
  }
  // One JSON object: for WebSocket, webhooks, exports.
  [[nodiscard]] std::string_view json(const Entry& entry) const;
  // What it takes of memory, about.
  [[nodiscard]] std::size_t size_bytes() const;
};
using BlockPtr = std::shared_ptr<const Block>;

// What a string takes outside itself, about: libstdc++ keeps up to 15 characters inside; the allocator has a
// header.
[[nodiscard]] constexpr std::size_t heap_bytes(std::string_view text) {
  return text.size() <= 15 ? 0 : text.size() + 1 + 16;
}

// A gap as a frame, with the id to go on from.
void append_frame(std::string& out, const LogGap& gap);

struct Encoded {
  std::vector<BlockPtr> blocks;  // one after the other; never empty
  std::size_t events = 0;        // how many of those given are in there
};
// Encodes events of `page` until all text is `text_max` or longer, at least one. If all are, the last block
// reaches to page.through. Throws StoreError out of `context`.
[[nodiscard]] Encoded encode(LogOffset after, const LogPage& page, const BatchContext& context,
                             std::size_t text_max);

// Most events pass: such followers share what is read for any of them.
[[nodiscard]] bool reads_unfiltered(const LogReader::Filter& filter);

}  // namespace godwit::gateway
