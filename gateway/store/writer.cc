// SPDX-License-Identifier: Apache-2.0
#include "gateway/store/writer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "gateway/domain/clock.h"

namespace godwit::gateway {
Writer::Writer(Store& store, Inbox& inbox, Options options, Callbacks callbacks, LogSink log)
    : store_(store),
      inbox_(inbox),
      options_(options),
      callbacks_(std::move(callbacks)),
      log_(std::move(log)),
      ingest_(options_.limits, store.load()) {}

Writer::~Writer() { stop(); }

void Writer::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void Writer::stop() {
  inbox_.close();
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

WriterStats Writer::stats() const {
  const std::lock_guard lock(published_mutex_);
  return published_;
}

void Writer::run(const std::stop_token& stop) {
  std::vector<Message> messages;
  while (!inbox_.finished()) {
    const Millis idle = ingest_.asks_due() ? options_.asks_pause : Millis{1000};
    inbox_.take(messages, {.idle = idle, .gather = options_.gather, .max = options_.batch_max});
    auto pause = options_.retry_min;
    while (!write(messages, received_now())) {
      if (!sleep(stop, pause)) return;
      pause = std::min(2 * pause, options_.retry_max);
    }
    store_.checkpoint();
  }
}

// False if the writer is to stop.
bool Writer::sleep(const std::stop_token& stop, std::chrono::milliseconds pause) {
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any never;
  never.wait_for(lock, stop, pause, [] { return false; });
  return !stop.stop_requested();
}

bool Writer::write(std::span<const Message> messages, Received now) {
  if (!changes_) apply(messages, now);
  try {
    if (!changes_->empty()) {
      store_.commit(*changes_);
      ++stats_.commits;
    }
  } catch (const StoreError& error) {
    failed(error);
    return false;
  }
  succeeded(*std::exchange(changes_, std::nullopt), now);
  return true;
}

void Writer::apply(std::span<const Message> messages, Received now) {
  if (inbox_.take_session_started()) ingest_.session_started();
  for (const Message& message : messages) {
    const Status status = ingest_.handle(message);
    if (status != Status::kOk) report(message, status);
  }
  ingest_.tick(now);
  changes_ = ingest_.take();
}

void Writer::succeeded(Changes changes, Received now) {
  if (!stats_.writable) log_(LogLevel::kInfo, "the database can be written again");
  stats_.writable = true;
  stats_.ingest = ingest_.counters();
  const std::vector<Event> events = std::exchange(changes.events, {});
  stats_.events += events.size();
  std::vector<AckTo> acks = ingest_.committed(std::move(changes));
  if (!asked_at_ || now.at - *asked_at_ >= options_.asks_pause) {
    const std::vector<AckTo> asks = ingest_.take_asks(options_.asks_max, now.at);
    acks.insert(acks.end(), asks.begin(), asks.end());
    asked_at_ = now.at;
  }
  publish_stats();
  if (!acks.empty() && callbacks_.acks) callbacks_.acks(acks);
  if (!events.empty() && callbacks_.feed) callbacks_.feed(events);
}

void Writer::failed(const StoreError& error) {
  ++stats_.failed_commits;
  if (stats_.writable) {
    log_(LogLevel::kError,
         std::string("cannot write the database, so nothing is acknowledged until it works again: ") +
             error.what() + "; make room on the disk or repair it, no restart is needed");
  }
  stats_.writable = false;
  publish_stats();
}

void Writer::report(const Message& message, Status status) {
  const auto now = std::chrono::steady_clock::now();
  const std::string who = "device " + std::string(message.device.view()) + ": ";
  if (status == Status::kMalformed && malformed_limit_.allow(now)) {
    log_(LogLevel::kWarning,
         who + "a message of " + std::to_string(message.payload.size()) +
             " bytes does not decode and is dropped (firmware and gateway of different versions?)");
  }
  if (status == Status::kFull && full_limit_.allow(now)) {
    log_(LogLevel::kWarning, who +
                                 "over a limit: either it is new and there are [store] devices_max devices "
                                 "already, or one hello of it announces too many tables");
  }
}

void Writer::publish_stats() {
  const std::lock_guard lock(published_mutex_);
  published_ = stats_;
}

}  // namespace godwit::gateway
