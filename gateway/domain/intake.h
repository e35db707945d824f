// SPDX-License-Identifier: Apache-2.0
// What waits for the writer, and who may let how much of it wait: a queue for each device, served in turn, so
// that a device that sends without measure holds up itself and nobody else. Pure: no lock, no clock; time is
// that of the messages. Not thread-safe.
//
//   - A message counts as its payload and kMessageCost bytes: about what it takes in memory, and what its row
//     takes on the disk besides.
//   - Deficit round robin (Shreedhar, Varghese 1995): each device in turn may hand over kQuantum bytes, and
//     saves what its next message did not fit into. So before a message of at most kQuantum that finds its
//     queue empty is served, any other device is served at most once: kQuantum bytes and one message.
//   - What an honest device has waiting, paced by its acknowledgements, is its window, and there is room for
//     the windows of 10,000 devices at once, whatever else waits. Beyond its window a device may have so many
//     messages and bytes waiting (Limits), and no more than a sixteenth of what is free of the part that all
//     share. The newest is dropped beyond: it was not acknowledged, so the device sends it again. Live
//     samples, which nobody sends again, give way at half of each.
//   - What batches decode to in the feed, beyond what their messages counted as, shows only once their tables
//     are known, so it is charged afterwards: a device owes it, and works off Limits::device_decoded_bytes a
//     second. While it owes more than that, it is refused more; live samples from half of it.
//   - A device may hand in so many bytes a day (of 24 h, from 0 of the monotonic clock), and a tenth of it
//     while the disk is low. What was handed in is forgotten with the process.
//   - A will is not refused for its device's limits, as the broker sends it once; of two in a row the first
//     goes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gateway/domain/message.h"

namespace godwit::gateway {

// A device was refused something: at most one in kThrottledPause for each device.
struct Throttled {
  DeviceId device;
  Received received;                                     // of the first message refused
  std::uint64_t count = 0;                               // refused since the last one of these
  ThrottleReason reason = ThrottleReason::kUnspecified;  // of the newest
};

// What batches of a device decode to beyond what their messages counted as.
struct Decoded {
  DeviceId device;
  std::size_t bytes = 0;
};

class Intake {
 public:
  struct Limits {
    // Of one device.
    std::size_t device_messages = 256;
    std::size_t device_bytes = 256U << 10U;
    std::uint64_t day_bytes = 256U << 20U;
    // 250 records a second of 64 rows by 8 channels that never change.
    std::size_t device_decoded_bytes = 1U << 20U;
    // The window: 16 records that wait for acks, of 512 bytes at most in our firmware, a hello, live samples.
    std::size_t window_messages = 24;
    std::size_t window_bytes = 24U << 10U;
    // Of all: while less waits, a device may have more than its window waiting.
    std::size_t shared_messages = 20'000;
    std::size_t shared_bytes = 64U << 20U;
    // Of all, ever: 10,000 windows. Small records fill a fifth of the bytes.
    std::size_t messages = 240'000;
    std::size_t bytes = 240U << 20U;
    std::size_t devices = 101'000;  // heard of in a day; messages of others are dropped
  };
  struct Dropped {
    std::uint64_t messages = 0;  // of which `live` were live samples
    std::uint64_t live = 0;
    std::uint64_t throttled = 0;  // of `messages`: for a limit of the device
  };

  static constexpr std::size_t kMessageCost = 128;
  static constexpr std::size_t kQuantum = 4096;
  static constexpr Millis kThrottledPause{60'000};
  static constexpr Millis kDay{24 * 60 * 60 * 1000};

  explicit Intake(const Limits& limits) : limits_(limits) {}
  Intake(const Intake&) = delete;
  Intake& operator=(const Intake&) = delete;

  // False if the message was dropped. Times do not go backwards.
  bool push(Message message);
  // Appends the next messages to `out`: no more than `messages_max`, and none after `bytes_max` are reached.
  void take(std::vector<Message>& out, std::size_t messages_max, std::size_t bytes_max);
  // Since the last call.
  [[nodiscard]] std::vector<Throttled> take_throttled();

  // Counts against the device's day too. One that is not known is not charged.
  void charge(const Decoded& decoded, Instant now);

  void set_disk_low(bool low) { disk_low_ = low; }

  // The broker session has (re)started: devices may have come or gone unseen. The second is true once for
  // each time.
  void session_started() { session_started_ = true; }
  [[nodiscard]] bool take_session_started() { return std::exchange(session_started_, false); }

  [[nodiscard]] std::size_t messages() const { return messages_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  // Of this device.
  [[nodiscard]] std::size_t waiting(const DeviceId& device) const;
  // There is something to do for who takes.
  [[nodiscard]] bool urgent() const { return session_started_; }
  [[nodiscard]] const Dropped& dropped() const { return dropped_; }

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;
  struct Slot {
    Message message;
    std::uint32_t next;
  };
  struct Queue {
    explicit Queue(const DeviceId& id) : device(id) {}
    DeviceId device;
    std::uint32_t head = kNone;  // in slots_
    std::uint32_t tail = kNone;
    std::size_t messages = 0;
    std::size_t bytes = 0;
    std::size_t deficit = 0;
    std::int64_t day = 0;
    std::uint64_t day_bytes = 0;
    std::size_t owed = 0;  // at `owed_at`
    Instant owed_at;
    std::uint64_t refused = 0;  // since the last Throttled
    bool told = false;          // of being throttled, at `told_at`
    Instant told_at;
  };
  struct IdHash {
    std::size_t operator()(const DeviceId& id) const { return std::hash<std::string_view>{}(id.view()); }
  };

  static std::size_t cost(const Message& message) { return message.payload.size() + kMessageCost; }
  Queue* queue_of(const DeviceId& device, std::int64_t day);
  [[nodiscard]] std::size_t owed(const Queue& queue, Instant now) const;
  // kUnspecified: it may come in.
  [[nodiscard]] ThrottleReason why_not(const Queue& queue, const Message& message) const;
  bool drop(const Message& message);
  void throttle(Queue& queue, const Message& message, ThrottleReason reason);
  void append(Queue& queue, Message message);
  Message pop(Queue& queue);

  const Limits limits_;
  std::unordered_map<DeviceId, Queue, IdHash> queues_;  // looked up, never walked in an order that shows
  std::deque<Queue*> turns_;                            // those with messages
  bool in_turn_ = false;                                // the front one has been given its quantum
  std::vector<Slot> slots_;
  std::uint32_t free_ = kNone;  // first of the unused slots
  std::size_t messages_ = 0;
  std::size_t bytes_ = 0;
  std::int64_t day_ = 0;
  bool disk_low_ = false;
  bool session_started_ = false;
  std::vector<Throttled> throttled_;
  Dropped dropped_;
};

}  // namespace godwit::gateway
