// SPDX-License-Identifier: Apache-2.0
#include "proto/base/status.h"

namespace godwit {

std::string_view to_string(Status status) {
  switch (status) {
    case Status::kOk:
      return "ok";
    case Status::kInvalidArgument:
      return "invalid_argument";
    case Status::kMalformed:
      return "malformed";
    case Status::kUnsupported:
      return "unsupported";
    case Status::kNotFound:
      return "not_found";
    case Status::kAlreadyExists:
      return "already_exists";
    case Status::kFull:
      return "full";
    case Status::kBusy:
      return "busy";
    case Status::kTimeout:
      return "timeout";
    case Status::kDenied:
      return "denied";
    case Status::kCorrupt:
      return "corrupt";
    case Status::kIo:
      return "io";
    case Status::kState:
      return "state";
    case Status::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

}  // namespace godwit
