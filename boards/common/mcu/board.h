// SPDX-License-Identifier: Apache-2.0
// Everything that a microcontroller board must bring; what is above it is shared (node.h). A board folder
// implements this class and the devices behind it, and its main() hands it to run_node(). Main loop only.
#pragma once

#include <optional>
#include <string_view>

#include "boards/common/net/ethernet.h"
#include "firmware/ports/entropy.h"
#include "firmware/ports/flash.h"
#include "proto/base/time.h"
#include "proto/codec/messages.h"

namespace godwit::boards {

class SensorDriver;

class Board {
 public:
  // As the gateway is told, for example "qemu_lm3s6965".
  [[nodiscard]] virtual std::string_view name() const = 0;

  // Monotonic, from the reset on.
  virtual Instant now() = 0;
  // Sleeps until an interrupt; at the latest until `until`. May return early.
  virtual void wait(Instant until) = 0;
  // Processor cycles, free-running; wraps.
  virtual std::uint32_t cycles() = 0;

  // The console. put() may wait for one character's time; get() does not wait.
  virtual void put(char c) = 0;
  virtual std::optional<char> get() = 0;

  // Resets the board unless fed within `timeout`. Cannot be stopped.
  virtual void start_watchdog(Millis timeout) = 0;
  virtual void feed_watchdog() = 0;
  [[noreturn]] virtual void reset() = 0;
  // Why the processor started, as the hardware tells.
  virtual codec::ResetReason reset_reason() = 0;

  virtual Ethernet& ethernet() = 0;
  // All of the storage that the node may use; storage/layout.h says how.
  virtual ports::Flash& storage() = 0;
  virtual ports::Entropy& entropy() = 0;
  // What the board measures.
  virtual SensorDriver& sensors() = 0;

 protected:
  ~Board() = default;
};

}  // namespace godwit::boards
