// SPDX-License-Identifier: Apache-2.0
// The writer's lane in production: the one thread on which its steps run, one after the other (what a lane is:
// gateway/log/lanes.h). This is that thread, and the lock around what waits for it; every step, and when it is
// due, is pipeline/Writer's, which the simulator drives on its own queue.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "gateway/domain/intake.h"
#include "gateway/pipeline/writer.h"

namespace godwit::app {

class WriterThread {
 public:
  // What Writer says of its arguments holds; the callbacks are called on the thread.
  WriterThread(gateway::Store& store, const gateway::Intake::Limits& limits,
               const gateway::Writer::Options& options, gateway::Writer::Callbacks callbacks,
               gateway::LogSink log);
  // As stop().
  ~WriterThread();
  WriterThread(const WriterThread&) = delete;
  WriterThread& operator=(const WriterThread&) = delete;

  void start();
  // Takes no more, commits what it holds and ends the thread. While the database cannot be written what is
  // held is given up: it was never acknowledged. Idempotent.
  void stop();

  // From any thread; none of these waits for the disk. push() returns false if the message was dropped.
  bool push(gateway::Message message);
  void session_started();
  [[nodiscard]] gateway::WriterStats stats() const;
  [[nodiscard]] gateway::Intake::Dropped dropped() const;
  struct Load {
    std::size_t messages = 0;  // in the intake, and what they count as
    std::size_t bytes = 0;
    std::chrono::nanoseconds commit_time{};  // of all commits, from the rules to the acks and the checkpoint
  };
  [[nodiscard]] Load load() const;

 private:
  void run();
  void turn();

  mutable std::mutex mutex_;  // of the five below
  std::condition_variable changed_;
  gateway::Intake intake_;
  gateway::WriterStats stats_;
  std::chrono::nanoseconds commit_time_{};
  std::size_t wanted_ = SIZE_MAX;  // the thread sleeps until so many wait
  bool stopping_ = false;

  gateway::Writer writer_;  // the thread's alone
  std::thread thread_;
};

}  // namespace godwit::app
