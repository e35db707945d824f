// SPDX-License-Identifier: Apache-2.0
// The bounded queue between the MQTT callback, which must never wait, and the writer thread. Full: the newest
// message is dropped and counted. A dropped record is not acknowledged, so its device sends it again; live
// samples, which nobody sends again, give way first: they are refused from half full on. Safe from any
// thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "gateway/domain/event.h"
#include "proto/base/ids.h"
#include "proto/topics/topics.h"

namespace godwit::gateway {

// What a device has published.
struct Message {
  DeviceId device;
  topics::Leaf leaf;
  Received received;
  std::string payload;
};

class Inbox {
 public:
  struct Options {
    std::size_t messages_max = 20'000;
    std::size_t bytes_max = 64U << 20U;  // payloads held
  };
  struct Dropped {
    std::uint64_t messages = 0;
    std::uint64_t live = 0;
  };

  explicit Inbox(Options options) : options_(options) {}

  // Never waits. Returns false if the message was dropped.
  bool push(Message message);

  // Waits up to `idle` for a first message, then up to `gather` for more, at most `max`, and replaces `out`
  // with them. After close() it does not wait any more.
  struct TakeOptions {
    std::chrono::milliseconds idle{1000};
    std::chrono::milliseconds gather{5};
    std::size_t max = 2000;
  };
  void take(std::vector<Message>& out, TakeOptions options);

  // The broker session has (re)started: devices may have come or gone unseen. take() callers ask with
  // take_session_started(), which is true once for each time.
  void session_started();
  [[nodiscard]] bool take_session_started();

  // No more messages are accepted; what is held can still be taken.
  void close();
  // Closed and empty.
  [[nodiscard]] bool finished() const;
  [[nodiscard]] Dropped dropped() const;

 private:
  const Options options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Message> messages_;
  std::size_t bytes_ = 0;
  std::size_t wanted_ = 0;  // the taker sleeps until so many are held; 0: nobody sleeps
  bool session_started_ = false;
  bool closed_ = false;
  Dropped dropped_;
};

}  // namespace godwit::gateway
