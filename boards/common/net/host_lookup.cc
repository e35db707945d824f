// SPDX-License-Identifier: Apache-2.0
#include "boards/common/net/host_lookup.h"

#include <lwip/dns.h>

namespace godwit::boards {

void HostLookup::begin() {
  if (status_ == Status::kBusy) return;
  const err_t result = dns_gethostbyname(host_, &address_, &found, this);
  status_ = result == ERR_OK ? Status::kOk : result == ERR_INPROGRESS ? Status::kBusy : Status::kNotFound;
}

void HostLookup::found(const char*, const ip_addr_t* address, void* self) {
  auto& lookup = *static_cast<HostLookup*>(self);
  lookup.status_ = address != nullptr ? Status::kOk : Status::kNotFound;
  if (address != nullptr) lookup.address_ = *address;
}

}  // namespace godwit::boards
