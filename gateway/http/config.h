// SPDX-License-Identifier: Apache-2.0
// Everything that can be set about the HTTPS server, and every limit that keeps a hostile or slow client from
// costing more than a bounded amount of memory, and nobody else's service.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace godwit::http {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Limits {
  // Connections. One above a limit is closed right after accept, before it costs a TLS handshake.
  std::size_t connections_max = 4096;
  std::size_t connections_per_address_max = 1024;
  // Of these, before the end of the TLS handshake: what costs a descriptor and proves nothing.
  std::size_t handshakes_per_address_max = 256;
  // Handshakes begun, 0.3 ms of the server's thread each: sustained, and at once (followers that come back
  // together).
  double handshakes_per_second = 200;
  double handshake_burst = 1024;
  milliseconds handshake_timeout = seconds(10);  // accept to the end of the TLS handshake
  // End of the handshake to the first byte of the first request.
  milliseconds first_byte_timeout = seconds(10);
  milliseconds idle_timeout = seconds(60);     // between requests
  milliseconds request_timeout = seconds(15);  // first byte of a request to its last
  milliseconds write_timeout = seconds(20);    // a response, or 64 KiB of an event stream, must drain within
  milliseconds linger = seconds(1);  // for the peer to take a last response before the socket closes

  // One request.
  std::size_t target_bytes_max = 2048;
  std::size_t header_bytes_max = 16 * 1024;  // request line included
  std::size_t body_bytes_max = 64 * 1024;

  // Requests per second of one API key, and of one address as long as it shows no valid key.
  double requests_per_second = 200;
  double request_burst = 400;

  // Reads of the database for requests: one at a time for each key.
  std::size_t read_threads = 2;
  std::size_t reads_waiting_max = 256;  // then 503
  std::size_t reads_waiting_per_caller_max = 64;
  milliseconds read_timeout = seconds(5);  // then 503; a page of the log ends with what it has by then

  // Of responses that wait for their clients to take them, those of at most large_response_bytes not counted;
  // then 503. A caller may have as much as it leaves free.
  std::size_t responses_bytes_max = 64 * 1024 * 1024;
  std::size_t large_response_bytes = 64 * 1024;

  // Event streams. A subscriber holds a place in the log and the shared blocks of one write, never a queue.
  std::size_t subscribers_max = 2048;             // likewise shared by callers
  std::size_t stream_read_threads = 2;            // for those that are behind, first come, first served
  std::size_t stream_batch_bytes = 64 * 1024;     // a write; a single event may be longer
  std::size_t feed_bytes_max = 24 * 1024 * 1024;  // of the log kept encoded in memory: the newest, and pages
  milliseconds heartbeat = seconds(15);
  milliseconds retry = seconds(2);             // told to the client: wait so long before connecting again
  milliseconds gather_max = milliseconds(50);  // longest time that events are gathered under load

  milliseconds stop_timeout = seconds(3);  // for requests under way when the server stops
};

struct ServerConfig {
  std::string address = "127.0.0.1";  // IPv4 or IPv6 to listen on; "::" and "0.0.0.0" mean all
  std::uint16_t port = 8443;          // 0: any free one, see Server::port()
  std::string certificate_file;       // PEM: the server's certificate, then intermediates if any
  std::string private_key_file;       // PEM
  Limits limits = {};
};

}  // namespace godwit::http
