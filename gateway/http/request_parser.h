// SPDX-License-Identifier: Apache-2.0
// One HTTP/1.1 request out of bytes that come in any pieces (RFC 9112). No I/O. Strict where two programs
// could disagree about where a request ends. Memory: at most the limits for header and body.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "gateway/http/config.h"
#include "gateway/http/message.h"
#include "gateway/http/problem.h"

namespace godwit::http {

class RequestParser {
 public:
  // `limits` must outlive the parser.
  explicit RequestParser(const Limits& limits);
  ~RequestParser();

  enum class Progress : std::uint8_t {
    kNeedMore,
    kDone,     // what is left in the input belongs to the next request
    kRefused,  // see problem(); where the next request would begin is not known
  };
  // Takes what it can off the front of `input`; what it leaves must be there again at the next call.
  Progress feed(std::string& input);

  // True once for a request that waits for "100 Continue" before it sends its body.
  [[nodiscard]] bool take_continue();
  // Precondition: kRefused.
  [[nodiscard]] const Problem& problem() const { return problem_; }
  // Precondition for all: kDone.
  [[nodiscard]] bool keep_alive() const;
  [[nodiscard]] bool knows_chunks() const;  // the peer, in a response
  [[nodiscard]] Request take();             // method, target, headers and body; call last, and once

 private:
  struct Grammar;  // Beast's parser
  Progress refuse(Problem problem);

  const Limits& limits_;
  std::unique_ptr<Grammar> grammar_;
  Problem problem_;
  bool began_ = false;
  bool continued_ = false;
};

}  // namespace godwit::http
