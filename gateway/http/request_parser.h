// SPDX-License-Identifier: Apache-2.0
// One HTTP/1.1 request out of bytes that come in any pieces (RFC 9112). No I/O. Strict where two programs
// could disagree about where a request ends. Chunk extensions and trailers are read past and mean nothing
// (RFC 9110, 6.5.1 forbids what they could change). Memory: at most the limits for header and body, and as
// much as a header again for a chunk's line or the trailers.
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

  // The request without its body, once its header is complete and a body is still to come: the moment to
  // refuse it before it costs anything. nullptr otherwise, and after it was given once.
  [[nodiscard]] const Request* take_head();
  // True once for a request that waits for "100 Continue" before it sends its body.
  [[nodiscard]] bool take_continue();
  // Precondition: kRefused.
  [[nodiscard]] const Problem& problem() const { return problem_; }
  // Precondition for all: kDone.
  [[nodiscard]] bool keep_alive() const { return keep_alive_; }
  [[nodiscard]] bool knows_chunks() const { return knows_chunks_; }  // the peer, in a response
  [[nodiscard]] Request take();  // method, target, headers and body; call last, and once

 private:
  struct Grammar;  // Beast's parser
  Progress refuse(Problem problem);
  void keep_head();

  const Limits& limits_;
  std::unique_ptr<Grammar> grammar_;
  Problem problem_;
  Request request_;  // its header as it was before the body
  bool keep_alive_ = false;
  bool knows_chunks_ = false;
  bool waits_for_continue_ = false;
  bool began_ = false;
  bool head_given_ = false;
};

}  // namespace godwit::http
