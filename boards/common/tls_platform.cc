// SPDX-License-Identifier: Apache-2.0
// The calendar that mbedTLS checks certificate dates with, without an operating system.
#include <mbedtls/platform_time.h>

#include <chrono>
#include <ctime>

extern "C" std::tm* mbedtls_platform_gmtime_r(const mbedtls_time_t* time, std::tm* out) {
  const std::chrono::sys_seconds instant{std::chrono::seconds{*time}};
  const auto day = std::chrono::floor<std::chrono::days>(instant);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{instant - day};
  *out = {};
  out->tm_year = static_cast<int>(date.year()) - 1900;
  out->tm_mon = static_cast<int>(static_cast<unsigned>(date.month())) - 1;
  out->tm_mday = static_cast<int>(static_cast<unsigned>(date.day()));
  out->tm_hour = static_cast<int>(clock.hours().count());
  out->tm_min = static_cast<int>(clock.minutes().count());
  out->tm_sec = static_cast<int>(clock.seconds().count());
  return out;
}
