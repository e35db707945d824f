// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/json.h"

#include <cjson/cJSON.h>

#include <new>

namespace godwit::http {
namespace {

// The length of the well-formed UTF-8 sequence that `text` begins with (Unicode 15, table 3-7); 0: it does
// not.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const unsigned char second = byte(1);
  const bool overlong = (lead == 0xe0 && second < 0xa0) || (lead == 0xf0 && second < 0x90);
  const bool surrogate = lead == 0xed && second >= 0xa0;
  const bool too_big = lead == 0xf4 && second >= 0x90;
  return overlong || surrogate || too_big ? 0 : length;
}

// What cJSON can take: UTF-8 without NUL.
std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = text.front() == '\0' ? 0 : utf8_length(text);
    out += length == 0 ? std::string_view("\xef\xbf\xbd") : text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

}  // namespace

void Json::Free::operator()(cJSON* value) const { cJSON_Delete(value); }

Json::Json(cJSON* owned) : value_(owned) {
  if (!value_) throw std::bad_alloc();
}

Json Json::object() { return Json(cJSON_CreateObject()); }
Json Json::array() { return Json(cJSON_CreateArray()); }
Json Json::null() { return Json(cJSON_CreateNull()); }
Json Json::raw(std::string_view json) { return Json(cJSON_CreateRaw(std::string(json).c_str())); }

Json& Json::set(const char* key, std::string_view text) & {
  return set(key, Json(cJSON_CreateString(printable(text).c_str())));
}
Json& Json::set(const char* key, std::int64_t number) & { return set(key, raw(std::to_string(number))); }
Json& Json::set(const char* key, std::uint64_t number) & { return set(key, raw(std::to_string(number))); }
Json& Json::set(const char* key, bool value) & { return set(key, Json(cJSON_CreateBool(value))); }

Json& Json::set(const char* key, Json value) & {
  if (!cJSON_AddItemToObject(value_.get(), key, value.value_.get())) throw std::bad_alloc();
  (void)value.value_.release();  // the object owns it now
  return *this;
}

void Json::push(Json value) & {
  if (!cJSON_AddItemToArray(value_.get(), value.value_.get())) throw std::bad_alloc();
  (void)value.value_.release();  // the array owns it now
}

std::string Json::dump() const {
  struct FreeText {
    void operator()(char* text) const { cJSON_free(text); }
  };
  const std::unique_ptr<char, FreeText> text(cJSON_PrintUnformatted(value_.get()));
  if (!text) throw std::bad_alloc();
  return text.get();
}

}  // namespace godwit::http
