// SPDX-License-Identifier: Apache-2.0
// The LM3S6965 evaluation board as QEMU plays it (machine lm3s6965evb). See README.md.
#pragma once

#include <optional>

#include "boards/common/cortex_m/apb_watchdog.h"
#include "boards/common/cortex_m/semihosting.h"
#include "boards/common/mcu/board.h"
#include "boards/common/mcu/sensors.h"
#include "boards/common/storage/sd_card.h"
#include "boards/common/storage/sd_flash.h"
#include "boards/qemu_lm3s6965/ethernet.h"
#include "boards/qemu_lm3s6965/spi.h"

namespace godwit::boards {

class Lm3s6965 final : public Board {
 public:
  static constexpr std::uint32_t kClockHz = 50'000'000;

  // Starts clock and console.
  Lm3s6965();

  [[nodiscard]] std::string_view name() const override { return "qemu_lm3s6965"; }
  Instant now() override;
  void wait(Instant until) override;
  std::uint32_t cycles() override;
  void put(char c) override;
  std::optional<char> get() override;
  void start_watchdog(Millis timeout) override;
  void feed_watchdog() override { watchdog_.feed(); }
  [[noreturn]] void reset() override;
  codec::ResetReason reset_reason() override;
  Ethernet& ethernet() override { return ethernet_; }
  // Looks for the card anew as long as there was none.
  ports::Flash& storage() override;
  ports::Entropy& entropy() override { return entropy_; }
  SensorDriver& sensors() override { return sensors_; }

 private:
  // 16 MB. A start reads the head of every sector twice while nobody feeds the watchdog: 2,048 blocks, which
  // take a card of 1.5 ms a read 3 s.
  static constexpr std::uint32_t kSectorsMax = 1024;

  ApbWatchdog watchdog_{0x4000'0000};
  StellarisEthernet ethernet_;
  Ssi0 spi_{kClockHz};
  SdCard card_{spi_};
  std::optional<SdFlash> storage_;
  SemihostingEntropy entropy_;
  SyntheticSensors sensors_;
};

}  // namespace godwit::boards
