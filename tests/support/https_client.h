// SPDX-License-Identifier: Apache-2.0
// Requests and event streams over HTTPS, with libcurl: not the code under test. The server's certificate and
// name are checked.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace godwit::test {

struct HttpsOptions {
  std::string base_url;      // https://127.0.0.1:8443
  std::filesystem::path ca;  // what the server's certificate must come from
  std::string api_key;       // empty: none is sent
};

struct HttpsResponse {
  long status = 0;  // 0: no response; `body` says why
  std::string body;
};

// GET, with further header lines such as "Accept: text/plain".
[[nodiscard]] HttpsResponse https_get(const HttpsOptions& options, const std::string& path,
                                      const std::vector<std::string>& headers = {});

struct SseEvent {
  std::string id;  // the newest at the time of the event, also if it came without one
  std::string event;
  std::string data;
};

// One event stream, read by a thread of its own until it ends or this object does.
class SseReader {
 public:
  // `last_event_id` is sent if it is not empty.
  SseReader(const HttpsOptions& options, const std::string& path, const std::string& last_event_id = "");

  // The next event, in order; nullopt: none within `timeout`, or the stream has ended.
  [[nodiscard]] std::optional<SseEvent> next(std::chrono::milliseconds timeout);
  // Waits for the server's answer; 0: none within `timeout`.
  [[nodiscard]] long status(std::chrono::milliseconds timeout);
  [[nodiscard]] bool wait_for_end(std::chrono::milliseconds timeout);

 private:
  void read(const std::stop_token& stop, const HttpsOptions& options, const std::string& path,
            const std::string& last_event_id);
  void take_line(std::string_view line);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<SseEvent> events_;
  SseEvent current_;     // reader thread only
  std::string partial_;  // reader thread only: a line that has not ended
  long status_ = 0;
  bool ended_ = false;
  std::jthread thread_;
};

}  // namespace godwit::test
