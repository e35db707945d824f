// SPDX-License-Identifier: Apache-2.0
#include "gateway/domain/intake.h"

#include <algorithm>
#include <utility>

namespace godwit::gateway {
namespace {

// What a device may take of what is free: 1 / kShare.
constexpr std::size_t kShare = 16;
std::size_t share_of(std::size_t limit, std::size_t used) {
  return used < limit ? (limit - used) / kShare : 0;
}

// What a device may use of its day while the disk is low: 1 / kLowShare.
constexpr std::uint64_t kLowShare = 10;

}  // namespace

bool Intake::push(Message message) {
  const std::int64_t day = message.received.at.time_since_epoch() / kDay;
  Queue* const queue = queue_of(message.device, day);
  const bool fits = messages_ < limits_.messages && bytes_ + cost(message) <= limits_.bytes;
  if (queue == nullptr || !fits) return drop(message);
  if (queue->day != day) {
    queue->day = day;
    queue->day_bytes = 0;
  }
  if (message.leaf == topics::Leaf::kGone) {
    if (queue->tail != kNone && slots_[queue->tail].message.leaf == topics::Leaf::kGone) {
      Message& earlier = slots_[queue->tail].message;
      const std::size_t more = cost(message) - cost(earlier);  // or less: modulo 2^64, as the sums
      queue->bytes += more;
      bytes_ += more;
      earlier = std::move(message);
      return true;
    }
  } else if (const ThrottleReason reason = why_not(*queue, message); reason != ThrottleReason::kUnspecified) {
    throttle(*queue, message, reason);
    return drop(message);
  }
  append(*queue, std::move(message));
  return true;
}

ThrottleReason Intake::why_not(const Queue& queue, const Message& message) const {
  const std::size_t share = message.leaf == topics::Leaf::kLive ? 2 : 1;
  const std::size_t messages = std::clamp(share_of(limits_.shared_messages, messages_),
                                          limits_.window_messages, limits_.device_messages);
  const std::size_t bytes =
      std::clamp(share_of(limits_.shared_bytes, bytes_), limits_.window_bytes, limits_.device_bytes);
  const std::uint64_t day_bytes = limits_.day_bytes / (disk_low_ ? kLowShare : 1);
  if (owed(queue, message.received.at) > limits_.device_decoded_bytes / share) {
    return ThrottleReason::kQueueFull;
  }
  if (queue.messages >= messages / share || queue.bytes + cost(message) > bytes / share) {
    return ThrottleReason::kQueueFull;
  }
  if (queue.day_bytes + cost(message) > day_bytes) {
    return disk_low_ ? ThrottleReason::kDiskLow : ThrottleReason::kDayBudget;
  }
  return ThrottleReason::kUnspecified;
}

void Intake::charge(const Decoded& decoded, Instant now) {
  const auto known = queues_.find(decoded.device);
  if (known == queues_.end()) return;
  Queue& queue = known->second;
  queue.owed = owed(queue, now) + decoded.bytes;
  queue.owed_at = now;
  queue.day_bytes += decoded.bytes;
}

std::size_t Intake::owed(const Queue& queue, Instant now) const {
  // A second works off all that may be owed; longer than a day is as good as a day.
  const auto passed = static_cast<std::size_t>(std::clamp(now - queue.owed_at, Millis{0}, kDay).count());
  return queue.owed - std::min(queue.owed, limits_.device_decoded_bytes / 1000 * passed);
}

bool Intake::drop(const Message& message) {
  ++dropped_.messages;
  if (message.leaf == topics::Leaf::kLive) ++dropped_.live;
  return false;
}

void Intake::throttle(Queue& queue, const Message& message, ThrottleReason reason) {
  ++dropped_.throttled;
  ++queue.refused;
  if (queue.told && message.received.at - queue.told_at < kThrottledPause) return;
  queue.told = true;
  queue.told_at = message.received.at;
  // If nobody takes them for long, the newest counts for all: so there are at most as many as devices.
  const auto earlier = std::ranges::find(throttled_, queue.device, &Throttled::device);
  const std::uint64_t count = std::exchange(queue.refused, 0);
  if (earlier == throttled_.end()) {
    throttled_.push_back(
        {.device = queue.device, .received = message.received, .count = count, .reason = reason});
  } else {
    earlier->count += count;
    earlier->reason = reason;
  }
}

void Intake::append(Queue& queue, Message message) {
  const std::size_t size = cost(message);
  std::uint32_t slot = free_;
  if (slot != kNone) {
    free_ = slots_[slot].next;
    slots_[slot] = {.message = std::move(message), .next = kNone};
  } else {
    slot = static_cast<std::uint32_t>(slots_.size());
    slots_.push_back({.message = std::move(message), .next = kNone});
  }
  if (queue.tail == kNone) {
    queue.head = slot;
    turns_.push_back(&queue);
  } else {
    slots_[queue.tail].next = slot;
  }
  queue.tail = slot;
  ++queue.messages;
  ++messages_;
  queue.bytes += size;
  queue.day_bytes += size;
  bytes_ += size;
}

Message Intake::pop(Queue& queue) {
  const std::uint32_t slot = queue.head;
  queue.head = slots_[slot].next;
  if (queue.head == kNone) queue.tail = kNone;
  Message message = std::move(slots_[slot].message);
  slots_[slot].next = std::exchange(free_, slot);
  const std::size_t size = cost(message);
  --queue.messages;
  --messages_;
  queue.bytes -= size;
  bytes_ -= size;
  return message;
}

void Intake::take(std::vector<Message>& out, std::size_t messages_max, std::size_t bytes_max) {
  std::size_t bytes = 0;
  while (!turns_.empty()) {
    Queue& queue = *turns_.front();
    if (!std::exchange(in_turn_, true)) queue.deficit += kQuantum;
    while (queue.head != kNone && cost(slots_[queue.head].message) <= queue.deficit) {
      if (out.size() >= messages_max || bytes >= bytes_max) return;  // and go on here the next time
      const std::size_t size = cost(slots_[queue.head].message);
      queue.deficit -= size;
      bytes += size;
      out.push_back(pop(queue));
    }
    in_turn_ = false;
    turns_.pop_front();
    if (queue.head != kNone) {
      turns_.push_back(&queue);
    } else {
      queue.deficit = 0;
    }
  }
}

std::size_t Intake::waiting(const DeviceId& device) const {
  const auto known = queues_.find(device);
  return known == queues_.end() ? 0 : known->second.messages;
}

std::vector<Throttled> Intake::take_throttled() { return std::exchange(throttled_, {}); }

Intake::Queue* Intake::queue_of(const DeviceId& device, std::int64_t day) {
  const auto known = queues_.find(device);
  if (known != queues_.end()) return &known->second;
  if (queues_.size() >= limits_.devices && day != day_) {
    // Those of which nothing waits and that have not been heard today; not a second time today.
    day_ = day;
    std::erase_if(queues_,
                  [&](const auto& entry) { return entry.second.messages == 0 && entry.second.day < day; });
  }
  if (queues_.size() >= limits_.devices) return nullptr;
  return &queues_.emplace(device, Queue(device)).first->second;
}

}  // namespace godwit::gateway
