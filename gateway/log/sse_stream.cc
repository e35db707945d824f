// SPDX-License-Identifier: Apache-2.0
#include "gateway/log/sse_stream.h"

#include <utility>

namespace godwit::gateway {

// As an id without an event: the client's Last-Event-ID from then on, though the filter may have let nothing
// through. A comment as long as the position is not known.
void SseStream::append_position() {
  const auto id = follower_.position();
  text_ = id ? "id: " + to_text(*id) + "\n" : ":\n";
}

SseStream::Next SseStream::next(std::size_t bytes_max, bool quiet) {
  using Step = Follower::Step::Kind;
  // A client that began with "now" and were cut off before its first event would otherwise begin again with
  // another "now", and miss what came between.
  if (!greeted_ && follower_.position()) {
    greeted_ = true;
    append_position();
    text_ += "retry: " + std::to_string(retry_.count()) + "\n\n";
    return write(text_);
  }
  step_ = follower_.next(bytes_max);
  const bool read = step_.kind == Step::kRead;
  switch (step_.kind) {
    case Step::kEvents:
      if (step_.slices.size() == 1) return write(step_.slices.front().text());  // as it is in the block
      text_.clear();
      for (const Slice& slice : step_.slices) text_ += slice.text();
      return write(text_);
    case Step::kGap:
      text_.clear();
      append_frame(text_, step_.gap);
      return write(text_);
    case Step::kAgain:
      return {.kind = Next::Kind::kAgain, .read = false, .text = {}};
    case Step::kFailed:
      return {.kind = Next::Kind::kEnd, .read = false, .text = {}};
    case Step::kRead:
    case Step::kWait:
      break;
  }
  if (!quiet) return {.kind = Next::Kind::kWait, .read = read, .text = {}};
  append_position();
  text_ += "\n";
  return {.kind = Next::Kind::kWrite, .read = read, .text = text_};
}

}  // namespace godwit::gateway
