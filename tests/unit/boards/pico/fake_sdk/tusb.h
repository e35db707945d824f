// SPDX-License-Identifier: Apache-2.0
// What the network adapter uses of tinyusb.
#pragma once

#include <cstdint>

#define CFG_TUD_NET_MTU 1514

bool tud_mounted();
bool tud_ready();
void tud_network_recv_renew();
bool tud_network_can_xmit(std::uint16_t size);
void tud_network_xmit(void* reference, std::uint16_t argument);

extern "C" {
bool tud_network_recv_cb(const std::uint8_t* frame, std::uint16_t size);
std::uint16_t tud_network_xmit_cb(std::uint8_t* out, void* reference, std::uint16_t argument);
void tud_network_init_cb();
}
