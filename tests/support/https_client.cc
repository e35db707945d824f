// SPDX-License-Identifier: Apache-2.0
#include "tests/support/https_client.h"

#include <curl/curl.h>

#include <memory>
#include <stdexcept>
#include <utility>

namespace godwit::test {
namespace {

// One transfer; `on_data` returns false to end it.
class Transfer {
 public:
  Transfer(const HttpsOptions& options, const std::string& path, const std::vector<std::string>& headers)
      : curl_(curl_easy_init()) {
    if (curl_ == nullptr) throw std::runtime_error("libcurl does not start");
    for (const std::string& header : headers) add_header(header);
    if (!options.api_key.empty()) add_header("Authorization: Bearer " + options.api_key);
    curl_easy_setopt(curl_, CURLOPT_URL, (options.base_url + path).c_str());
    curl_easy_setopt(curl_, CURLOPT_CAINFO, options.ca.c_str());
    curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, headers_);
    curl_easy_setopt(curl_, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl_, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl_, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
  }
  ~Transfer() {
    curl_slist_free_all(headers_);
    curl_easy_cleanup(curl_);
  }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  [[nodiscard]] CURL* handle() const { return curl_; }
  [[nodiscard]] long status() const {
    long status = 0;
    curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &status);
    return status;
  }

 private:
  void add_header(const std::string& header) { headers_ = curl_slist_append(headers_, header.c_str()); }

  CURL* curl_;
  curl_slist* headers_ = nullptr;
};

void start_curl_once() {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started != CURLE_OK) throw std::runtime_error("libcurl does not start");
}

std::size_t append(char* data, std::size_t size, std::size_t count, void* body) {
  static_cast<std::string*>(body)->append(data, size * count);
  return size * count;
}

}  // namespace

HttpsResponse https_get(const HttpsOptions& options, const std::string& path,
                        const std::vector<std::string>& headers) {
  start_curl_once();
  const Transfer transfer(options, path, headers);
  HttpsResponse response;
  curl_easy_setopt(transfer.handle(), CURLOPT_TIMEOUT_MS, 10'000L);
  curl_easy_setopt(transfer.handle(), CURLOPT_WRITEFUNCTION, append);
  curl_easy_setopt(transfer.handle(), CURLOPT_WRITEDATA, &response.body);
  const CURLcode result = curl_easy_perform(transfer.handle());
  if (result != CURLE_OK) return {0, curl_easy_strerror(result)};
  response.status = transfer.status();
  return response;
}

SseReader::SseReader(const HttpsOptions& options, const std::string& path, const std::string& last_event_id) {
  start_curl_once();
  thread_ =
      std::jthread([=, this](const std::stop_token& stop) { read(stop, options, path, last_event_id); });
}

void SseReader::read(const std::stop_token& stop, const HttpsOptions& options, const std::string& path,
                     const std::string& last_event_id) {
  std::vector<std::string> headers = {"Accept: text/event-stream"};
  if (!last_event_id.empty()) headers.push_back("Last-Event-ID: " + last_event_id);
  const Transfer transfer(options, path, headers);

  struct Context {
    SseReader* reader;
    const Transfer* transfer;
    const std::stop_token* stop;
  } context{this, &transfer, &stop};
  const auto on_data = +[](char* data, std::size_t size, std::size_t count, void* opaque) -> std::size_t {
    auto* const self = static_cast<Context*>(opaque)->reader;
    for (const char c : std::string_view(data, size * count)) {
      if (c == '\n')
        self->take_line(std::exchange(self->partial_, {}));
      else
        self->partial_ += c;
    }
    return size * count;
  };
  const auto on_header = +[](char*, std::size_t size, std::size_t count, void* opaque) -> std::size_t {
    const auto* const ctx = static_cast<Context*>(opaque);
    const std::lock_guard lock(ctx->reader->mutex_);
    ctx->reader->status_ = ctx->transfer->status();
    ctx->reader->changed_.notify_all();
    return size * count;
  };
  const auto on_progress = +[](void* opaque, curl_off_t, curl_off_t, curl_off_t, curl_off_t) -> int {
    return static_cast<Context*>(opaque)->stop->stop_requested() ? 1 : 0;
  };
  CURL* const curl = transfer.handle();
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &context);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &context);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &context);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_perform(curl);
  const std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

// https://html.spec.whatwg.org/multipage/server-sent-events.html, "Interpreting an event stream"; the server
// ends its lines with a line feed.
void SseReader::take_line(std::string_view line) {
  if (line.empty()) {
    if (!current_.data.empty()) {
      const std::lock_guard lock(mutex_);
      events_.push_back(current_);
      changed_.notify_all();
    }
    current_.event.clear();
    current_.data.clear();  // the id counts on
    return;
  }
  const std::size_t colon = line.find(':');
  if (colon == 0) return;  // a comment
  const std::string_view field = line.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? "" : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "id") current_.id = value;
  if (field == "event") current_.event = value;
  if (field == "data") {
    if (!current_.data.empty()) current_.data += '\n';
    current_.data += value;
  }
}

std::optional<SseEvent> SseReader::next(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, timeout, [&] { return !events_.empty() || ended_; });
  if (events_.empty()) return std::nullopt;
  SseEvent event = std::move(events_.front());
  events_.pop_front();
  return event;
}

long SseReader::status(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, timeout, [&] { return status_ != 0 || ended_; });
  return status_;
}

bool SseReader::wait_for_end(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [&] { return ended_; });
}

}  // namespace godwit::test
