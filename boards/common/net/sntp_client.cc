// SPDX-License-Identifier: Apache-2.0
#include "boards/common/net/sntp_client.h"

#include <lwip/pbuf.h>
#include <lwip/udp.h>

#include <algorithm>
#include <utility>

namespace godwit::boards {
namespace {

constexpr Millis kPeriod{3'600'000};
constexpr Millis kAnswerWait{2'000};
// After a request without an answer. Once the first packet may just have been lost; after that, nobody may be
// asked more often than every 15 s (RFC 4330, 10).
constexpr Millis kRetryMin{1'000};
constexpr Millis kRetryMax{1'024'000};
constexpr int kRetryFactor = 16;
constexpr Millis kAfterKiss{4 * 3'600'000};

}  // namespace

SntpClient::~SntpClient() {
  if (pcb_ != nullptr) udp_remove(pcb_);
}

void SntpClient::poll(Instant now, bool network_up) {
  now_ = now;
  if (!network_up || *server_.host == '\0') {
    state_ = State::kIdle;
    return;
  }
  if (state_ == State::kIdle) {
    retry_after_ = kRetryMin;
    begin();
  }
  if (state_ == State::kLookingUp && lookup_.status() == Status::kOk) ask();
  if (state_ == State::kLookingUp && lookup_.status() == Status::kNotFound) give_up();
  if (now < *due_) return;
  if (state_ == State::kWaiting) {
    begin();
  } else {
    give_up();
  }
}

std::optional<SntpClient::Answer> SntpClient::take_answer() { return std::exchange(answer_, std::nullopt); }

void SntpClient::begin() {
  constexpr Millis kLookupWait{15'000};
  state_ = State::kLookingUp;
  due_ = now_ + kLookupWait;
  lookup_.begin();
}

void SntpClient::ask() {
  if (pcb_ == nullptr) {
    pcb_ = udp_new();
    if (pcb_ == nullptr) return give_up();
    udp_recv(pcb_, &received, this);
  }
  pbuf* packet = pbuf_alloc(PBUF_TRANSPORT, kSntpMessageSize, PBUF_RAM);
  if (packet == nullptr) return give_up();
  if (entropy_.fill(nonce_) == Status::kOk) {
    const auto request = sntp_request(nonce_);
    pbuf_take(packet, request.data(), kSntpMessageSize);
    udp_sendto(pcb_, packet, &lookup_.address(), server_.port);  // what is not sent is not answered
  }
  pbuf_free(packet);
  state_ = State::kAsked;
  asked_at_ = now_;
  due_ = now_ + kAnswerWait;
}

void SntpClient::received(void* self, udp_pcb*, pbuf* packet, const ip_addr_t* from, std::uint16_t port) {
  auto& client = *static_cast<SntpClient*>(self);
  std::array<std::uint8_t, kSntpMessageSize> message{};
  const std::size_t size = pbuf_copy_partial(packet, message.data(), message.size(), 0);
  pbuf_free(packet);
  if (client.state_ == State::kAsked && port == client.server_.port &&
      ip_addr_eq(from, &client.lookup_.address())) {
    client.receive(Bytes(message).first(size));
  }
}

void SntpClient::receive(Bytes message) {
  const auto time = parse_sntp_answer(message, nonce_);
  if (time) {
    const Millis one_way = (now_ - asked_at_) / 2;
    answer_ = {.at = now_, .time = {time->value + one_way.count()}};
    retry_after_ = kRetryMin;
    wait(kPeriod);
  } else if (time.error() == Status::kDenied) {
    wait(kAfterKiss);
  } else if (time.error() == Status::kState) {
    give_up();
  }  // else it is not an answer to us: the true one may still come
}

void SntpClient::give_up() {
  wait(retry_after_);
  retry_after_ = std::min(retry_after_ * kRetryFactor, kRetryMax);
}

void SntpClient::wait(Millis time) {
  state_ = State::kWaiting;
  due_ = now_ + time;
}

}  // namespace godwit::boards
