// SPDX-License-Identifier: Apache-2.0
// Raspberry Pi Pico and Pico 2 as a node.
#include <hardware/clocks.h>
#include <hardware/sync.h>
#include <hardware/timer.h>
#include <hardware/watchdog.h>

#include <algorithm>

#include "boards/common/cortex_m/system.h"
#include "boards/common/mcu/node.h"
#include "boards/pico/board_sensors.h"
#include "boards/pico/chip.h"
#include "boards/pico/pico_entropy.h"
#include "boards/pico/qspi_flash.h"
#include "boards/pico/serial_port.h"
#include "boards/pico/usb.h"
#include "boards/pico/usb_network.h"

namespace godwit::boards {
namespace {

constexpr unsigned kAlarm = 0;  // of the chip's timer; the SDK uses 3
// The UART holds 32 characters that nobody has read, and does not wake the processor.
constexpr Millis kWaitMax{20};

class Pico final : public Board {
 public:
  void start() {
    hardware_alarm_claim(kAlarm);
    hardware_alarm_set_callback(kAlarm, [](unsigned) {});
    serial_.start();
    start_usb();
    sensors_.start();
  }

  [[nodiscard]] std::string_view name() const override { return PICO_BOARD; }

  Instant now() override { return Instant(Millis(time_us_64() / 1'000)); }
  void wait(Instant until) override;
  std::uint32_t cycles() override;

  void put(char c) override { serial_.put(c); }
  std::optional<char> get() override { return serial_.get(); }

  void start_watchdog(Millis timeout) override {
    watchdog_enable(static_cast<std::uint32_t>(timeout.count()),
                    true);  // not while a debugger has stopped it
  }
  void feed_watchdog() override { watchdog_update(); }
  [[noreturn]] void reset() override { reset_processor(); }
  codec::ResetReason reset_reason() override;

  Ethernet& ethernet() override { return network_; }
  ports::Flash& storage() override { return flash_; }
  ports::Entropy& entropy() override { return entropy_; }
  SensorDriver& sensors() override { return sensors_; }

 private:
  SerialPort serial_;
  UsbNetwork network_;
  QspiFlash flash_;
  PicoEntropy entropy_;
  BoardSensors sensors_;
};

// With interrupts off none is missed: what comes before the processor sleeps wakes it at once.
void Pico::wait(Instant until) {
  poll_usb();
  const Instant wake = std::min(until, now() + kWaitMax);
  const auto wake_us = static_cast<std::uint64_t>(wake.time_since_epoch().count()) * 1'000;
  const std::uint32_t interrupts = save_and_disable_interrupts();
  const bool is_past = hardware_alarm_set_target(kAlarm, from_us_since_boot(wake_us));
  if (!is_past && !usb_waits()) __wfi();
  restore_interrupts(interrupts);
  poll_usb();
}

// The RP2040 has no counter of cycles; the time tells them to within a microsecond.
std::uint32_t Pico::cycles() {
  return static_cast<std::uint32_t>(time_us_64() * (clock_get_hz(clk_sys) / 1'000'000));
}

codec::ResetReason Pico::reset_reason() {
  if (watchdog_enable_caused_reboot()) return codec::ResetReason::kWatchdog;
  if (watchdog_hw->reason != 0)
    return codec::ResetReason::kSoftware;  // reset_processor(), or the boot loader
  return power_reset_reason();
}

Pico board;

}  // namespace

// The watchdog resets all of the chip, the processor's own reset request little more than the processor.
void reset_processor() {
  watchdog_reboot(0, 0, 0);
  for (;;) {
  }
}

}  // namespace godwit::boards

int main() {
  godwit::boards::board.start();
  godwit::boards::run_node(godwit::boards::board);
}
