// SPDX-License-Identifier: Apache-2.0
// A JSON value to build and print: cJSON with an owner. Throws std::bad_alloc when memory ends, as any value
// does. Events are not built with it (gateway/domain/event_json.h writes them, eight times faster): they are
// put in as text.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

struct cJSON;

namespace godwit::http {

class Json {
 public:
  static Json object();
  static Json array();
  static Json null();
  static Json raw(std::string_view json);  // valid JSON text, taken as it is

  // Precondition: this is an object, and has no such key.
  Json& set(const char* key, std::string_view text) &;  // bytes that are not UTF-8 become U+FFFD
  Json& set(const char* key, const char* text) & { return set(key, std::string_view(text)); }
  Json& set(const char* key, std::int64_t number) &;  // exact, unlike cJSON's own numbers
  Json& set(const char* key, std::uint64_t number) &;
  Json& set(const char* key, std::uint32_t number) & { return set(key, std::uint64_t{number}); }
  Json& set(const char* key, int number) & { return set(key, std::int64_t{number}); }
  Json& set(const char* key, bool value) &;
  Json& set(const char* key, Json value) &;

  // Precondition: this is an array.
  void push(Json value) &;

  [[nodiscard]] std::string dump() const;

 private:
  struct Free {
    void operator()(cJSON* value) const;
  };
  explicit Json(cJSON* owned);  // nullptr: std::bad_alloc
  std::unique_ptr<cJSON, Free> value_;
};

}  // namespace godwit::http
