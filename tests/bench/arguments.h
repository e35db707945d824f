// SPDX-License-Identifier: Apache-2.0
// What the benchmarks that start real programs take on their command line.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace godwit::bench {

struct Arguments {
  std::string json;    // write the figures to this file; empty: do not
  bool quick = false;  // so short that only its running means anything: for the tests
};

// Throws std::runtime_error with the usage of `program`.
inline Arguments parse_arguments(int argc, char** argv, const std::string& program) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--json" && i + 1 < argc) {
      arguments.json = argv[++i];
    } else if (argument == "--quick") {
      arguments.quick = true;
    } else {
      throw std::runtime_error("usage: " + program + " [--json FILE] [--quick]");
    }
  }
  return arguments;
}

}  // namespace godwit::bench
