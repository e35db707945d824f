// SPDX-License-Identifier: Apache-2.0
#include "gateway/domain/inbox.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace godwit::gateway {

bool Inbox::push(Message message) {
  const bool live = message.leaf == topics::Leaf::kLive;
  const std::size_t share = live ? 2 : 1;
  const std::size_t size = message.payload.size();
  const std::lock_guard lock(mutex_);
  if (closed_ || messages_.size() >= options_.messages_max / share ||
      bytes_ + size > options_.bytes_max / share) {
    ++(live ? dropped_.live : dropped_.messages);
    return false;
  }
  messages_.push_back(std::move(message));
  bytes_ += size;
  if (wanted_ != 0 && messages_.size() >= wanted_) changed_.notify_one();
  return true;
}

void Inbox::take(std::vector<Message>& out, TakeOptions options) {
  out.clear();
  std::unique_lock lock(mutex_);
  const auto wait_for = [&](std::size_t count, std::chrono::milliseconds timeout) {
    wanted_ = count;
    changed_.wait_for(lock, timeout,
                      [&] { return messages_.size() >= count || session_started_ || closed_; });
    wanted_ = 0;
  };
  wait_for(1, options.idle);
  if (!messages_.empty()) wait_for(options.max, options.gather);

  const std::size_t count = std::min(messages_.size(), options.max);
  const auto end = messages_.begin() + static_cast<std::ptrdiff_t>(count);
  out.assign(std::make_move_iterator(messages_.begin()), std::make_move_iterator(end));
  messages_.erase(messages_.begin(), end);
  for (const Message& message : out) bytes_ -= message.payload.size();
}

void Inbox::session_started() {
  const std::lock_guard lock(mutex_);
  session_started_ = true;
  changed_.notify_one();
}

bool Inbox::take_session_started() {
  const std::lock_guard lock(mutex_);
  return std::exchange(session_started_, false);
}

void Inbox::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_one();
}

bool Inbox::finished() const {
  const std::lock_guard lock(mutex_);
  return closed_ && messages_.empty();
}

Inbox::Dropped Inbox::dropped() const {
  const std::lock_guard lock(mutex_);
  return dropped_;
}

}  // namespace godwit::gateway
