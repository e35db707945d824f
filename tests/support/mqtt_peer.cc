// SPDX-License-Identifier: Apache-2.0
#include "tests/support/mqtt_peer.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <stdexcept>

namespace godwit::test {
namespace {

// Packet types with their flags (MQTT 5, section 2.1).
constexpr std::uint8_t kConnect = 0x10;
constexpr std::uint8_t kConnack = 0x20;
constexpr std::uint8_t kPublish = 0x30;
constexpr std::uint8_t kPuback = 0x40;
constexpr std::uint8_t kSubscribe = 0x82;
constexpr std::uint8_t kSuback = 0x90;
constexpr std::uint8_t kQos1 = 0x02;

constexpr std::uint16_t kKeepAliveS = 3600;  // longer than any run
constexpr std::uint16_t kReceiveMax = 1000;  // as the gateway
constexpr int kAnswerTimeoutMs = 10'000;
constexpr std::size_t kReadSize = 16'384;  // a TLS record

void put_u16(std::string& out, std::size_t value) {
  out += static_cast<char>(value >> 8U);
  out += static_cast<char>(value & 0xFFU);
}

void put_string(std::string& out, std::string_view text) {
  put_u16(out, text.size());
  out += text;
}

std::size_t u8(std::string_view bytes, std::size_t at) { return static_cast<std::uint8_t>(bytes.at(at)); }
std::size_t u16(std::string_view bytes, std::size_t at) { return u8(bytes, at) << 8U | u8(bytes, at + 1); }

struct Varint {
  std::size_t value = 0;
  std::size_t size = 0;  // 0: not all of it is there
};

Varint varint(std::string_view bytes, std::size_t at) {
  Varint result;
  for (std::size_t i = 0; at + i < bytes.size() && i < 4; ++i) {
    const std::size_t byte = u8(bytes, at + i);
    result.value |= (byte & 0x7FU) << (7 * i);
    if (byte < 0x80U) return {result.value, i + 1};
  }
  return {};
}

}  // namespace

void MqttPeer::Free::operator()(ssl_ctx_st* context) const { SSL_CTX_free(context); }
void MqttPeer::Free::operator()(ssl_st* ssl) const { SSL_free(ssl); }

MqttPeer::MqttPeer(const Options& options) : name_(options.client_id) {
  open(options);
  std::string body;
  put_string(body, "MQTT");
  body += '\x05';  // version
  body += '\x02';  // clean start
  put_u16(body, kKeepAliveS);
  body += '\x03';  // size of the properties
  body += '\x21';  // receive maximum
  put_u16(body, kReceiveMax);
  put_string(body, options.client_id);
  begin_packet(kConnect, body.size());
  out_ += body;
  wait_for(kConnack);
}

void MqttPeer::open(const Options& options) {
  context_.reset(SSL_CTX_new(TLS_client_method()));
  if (SSL_CTX_load_verify_file(context_.get(), options.ca.c_str()) != 1 ||
      SSL_CTX_use_certificate_chain_file(context_.get(), options.certificate.c_str()) != 1 ||
      SSL_CTX_use_PrivateKey_file(context_.get(), options.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    fail("cannot read its credentials");
  }
  SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_mode(context_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  socket_ = boards::UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(options.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  ::setsockopt(fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (::connect(fd(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    fail("cannot connect");
  }
  ssl_.reset(SSL_new(context_.get()));
  SSL_set_fd(ssl_.get(), fd());
  if (SSL_connect(ssl_.get()) != 1) fail("TLS handshake failed");
  ::fcntl(fd(), F_SETFL, O_NONBLOCK);
}

void MqttPeer::fail(const std::string& what) const { throw std::runtime_error(name_ + ": " + what); }

void MqttPeer::begin_packet(std::uint8_t type, std::size_t size) {
  out_ += static_cast<char>(type);
  do {
    out_ += static_cast<char>((size & 0x7FU) | (size > 0x7FU ? 0x80U : 0U));
    size >>= 7U;
  } while (size > 0);
}

void MqttPeer::subscribe(std::string_view filter) {
  begin_packet(kSubscribe, 2 + 1 + 2 + filter.size() + 1);
  put_u16(out_, ++last_id_);
  out_ += '\0';  // no properties
  put_string(out_, filter);
  out_ += '\x01';  // QoS
  wait_for(kSuback);
}

void MqttPeer::publish(std::string_view topic, Bytes payload, Qos qos) {
  const std::size_t id_size = qos == Qos::kAtLeastOnce ? 2 : 0;
  constexpr std::uint8_t kAnswered = kPublish | kQos1;
  begin_packet(id_size > 0 ? kAnswered : kPublish, 2 + topic.size() + id_size + 1 + payload.size());
  put_string(out_, topic);
  if (id_size > 0) {
    if (++last_id_ == 0) ++last_id_;
    put_u16(out_, last_id_);
  }
  out_ += '\0';  // no properties
  out_ += as_text(payload);
}

void MqttPeer::flush() {
  while (!out_.empty()) {
    std::size_t written = 0;
    if (SSL_write_ex(ssl_.get(), out_.data(), out_.size(), &written) != 1) {
      if (SSL_get_error(ssl_.get(), 0) == SSL_ERROR_WANT_WRITE) return;
      fail("the broker has closed the connection");
    }
    out_.erase(0, written);
  }
}

void MqttPeer::wait_for(std::uint8_t packet_type) {
  answered_ = 0;
  flush();
  while (answered_ != packet_type) {
    pollfd source{fd(), POLLIN, 0};
    if (SSL_pending(ssl_.get()) == 0 && ::poll(&source, 1, kAnswerTimeoutMs) != 1) fail("no answer");
    receive([](std::string_view, Bytes) {});
  }
}

void MqttPeer::receive(const OnMessage& on_message) {
  for (;;) {
    const std::size_t held = in_.size();
    in_.resize(held + kReadSize);
    std::size_t size = 0;
    const int result = SSL_read_ex(ssl_.get(), in_.data() + held, kReadSize, &size);
    in_.resize(held + size);
    if (result != 1) {
      if (SSL_get_error(ssl_.get(), 0) == SSL_ERROR_WANT_READ) return;
      fail("the broker has closed the connection");
    }
    take_packets(on_message);
  }
}

void MqttPeer::take_packets(const OnMessage& on_message) {
  std::string_view rest = in_;
  while (rest.size() >= 2) {
    const Varint size = varint(rest, 1);
    const std::size_t head = 1 + size.size;
    if (size.size == 0 || rest.size() < head + size.value) break;
    take_packet(static_cast<std::uint8_t>(rest.front()), rest.substr(head, size.value), on_message);
    rest.remove_prefix(head + size.value);
  }
  in_.erase(0, in_.size() - rest.size());
}

void MqttPeer::take_packet(std::uint8_t first, std::string_view body, const OnMessage& on_message) {
  const std::uint8_t type = first & 0xF0U;
  if (type == kPublish) return take_publish(first, body, on_message);
  // The reason code: of a PUBACK after the packet identifier, and left out if it is success.
  if (type == kPuback && body.size() > 2 && u8(body, 2) >= 0x80U) fail("a message was refused");
  if (type == kConnack && u8(body, 1) != 0) fail("the broker refuses the connection");
  if (type == kSuback && static_cast<std::uint8_t>(body.back()) >= 0x80U) {
    fail("the broker refuses the subscription");
  }
  if (type != kPuback) answered_ = type;
}

void MqttPeer::take_publish(std::uint8_t first, std::string_view body, const OnMessage& on_message) {
  const std::size_t topic_size = u16(body, 0);
  std::size_t at = 2 + topic_size;
  if ((first & kQos1) != 0) {
    begin_packet(kPuback, 2);
    out_ += body.substr(at, 2);
    at += 2;
  }
  const Varint properties = varint(body, at);
  at += properties.size + properties.value;
  on_message(body.substr(2, topic_size), as_bytes(body.substr(at)));
}

}  // namespace godwit::test
