// SPDX-License-Identifier: Apache-2.0
// The USB port: a device with a network adapter (usb_network.h) and a serial port (console.h), by tinyusb.
// Its descriptors are in usb_descriptors.cc. Main loop only.
#pragma once

namespace godwit::boards {

void start_usb();
// Does what the computer asked for and hands over what it sent. Call in every turn of the main loop.
void poll_usb();
// There is something for poll_usb() to do.
[[nodiscard]] bool usb_waits();

}  // namespace godwit::boards
