// SPDX-License-Identifier: Apache-2.0
// Arm's MPS2 board with application note 385, a Cortex-M3, as QEMU plays it (machine mps2-an385). See
// README.md.
#pragma once

#include <optional>

#include "boards/common/cortex_m/apb_watchdog.h"
#include "boards/common/cortex_m/semihosting.h"
#include "boards/common/mcu/board.h"
#include "boards/common/mcu/sensors.h"
#include "boards/qemu_mps2_an385/ethernet.h"
#include "boards/qemu_mps2_an385/psram_flash.h"

namespace godwit::boards {

class Mps2An385 final : public Board {
 public:
  static constexpr std::uint32_t kClockHz = 25'000'000;

  // Starts clock and console.
  Mps2An385();

  [[nodiscard]] std::string_view name() const override { return "qemu_mps2_an385"; }
  Instant now() override;
  void wait(Instant until) override;
  std::uint32_t cycles() override;
  void put(char c) override;
  std::optional<char> get() override;
  void start_watchdog(Millis timeout) override { watchdog_.start(kClockHz, timeout); }
  void feed_watchdog() override { watchdog_.feed(); }
  [[noreturn]] void reset() override;
  codec::ResetReason reset_reason() override;
  Ethernet& ethernet() override { return ethernet_; }
  ports::Flash& storage() override { return storage_; }
  ports::Entropy& entropy() override { return entropy_; }
  SensorDriver& sensors() override { return sensors_; }

 private:
  ApbWatchdog watchdog_{0x4000'8000};
  Lan9118 ethernet_;
  PsramFlash storage_;
  SemihostingEntropy entropy_;
  SyntheticSensors sensors_;
};

}  // namespace godwit::boards
