// SPDX-License-Identifier: Apache-2.0
// What a device has published.
#pragma once

#include <cstdint>
#include <string>

#include "gateway/domain/event.h"
#include "proto/base/ids.h"
#include "proto/topics/topics.h"

namespace godwit::gateway {

struct Message {
  DeviceId device;
  topics::Leaf leaf;
  Received received;
  std::string payload;
  std::uint8_t qos = 1;  // that it came with
};

}  // namespace godwit::gateway
