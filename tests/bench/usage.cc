// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/usage.h"

#include <unistd.h>

#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>

namespace godwit::bench {
namespace {

std::ifstream open_proc(int pid, const char* name) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/" + name);
  if (!file) throw std::runtime_error("process " + std::to_string(pid) + " has ended");
  return file;
}

}  // namespace

Usage usage_of(int pid) {
  Usage usage;
  std::ifstream stat = open_proc(pid, "stat");
  std::string text;
  std::getline(stat, text);
  // proc(5): the name in parentheses may hold anything; after it, utime and stime are words 12 and 13.
  std::istringstream words(text.substr(text.rfind(')') + 1));
  std::string word;
  for (int i = 1; i < 12; ++i) words >> word;
  double user = 0;
  double system = 0;
  words >> user >> system;
  usage.cpu_s = (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));

  std::ifstream status = open_proc(pid, "status");
  while (status >> word) {
    if (word == "VmRSS:") status >> usage.resident_kib;
    if (word == "VmHWM:") status >> usage.resident_max_kib;
  }
  return usage;
}

}  // namespace godwit::bench
