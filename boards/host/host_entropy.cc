// SPDX-License-Identifier: Apache-2.0
#include "boards/host/host_entropy.h"

#include <sys/random.h>

#include <cerrno>

namespace godwit::boards {

Status HostEntropy::fill(MutableBytes out) {
  while (!out.empty()) {
    const ssize_t size = ::getrandom(out.data(), out.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return Status::kIo;
    out = out.subspan(static_cast<std::size_t>(size));
  }
  return Status::kOk;
}

}  // namespace godwit::boards
