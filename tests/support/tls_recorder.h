// SPDX-License-Identifier: Apache-2.0
// A proxy between TLS clients and a broker on 127.0.0.1 that keeps what passes in plain text. To the client
// it is the broker, with the broker's certificate and key; to the broker it is the client, with that one's.
// One thread of its own for each connection.
#pragma once

#include <openssl/ssl.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace godwit::test {

class TlsRecorder {
 public:
  struct Identity {
    std::filesystem::path certificate;
    std::filesystem::path key;
  };
  struct Options {
    std::uint16_t target_port = 0;
    std::filesystem::path ca;  // of both sides
    Identity server;           // shown to clients
    Identity client;           // shown to the broker
  };
  struct Connection {
    std::string sent;      // by the client
    std::string received;  // by the client
  };

  explicit TlsRecorder(const Options& options);
  ~TlsRecorder();
  TlsRecorder(const TlsRecorder&) = delete;
  TlsRecorder& operator=(const TlsRecorder&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  // What has passed so far, in the order of the connections.
  [[nodiscard]] std::vector<Connection> connections() const;

 private:
  using Context = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;
  using Tls = std::unique_ptr<SSL, decltype(&SSL_free)>;

  static Context context(const Options& options, const Identity& identity, const SSL_METHOD* method);
  void run();
  void serve(int client, Connection& connection);
  void pass(SSL& client, SSL& server, Connection& connection);
  bool pass_one(SSL& from, SSL& to, std::string& record);

  Context to_client_;
  Context to_server_;
  std::uint16_t target_port_;
  std::uint16_t port_ = 0;
  int listener_ = -1;
  std::atomic<bool> stopped_ = false;
  mutable std::mutex mutex_;
  std::list<Connection> connections_;
  std::vector<std::thread> workers_;
  std::thread thread_;
};

}  // namespace godwit::test
