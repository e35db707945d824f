// SPDX-License-Identifier: Apache-2.0
#include "boards/pico/serial_port.h"

#include <hardware/gpio.h>
#include <hardware/uart.h>
#include <tusb.h>

namespace godwit::boards {

void SerialPort::start() {
  constexpr unsigned kBaud = 115'200;
  uart_init(uart0, kBaud);
  gpio_set_function(PICO_DEFAULT_UART_TX_PIN, GPIO_FUNC_UART);
  gpio_set_function(PICO_DEFAULT_UART_RX_PIN, GPIO_FUNC_UART);
  gpio_pull_up(PICO_DEFAULT_UART_RX_PIN);  // nothing may be connected
}

void SerialPort::put(char c) {
  uart_putc_raw(uart0, c);
  if (!tud_cdc_connected()) return;
  tud_cdc_write_char(c);
  if (c == '\n') tud_cdc_write_flush();
}

std::optional<char> SerialPort::get() {
  if (uart_is_readable(uart0)) return uart_getc(uart0);
  if (tud_cdc_available() > 0) return static_cast<char>(tud_cdc_read_char());
  return std::nullopt;
}

}  // namespace godwit::boards
