// SPDX-License-Identifier: Apache-2.0
// The console, twice: UART 0 (GPIO 0 out, GPIO 1 in, 115,200 baud, 8N1), which works from the start and in
// the worst of cases, and the serial port on USB, which needs no adapter. What is written goes to both.
#pragma once

#include <optional>

namespace godwit::boards {

class SerialPort {
 public:
  // Start USB before the first put().
  void start();
  // Waits for a character's time if the UART is behind. USB drops what the computer does not take.
  void put(char c);
  std::optional<char> get();
};

}  // namespace godwit::boards
