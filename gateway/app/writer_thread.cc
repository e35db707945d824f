// SPDX-License-Identifier: Apache-2.0
#include "gateway/app/writer_thread.h"

#include <chrono>
#include <utility>

#include "gateway/domain/clock.h"

namespace godwit::app {

using gateway::received_now;

WriterThread::WriterThread(gateway::Store& store, const gateway::Intake::Limits& limits,
                           const gateway::Writer::Options& options, gateway::Writer::Callbacks callbacks,
                           gateway::LogSink log)
    : intake_(limits), writer_(store, options, std::move(callbacks), std::move(log)) {}

WriterThread::~WriterThread() { stop(); }

void WriterThread::start() {
  thread_ = std::thread([this] { run(); });
}

void WriterThread::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

bool WriterThread::push(gateway::Message message) {
  const std::lock_guard lock(mutex_);
  if (stopping_ || !intake_.push(std::move(message))) return false;
  if (intake_.messages() >= wanted_) {
    wanted_ = SIZE_MAX;  // once is enough
    changed_.notify_one();
  }
  return true;
}

void WriterThread::session_started() {
  const std::lock_guard lock(mutex_);
  intake_.session_started();
  changed_.notify_one();
}

gateway::WriterStats WriterThread::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

gateway::Intake::Dropped WriterThread::dropped() const {
  const std::lock_guard lock(mutex_);
  return intake_.dropped();
}

WriterThread::Load WriterThread::load() const {
  const std::lock_guard lock(mutex_);
  return {.messages = intake_.messages(), .bytes = intake_.bytes(), .commit_time = commit_time_};
}

void WriterThread::turn() {
  const std::uint64_t commits = writer_.stats().commits;
  const auto begin = std::chrono::steady_clock::now();
  writer_.turn(received_now());
  const auto time = std::chrono::steady_clock::now() - begin;
  const std::lock_guard lock(mutex_);
  stats_ = writer_.stats();
  if (stats_.commits > commits) commit_time_ += time;
}

void WriterThread::run() {
  for (;;) {
    {
      const gateway::Writer::Wait wait = writer_.wait();
      std::unique_lock lock(mutex_);
      wanted_ = wait.messages;
      const std::chrono::steady_clock::time_point until(wait.until.time_since_epoch());
      changed_.wait_until(lock, until, [&] { return stopping_ || wait.over(intake_); });
      wanted_ = SIZE_MAX;
      if (stopping_) writer_.hurry();
      writer_.take(intake_, received_now());
      if (stopping_ && writer_.idle()) return;
    }
    turn();
    if (const std::lock_guard lock(mutex_); stopping_ && intake_.messages() == 0 && writer_.idle()) return;
  }
}

}  // namespace godwit::app
