// SPDX-License-Identifier: Apache-2.0
#include "gateway/log/block.h"

#include "gateway/domain/event_json.h"

namespace godwit::gateway {
namespace {

constexpr std::string_view kFrameEnd = "\n\n";

class Encoder {
 public:
  Encoder(LogOffset after, const std::optional<LogGap>& gap) { begin(after, gap); }

  void add(const Event& event, const BatchContext& context) {
    const std::size_t begin = block_->text.size();
    const std::uint32_t json = append(event, context);
    if (begin > 0 && block_->text.size() > kBlockTextMax) {  // it belongs into the next one
      std::string frame = block_->text.substr(begin);
      block_->text.resize(begin);
      finish(block_->entries.back().id);
      this->begin(block_->through.offset, std::nullopt);
      block_->text = std::move(frame);
      note(event, 0, json - static_cast<std::uint32_t>(begin));
    } else {
      note(event, static_cast<std::uint32_t>(begin), json);
    }
  }
  [[nodiscard]] std::size_t text_size() const { return finished_size_ + block_->text.size(); }

  std::vector<BlockPtr> take(LogId through) {
    finish(through);
    return std::move(blocks_);
  }

 private:
  void begin(LogOffset after, const std::optional<LogGap>& gap) {
    block_ = std::make_shared<Block>();
    block_->after = after;
    block_->gap = gap;
  }
  // Returns where the JSON begins.
  std::uint32_t append(const Event& event, const BatchContext& context) {
    std::string& text = block_->text;
    text += "id: ";
    append_log_id(text, {event.offset, event.term});
    text += "\nevent: ";
    text += type_name(event.type);
    text += "\ndata: ";
    const auto json = static_cast<std::uint32_t>(text.size());
    append_json(text, event, context);
    text += kFrameEnd;
    return json;
  }
  void note(const Event& event, std::uint32_t begin, std::uint32_t json) {
    block_->entries.push_back({.id = {event.offset, event.term},
                               .type = event.type,
                               .device = event.device,
                               .begin = begin,
                               .json = json,
                               .end = static_cast<std::uint32_t>(block_->text.size())});
  }
  void finish(LogId through) {
    block_->through = through;
    block_->text.shrink_to_fit();
    block_->entries.shrink_to_fit();
    finished_size_ += block_->text.size();
    blocks_.push_back(block_);
  }

  std::shared_ptr<Block> block_;
  std::vector<BlockPtr> blocks_;
  std::size_t finished_size_ = 0;
};

}  // namespace

std::string_view Block::json(const Entry& entry) const {
  return std::string_view(text).substr(entry.json, entry.end - kFrameEnd.size() - entry.json);
}

std::size_t Block::size_bytes() const {
  constexpr std::size_t kNode = 128;  // the shared block's count, and its places in a map and a list
  std::size_t size = sizeof(Block) + kNode + text.capacity() + entries.capacity() * sizeof(Entry);
  for (const Entry& entry : entries) size += heap_bytes(entry.device);
  return size;
}

void append_frame(std::string& out, const LogGap& gap) {
  out += "id: ";
  append_log_id(out, gap.next);
  out += "\nevent: gap\ndata: ";
  append_json(out, gap);
  out += kFrameEnd;
}

Encoded encode(LogOffset after, const LogPage& page, const BatchContext& context, std::size_t text_max) {
  Encoder encoder(after, page.gap);
  Encoded encoded;
  while (encoded.events < page.events.size()) {
    if (encoded.events > 0 && encoder.text_size() >= text_max) break;
    encoder.add(page.events[encoded.events++], context);
  }
  LogId through = page.through;
  if (encoded.events < page.events.size()) {
    const Event& last = page.events[encoded.events - 1];
    through = {last.offset, last.term};
  }
  encoded.blocks = encoder.take(through);
  return encoded;
}

bool reads_unfiltered(const LogReader::Filter& filter) {
  return filter.device.empty() && LogReader::passes(filter, EventType::kTelemetry, "");
}

}  // namespace godwit::gateway
