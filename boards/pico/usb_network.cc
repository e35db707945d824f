// SPDX-License-Identifier: Apache-2.0
#include "boards/pico/usb_network.h"

#include <pico/unique_id.h>
#include <tusb.h>

#include <algorithm>
#include <array>

#include "boards/pico/usb.h"

namespace godwit::boards {
namespace {

constexpr std::size_t kFrameMax = CFG_TUD_NET_MTU;

// What tinyusb's callbacks, which have no context, share with the adapter.
constinit struct {
  Bytes received{};        // of the frame that waits in tinyusb's buffer, what was not read yet
  bool has_frame = false;  // the computer sends the next one after tud_network_recv_renew()
  bool active = false;     // the computer has switched the interface on
  std::size_t size = 0;    // of the frame that is being written
  std::array<std::uint8_t, kFrameMax> frame{};
} state;

Ethernet::Address address_of(std::uint8_t first) {
  pico_unique_board_id_t id;
  pico_get_unique_board_id(&id);
  Ethernet::Address address{first};
  std::copy_n(std::end(id.id) - (address.size() - 1), address.size() - 1, address.begin() + 1);
  return address;
}

}  // namespace

// Locally administered, as the second bit says.
Ethernet::Address board_address() { return address_of(0x02); }
Ethernet::Address adapter_address() { return address_of(0x06); }

void UsbNetwork::start() {}

Ethernet::Address UsbNetwork::address() const { return board_address(); }

bool UsbNetwork::link_up() { return state.active && tud_ready(); }

std::size_t UsbNetwork::begin_receive() {
  poll_usb();
  if (!tud_mounted()) {  // the cable is out, or the computer began anew: tinyusb's buffer is its own again
    state.has_frame = false;
    state.active = false;
  }
  return state.has_frame ? state.received.size() : 0;
}

void UsbNetwork::read(MutableBytes out) {
  std::copy_n(state.received.begin(), out.size(), out.begin());
  state.received = state.received.subspan(out.size());
}

void UsbNetwork::end_receive() {
  state.has_frame = false;
  tud_network_recv_renew();
}

bool UsbNetwork::begin_transmit(std::size_t size) {
  state.size = 0;
  return link_up() && tud_network_can_xmit(static_cast<std::uint16_t>(size));
}

void UsbNetwork::write(Bytes in) {
  std::ranges::copy(in, state.frame.begin() + static_cast<std::ptrdiff_t>(state.size));
  state.size += in.size();
}

void UsbNetwork::end_transmit() { tud_network_xmit(nullptr, 0); }

// USB repeats what arrives damaged.
std::uint32_t UsbNetwork::errors() const { return 0; }

}  // namespace godwit::boards

using godwit::boards::state;

extern "C" {

// False: the frame is dropped.
bool tud_network_recv_cb(const std::uint8_t* frame, std::uint16_t size) {
  constexpr std::size_t kFrameMin = 14;  // the header
  if (size < kFrameMin || size > godwit::boards::kFrameMax) return false;
  state.received = {frame, size};
  state.has_frame = true;
  return true;
}

std::uint16_t tud_network_xmit_cb(std::uint8_t* out, void*, std::uint16_t) {
  std::copy_n(state.frame.begin(), state.size, out);
  return static_cast<std::uint16_t>(state.size);
}

void tud_network_init_cb() {
  state.has_frame = false;
  state.active = true;
}

// tinyusb's adapter speaks RNDIS too; no descriptor offers it.
void rndis_class_set_handler(std::uint8_t*, int);
void rndis_class_set_handler(std::uint8_t*, int) {}

}  // extern "C"
