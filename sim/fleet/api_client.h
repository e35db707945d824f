// SPDX-License-Identifier: Apache-2.0
// The gateway as any client sees it: REST calls and a follower of the live feed, over HTTPS with libcurl.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "sim/judge/sse.h"

namespace godwit::sim {

struct ApiAccess {
  std::string base_url;  // https://host:port
  std::string ca_file;
  std::string key;  // the API key itself
};

// GET of `path`; the body of a 200. Throws std::runtime_error saying what failed and what to check.
std::string api_get(const ApiAccess& access, const std::string& path);

// Follows /api/v1/events in a thread of its own; reconnects with Last-Event-ID as long as it lives.
class EventFollower {
 public:
  using Handler = std::function<void(const SseEvent&)>;  // called in the follower's thread

  // `after`: where it begins, as the parameter of that name: "now", "begin" or an id.
  EventFollower(const ApiAccess& access, Handler handler, std::string after = "now");
  ~EventFollower();
  EventFollower(const EventFollower&) = delete;
  EventFollower& operator=(const EventFollower&) = delete;

  // True once the gateway has begun the stream: events from then on will come.
  [[nodiscard]] bool following() const { return following_; }
  // The id behind which it began. Precondition: following().
  [[nodiscard]] const std::string& start_id() const { return start_id_; }
  [[nodiscard]] long reconnects() const { return reconnects_; }

 private:
  void run();
  void stream();
  void take(std::string_view bytes);
  void note_start();
  static std::size_t on_bytes(char* data, std::size_t size, std::size_t count, void* self);

  ApiAccess access_;
  Handler handler_;
  std::string after_;
  SseParser parser_;
  std::string start_id_;  // written before following_ is set
  std::atomic<bool> following_ = false;
  std::atomic<bool> stopping_ = false;
  std::atomic<long> reconnects_ = 0;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace godwit::sim
