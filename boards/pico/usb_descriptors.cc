// SPDX-License-Identifier: Apache-2.0
// What the computer is told about this device (USB 2.0, 9.6), as tinyusb asks for it.
#include <pico/unique_id.h>
#include <tusb.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <span>
#include <string_view>

#include "boards/pico/usb.h"
#include "boards/pico/usb_network.h"

namespace godwit::boards {

void start_usb() { tud_init(0); }
void poll_usb() { tud_task(); }
bool usb_waits() { return tud_task_event_ready(); }

namespace {

// The test numbers of pid.codes, for everybody's experiments. Who sells devices has to have their own.
constexpr std::uint16_t kVendor = 0x1209;
constexpr std::uint16_t kProduct = 0x0001;

enum Text : std::uint8_t { kLanguages, kManufacturer, kProductName, kSerialNumber, kMac, kNetwork, kConsole };
enum Interface : std::uint8_t { kNetworkControl, kNetworkData, kConsoleControl, kConsoleData, kInterfaces };

constexpr tusb_desc_device_t kDevice{
    .bLength = sizeof(tusb_desc_device_t),
    .bDescriptorType = TUSB_DESC_DEVICE,
    .bcdUSB = 0x0200,
    .bDeviceClass = TUSB_CLASS_MISC,  // its interfaces come in groups
    .bDeviceSubClass = MISC_SUBCLASS_COMMON,
    .bDeviceProtocol = MISC_PROTOCOL_IAD,
    .bMaxPacketSize0 = CFG_TUD_ENDPOINT0_SIZE,
    .idVendor = kVendor,
    .idProduct = kProduct,
    .bcdDevice = 0x0100,
    .iManufacturer = kManufacturer,
    .iProduct = kProductName,
    .iSerialNumber = kSerialNumber,
    .bNumConfigurations = 1,
};

constexpr std::uint8_t kPacketSize = 64;
constexpr std::uint8_t kIn = 0x80;
constexpr std::uint16_t kSize = TUD_CONFIG_DESC_LEN + TUD_CDC_ECM_DESC_LEN + TUD_CDC_DESC_LEN;
constexpr std::uint8_t kConfiguration[] = {
    TUD_CONFIG_DESCRIPTOR(1, kInterfaces, 0, kSize, 0, 100),
    TUD_CDC_ECM_DESCRIPTOR(kNetworkControl, kNetwork, kMac, kIn | 1, 64, 2, kIn | 2, kPacketSize,
                           CFG_TUD_NET_MTU),
    TUD_CDC_DESCRIPTOR(kConsoleControl, kConsole, kIn | 3, 8, 4, kIn | 4, kPacketSize),
};
static_assert(sizeof kConfiguration == kSize);

// A string descriptor: its size in bytes and type, then UTF-16. Kept until the computer has read it.
constinit std::array<std::uint16_t, 1 + 2 * PICO_UNIQUE_BOARD_ID_SIZE_BYTES> descriptor{};

const std::uint16_t* describe(std::size_t units) {
  descriptor[0] = static_cast<std::uint16_t>((TUSB_DESC_STRING << 8U) | (2 * (units + 1)));
  return descriptor.data();
}

const std::uint16_t* describe(std::string_view text) {
  std::ranges::copy(text, descriptor.begin() + 1);
  return describe(text.size());
}

const std::uint16_t* describe_hex(std::span<const std::uint8_t> bytes) {
  auto* unit = &descriptor[1];
  for (const std::uint8_t byte : bytes) {
    *unit++ = static_cast<std::uint8_t>("0123456789ABCDEF"[byte >> 4U]);
    *unit++ = static_cast<std::uint8_t>("0123456789ABCDEF"[byte & 0xFU]);
  }
  return describe(2 * bytes.size());
}

const std::uint16_t* describe_serial_number() {
  pico_unique_board_id_t id;
  pico_get_unique_board_id(&id);
  return describe_hex(id.id);
}

}  // namespace
}  // namespace godwit::boards

using namespace godwit::boards;

extern "C" {

const std::uint8_t* tud_descriptor_device_cb() { return reinterpret_cast<const std::uint8_t*>(&kDevice); }

const std::uint8_t* tud_descriptor_configuration_cb(std::uint8_t) { return kConfiguration; }

const std::uint16_t* tud_descriptor_string_cb(std::uint8_t index, std::uint16_t) {
  constexpr std::uint16_t kEnglish = 0x0409;
  switch (index) {
    case kLanguages:
      descriptor[1] = kEnglish;
      return describe(std::size_t{1});
    case kManufacturer:
      return describe("Godwit");
    case kProductName:
      return describe("Godwit node");
    case kSerialNumber:
      return describe_serial_number();
    case kMac:
      return describe_hex(adapter_address());
    case kNetwork:
      return describe("Network");
    case kConsole:
      return describe("Console");
    default:
      return nullptr;
  }
}

}  // extern "C"
