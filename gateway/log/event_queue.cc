// SPDX-License-Identifier: Apache-2.0
#include "gateway/log/event_queue.h"

#include <iterator>
#include <utility>

namespace godwit::gateway {
namespace {

std::size_t size_of(const Event& event) {
  return sizeof(Event) + heap_bytes(event.device) + heap_bytes(event.batch) + heap_bytes(event.hello);
}

}  // namespace

void EventQueue::push(std::span<const Event> events) {
  if (events.empty()) return;
  if (!wanted_) {
    skip_through(events.back());
    return;
  }
  for (const Event& event : events) {
    if (bytes_ + size_of(event) > bytes_max_) {
      skip_through(events.back());
      return;
    }
    bytes_ += size_of(event);
    events_.push_back(event);
  }
}

EventQueue::Batch EventQueue::take() {
  Batch batch{.skipped_through = skipped_through_, .events = {}};
  taken_skip_ = skipped_through_;
  std::size_t bytes = 0;
  while (!events_.empty() && batch.events.size() < kTakenEventsMax && bytes < kTakenBytesMax) {
    bytes += size_of(events_.front());
    batch.events.push_back(std::move(events_.front()));
    events_.pop_front();
  }
  bytes_ -= bytes;
  return batch;
}

void EventQueue::put_back(std::span<Event> events) {
  if (events.empty() || events.back().offset <= skipped_through_.offset) return;
  for (const Event& event : events) bytes_ += size_of(event);
  events_.insert(events_.begin(), std::make_move_iterator(events.begin()),
                 std::make_move_iterator(events.end()));
}

void EventQueue::skip_through(const Event& last) {
  events_.clear();
  bytes_ = 0;
  skipped_through_ = {last.offset, last.term};
}

LivePiece encode_live(EventQueue::Batch& batch, const BatchContext& context) {
  LivePiece piece{.skipped_through = batch.skipped_through, .blocks = {}};
  if (batch.events.empty()) return piece;
  LogPage page;
  page.through = {batch.events.back().offset, batch.events.back().term};
  page.events = std::exchange(batch.events, {});
  try {
    Encoded encoded = encode({page.events.front().offset.value - 1}, page, context, kBlockTextMax);
    piece.blocks = std::move(encoded.blocks);
    const auto rest = page.events.begin() + static_cast<std::ptrdiff_t>(encoded.events);
    batch.events.assign(std::make_move_iterator(rest), std::make_move_iterator(page.events.end()));
  } catch (const StoreError&) {
    piece.skipped_through = page.through;
  }
  return piece;
}

}  // namespace godwit::gateway
