// SPDX-License-Identifier: Apache-2.0
#include "sim/fleet/api_client.h"

#include <curl/curl.h>

#include <chrono>
#include <memory>
#include <stdexcept>

namespace godwit::sim {
namespace {

struct Headers {
  curl_slist* list = nullptr;
  Headers() = default;
  Headers(const Headers&) = delete;
  Headers& operator=(const Headers&) = delete;
  ~Headers() { curl_slist_free_all(list); }
  void add(const std::string& line) { list = curl_slist_append(list, line.c_str()); }
};

using Easy = std::unique_ptr<CURL, decltype(&curl_easy_cleanup)>;

Easy make_easy(const ApiAccess& access, const std::string& path, Headers& headers) {
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  Easy easy(curl_easy_init(), &curl_easy_cleanup);
  if (initialised != CURLE_OK || !easy) throw std::runtime_error("libcurl cannot be initialised");
  headers.add("Authorization: Bearer " + access.key);
  curl_easy_setopt(easy.get(), CURLOPT_URL, (access.base_url + path).c_str());
  curl_easy_setopt(easy.get(), CURLOPT_CAINFO, access.ca_file.c_str());
  curl_easy_setopt(easy.get(), CURLOPT_HTTPHEADER, headers.list);
  curl_easy_setopt(easy.get(), CURLOPT_NOPROXY, "*");  // a gateway is not on the far side of a proxy
  curl_easy_setopt(easy.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy.get(), CURLOPT_CONNECTTIMEOUT_MS, 5'000L);
  return easy;
}

std::size_t append(char* data, std::size_t size, std::size_t count, void* out) {
  static_cast<std::string*>(out)->append(data, size * count);
  return size * count;
}

}  // namespace

std::string api_get(const ApiAccess& access, const std::string& path) {
  Headers headers;
  headers.add("Accept: application/json");
  const Easy easy = make_easy(access, path, headers);
  std::string body;
  curl_easy_setopt(easy.get(), CURLOPT_TIMEOUT_MS, 30'000L);
  curl_easy_setopt(easy.get(), CURLOPT_WRITEFUNCTION, &append);
  curl_easy_setopt(easy.get(), CURLOPT_WRITEDATA, &body);
  const CURLcode code = curl_easy_perform(easy.get());
  if (code != CURLE_OK) {
    throw std::runtime_error("GET " + access.base_url + path + ": " + curl_easy_strerror(code) +
                             "; is the gateway running there, and is the CA file its own?");
  }
  long status = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status != 200) {
    throw std::runtime_error("GET " + access.base_url + path + ": status " + std::to_string(status) + ": " +
                             body);
  }
  return body;
}

EventFollower::EventFollower(const ApiAccess& access, Handler handler, std::string after)
    : access_(access), handler_(std::move(handler)), after_(std::move(after)), thread_([this] { run(); }) {}

EventFollower::~EventFollower() {
  stopping_ = true;
  thread_.join();
}

void EventFollower::run() {
  bool first = true;
  while (!stopping_) {
    if (!first) ++reconnects_;
    first = false;
    parser_.drop();
    stream();
    for (int i = 0; i < 20 && !stopping_; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

void EventFollower::stream() {
  Headers headers;
  headers.add("Accept: text/event-stream");
  const std::string path = parser_.last_id().empty() ? "/api/v1/events?after=" + after_ : "/api/v1/events";
  if (!parser_.last_id().empty()) headers.add("Last-Event-ID: " + parser_.last_id());
  const Easy easy = make_easy(access_, path, headers);
  curl_easy_setopt(easy.get(), CURLOPT_WRITEFUNCTION, &EventFollower::on_bytes);
  curl_easy_setopt(easy.get(), CURLOPT_WRITEDATA, this);
  curl_easy_setopt(easy.get(), CURLOPT_FAILONERROR, 1L);
  // The heartbeat comes every 15 s: a feed that is silent for longer is dead.
  curl_easy_setopt(easy.get(), CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(easy.get(), CURLOPT_LOW_SPEED_TIME, 40L);
  curl_easy_setopt(easy.get(), CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(easy.get(), CURLOPT_XFERINFODATA, this);
  curl_easy_setopt(
      easy.get(), CURLOPT_XFERINFOFUNCTION,
      +[](void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) -> int {
        return static_cast<EventFollower*>(self)->stopping_ ? 1 : 0;
      });
  curl_easy_perform(easy.get());  // ends in any case; run() begins anew
}

std::size_t EventFollower::on_bytes(char* data, std::size_t size, std::size_t count, void* self) {
  static_cast<EventFollower*>(self)->take({data, size * count});
  return size * count;
}

void EventFollower::take(std::string_view bytes) {
  parser_.feed(
      bytes,
      [this](const SseEvent& event) {
        note_start();
        handler_(event);
      },
      [this](const std::string& /*id*/) { note_start(); });
}

// The first block has an id and no event.
void EventFollower::note_start() {
  if (following_ || parser_.last_id().empty()) return;
  start_id_ = parser_.last_id();
  following_ = true;
}

}  // namespace godwit::sim
