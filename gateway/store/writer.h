// SPDX-License-Identifier: Apache-2.0
// The thread through which everything enters the log: takes what has gathered in the inbox, applies the
// ingest rules, commits, and only then lets acks and feed see it. When the database cannot be written (full
// disk), nothing is acknowledged or fed, and the same messages are tried again with back-off until there is
// room; meanwhile the inbox fills and drops, and devices keep what was not acknowledged.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <thread>
#include <vector>

#include "gateway/domain/inbox.h"
#include "gateway/domain/ingest.h"
#include "gateway/domain/log.h"
#include "gateway/store/store.h"

namespace godwit::gateway {

struct WriterStats {
  IngestCounters ingest;
  std::uint64_t commits = 0;         // transactions, one fsync each
  std::uint64_t failed_commits = 0;  // rolled back and tried again
  std::uint64_t events = 0;          // appended to the log
  bool writable = true;              // false while commits fail
};

class Writer {
 public:
  struct Options {
    IngestLimits limits;
    std::chrono::milliseconds gather{5};  // how long the first message waits for others; more: fewer fsyncs
    std::size_t batch_max = 2000;         // messages in one transaction
    std::chrono::milliseconds retry_min{100};
    std::chrono::milliseconds retry_max{5000};
    // Requests for hellos after a start: so many at a time, below what the MQTT client buffers.
    std::size_t asks_max = 200;
    Millis asks_pause{100};
  };
  // Called on the writer thread after the commit, acks first; they must not block or throw. Borrowed for the
  // call.
  struct Callbacks {
    std::function<void(std::span<const AckTo>)> acks;
    std::function<void(std::span<const Event>)> feed;  // in the order of the log
  };

  // `store` and `inbox` must outlive the writer. Throws StoreError when the database cannot be read.
  Writer(Store& store, Inbox& inbox, Options options, Callbacks callbacks, LogSink log);
  // As stop().
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void start();
  // Closes the inbox, commits what it holds and ends the thread. While the database cannot be written what is
  // held is given up: it was never acknowledged. Idempotent.
  void stop();

  [[nodiscard]] WriterStats stats() const;  // from any thread

  // One turn without the thread, for tests and virtual time: true if the messages are durable, false if the
  // transaction failed and nothing changed; the next call must be with the same messages.
  bool write(std::span<const Message> messages, Received now);

 private:
  void run(const std::stop_token& stop);
  static bool sleep(const std::stop_token& stop, std::chrono::milliseconds pause);
  void apply(std::span<const Message> messages, Received now);
  void succeeded(Changes changes, Received now);
  void failed(const StoreError& error);
  void report(const Message& message, Status status);
  void publish_stats();

  Store& store_;
  Inbox& inbox_;
  const Options options_;
  const Callbacks callbacks_;
  const LogSink log_;
  Ingest ingest_;
  std::optional<Changes> changes_;   // applied and not committed: tried again as they are
  std::optional<Instant> asked_at_;  // the last time that devices were asked for hellos
  LogLimit malformed_limit_{std::chrono::seconds{10}};
  LogLimit full_limit_{std::chrono::seconds{60}};
  WriterStats stats_;

  mutable std::mutex published_mutex_;
  WriterStats published_;
  std::jthread thread_;
};

}  // namespace godwit::gateway
