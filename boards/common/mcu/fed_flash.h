// SPDX-License-Identifier: Apache-2.0
// A flash whose every operation calls somebody first: to find the log on a large card takes longer than a
// watchdog waits. Main loop only.
#pragma once

#include "firmware/ports/flash.h"

namespace godwit::boards {

class FedFlash final : public ports::Flash {
 public:
  // `whole` and `context` must outlive this object.
  FedFlash(ports::Flash& whole, void (*feed)(void* context), void* context)
      : Flash(whole.geometry()), whole_(whole), feed_(feed), context_(context) {}

 private:
  Status do_read(std::uint64_t offset, MutableBytes out) override {
    feed_(context_);
    return whole_.read(offset, out);
  }
  Status do_program(std::uint64_t offset, Bytes in) override {
    feed_(context_);
    return whole_.program(offset, in);
  }
  Status do_erase(std::uint32_t sector) override {
    feed_(context_);
    return whole_.erase(sector);
  }
  Status do_flush() override {
    feed_(context_);
    return whole_.flush();
  }

  ports::Flash& whole_;
  void (*feed_)(void* context);
  void* context_;
};

}  // namespace godwit::boards
