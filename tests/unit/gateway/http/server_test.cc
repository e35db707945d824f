// SPDX-License-Identifier: Apache-2.0
// The server as clients meet it: over TLS on the loopback interface, with limits short enough to run into.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/crypto.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <optional>

#include "tests/unit/gateway/http/server_fixture.h"

namespace godwit::http {
namespace {

using testing::HasSubstr;
using testing::Not;

using HttpServer = ServerTest;

// The memory of OpenSSL, in this whole process: a test can let it run out.
std::atomic<bool> tls_memory_is_out = false;

void* tls_malloc(std::size_t size, const char*, int) {
  return tls_memory_is_out ? nullptr : std::malloc(size);
}
void* tls_realloc(void* memory, std::size_t size, const char*, int) {
  return tls_memory_is_out ? nullptr : std::realloc(memory, size);
}
void tls_free(void* memory, const char*, int) { std::free(memory); }

// OpenSSL takes them only before its first allocation.
const bool tls_memory_is_ours = CRYPTO_set_mem_functions(tls_malloc, tls_realloc, tls_free) == 1;

TEST_F(HttpServer, AnswersARequestHoweverItsBytesArrive) {
  log_.append("pump", 1);
  start();
  TlsClient client = connect();
  const std::string request = get("/api/v1/devices/pump");
  const Reply whole = client.ask(request);
  EXPECT_EQ(whole.status, 200);
  for (std::size_t cut = 1; cut < request.size(); ++cut) {
    client.send(request.substr(0, cut));
    client.send(request.substr(cut));
    const Reply reply = client.reply();
    ASSERT_EQ(reply.status, 200) << cut;
    ASSERT_EQ(reply.body, whole.body) << cut;
  }
  for (const char byte : request) client.send({&byte, 1});
  EXPECT_EQ(client.reply().body, whole.body);
  const std::string chunked =
      "GET /healthz HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nTrailer: "
      "x\r\n\r\n";
  for (const char byte : chunked) client.send({&byte, 1});
  EXPECT_EQ(client.reply().status, 200);
  EXPECT_EQ(client.ask(request).status, 200) << "the next request begins where the chunked one ended";
}

TEST_F(HttpServer, AnswersPipelinedRequestsInOrder) {
  for (const char* device : {"a", "b", "c"}) log_.append(device, 1);
  start();
  TlsClient client = connect();
  client.send(get("/api/v1/devices/a") + "\r\n" + get("/api/v1/devices/b", "Content-Length: 3\r\n") + "xyz" +
              get("/api/v1/devices/c") + "GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n");
  for (const char* device : {"a", "b", "c"}) {
    EXPECT_THAT(client.reply().body, HasSubstr("\"id\":\"" + std::string(device) + "\""));
  }
  EXPECT_EQ(client.reply().status, 404);
}

// A chunk's extensions and the trailers are no data, so no limit of the body counts them.
TEST_F(HttpServer, EndsARequestWhoseFramingHasNoEnd) {
  start();
  const std::string head = "POST /healthz HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const std::string& endless : {std::string("1;a="), std::string("0\r\nTrailer: ")}) {
    TlsClient client = connect();
    client.send(head + endless);
    const std::string more(8 * 1024, 'a');
    for (int i = 0; i < 2; ++i) client.send(more);
    EXPECT_EQ(client.reply().status, 431) << endless;
    EXPECT_TRUE(client.ended());
  }
}

// RFC 9110, 6.5.1: what comes behind the body cannot authenticate, nor frame, nor name a host.
TEST_F(HttpServer, DoesNotTakeTrailersForHeaders) {
  log_.append("pump", 1);
  start();
  TlsClient client = connect();
  const std::string key(kAuthorization);
  EXPECT_EQ(client
                .ask("GET /api/v1/devices HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" +
                     key + "\r\n")
                .status,
            401);
  TlsClient other = connect();
  EXPECT_EQ(
      other.ask("GET /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: h\r\n\r\n").status,
      400);
}

TEST_F(HttpServer, ReadsNoBodyOfWhomItDoesNotKnow) {
  start();
  TlsClient client = connect();
  client.send("POST /api/v1/devices HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n");
  EXPECT_EQ(client.reply().status, 401) << "before a byte of the body";
  EXPECT_TRUE(client.ended());
}

TEST_F(HttpServer, SpendsNoMoreTimeOnHandshakesThanItMay) {
  Limits limits;
  limits.handshakes_per_second = 0.001;
  limits.handshake_burst = 3;
  start(limits);
  for (int i = 0; i < 3; ++i) (void)connect();
  EXPECT_THROW(connect(), std::runtime_error);
  EXPECT_EQ(server_->counters().connections_refused, 1U);
}

TEST_F(HttpServer, RefusesWhatIsNoStrictRequestAndEndsTheConnection) {
  start();
  struct Case {
    const char* description;
    std::string request;
    int status;
  };
  const std::vector<Case> cases = {
      {"length and coding",
       "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"coding and length",
       "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n", 400},
      {"two lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n", 400},
      {"two equal lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n",
       400},
      {"a list of lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4, 4\r\n\r\n", 400},
      {"a negative length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400},
      {"a signed length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +4\r\n\r\n", 400},
      {"a length in hexadecimal", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x4\r\n\r\n", 400},
      {"an empty length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \r\n\r\n", 400},
      {"another coding", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
      {"chunked not alone", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
      {"chunked not last", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n", 501},
      {"a misspelt coding", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n", 501},
      {"two codings",
       "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"coding in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"a blank before the colon", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length : 4\r\n\r\n", 400},
      {"a name with a blank", "GET / HTTP/1.1\r\nHost: h\r\nContent Length: 4\r\n\r\n", 400},
      {"a folded header before the first", "GET / HTTP/1.1\r\n X: y\r\nHost: h\r\n\r\n", 400},
      {"a bare line feed after the version", "GET / HTTP/1.1\nHost: h\n\n", 505},
      {"a bare line feed after a header", "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", 400},
      {"a NUL in a header", std::string("GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", 35), 400},
      {"a bad chunk size", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400},
      {"a huge chunk size",
       "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 400},
      {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
      {"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"no version", "GET /\r\n\r\n", 400},
      {"version 2 in text", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
      {"no HTTP at all", "\x16\x03\x01\x02\x05\r\n\r\n", 400},
      {"an unknown expectation", "GET / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n\r\n", 417},
  };
  for (const Case& c : cases) {
    TlsClient client = connect();
    const Reply reply = client.ask(c.request + get("/healthz"));
    EXPECT_EQ(reply.status, c.status) << c.description << ": " << reply.body;
    EXPECT_EQ(reply.header("Content-Type"), "application/problem+json") << c.description;
    EXPECT_EQ(reply.header("Connection"), "close") << c.description;
    EXPECT_TRUE(client.ended()) << c.description << ": what follows must not be taken for a request";
  }
}

TEST_F(HttpServer, RefusesWhatIsTooLarge) {
  Limits limits;
  limits.header_bytes_max = 4096;
  limits.target_bytes_max = 512;
  limits.body_bytes_max = 1000;
  start(limits);
  struct Case {
    const char* description;
    std::string request;
    int status;
  };
  const std::string long_text(5000, 'x');
  for (const Case& c :
       {Case{"header", "GET / HTTP/1.1\r\nHost: h\r\nX: " + long_text + "\r\n\r\n", 431},
        Case{"endless header", "GET / HTTP/1.1\r\nHost: h\r\nX: " + long_text, 431},
        Case{"endless target", "GET /" + long_text, 414},
        Case{"target", "GET /" + long_text.substr(0, 600) + " HTTP/1.1\r\nHost: h\r\n\r\n", 414},
        Case{"length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n", 413},
        Case{"chunk", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n", 413}}) {
    TlsClient client = connect();
    EXPECT_EQ(client.ask(c.request).status, c.status) << c.description;
  }
  TlsClient client = connect();
  EXPECT_EQ(client.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n" + std::string(1000, 'b'))
                .status,
            404);
}

TEST_F(HttpServer, EndsConnectionsThatAreTooSlow) {
  Limits limits;
  limits.first_byte_timeout = milliseconds(100);
  limits.request_timeout = milliseconds(200);
  limits.idle_timeout = milliseconds(100);
  start(limits);
  TlsClient silent = connect();
  TlsClient half_header = connect();
  half_header.send("GET /healthz HTTP/1.1\r\nHost:");
  TlsClient half_body = connect();
  half_body.send("GET /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
  TlsClient idle = connect();
  EXPECT_EQ(idle.ask(get("/healthz")).status, 200);
  EXPECT_TRUE(silent.ended());
  EXPECT_TRUE(idle.ended());
  EXPECT_EQ(half_header.reply().status, 408);
  EXPECT_TRUE(half_header.ended());
  EXPECT_EQ(half_body.reply().status, 408);
  EXPECT_TRUE(half_body.ended());
}

TEST_F(HttpServer, ABytePerMomentDoesNotHoldAConnectionOpen) {
  Limits limits;
  limits.request_timeout = milliseconds(200);
  start(limits);
  TlsClient client = connect();
  const auto begin = std::chrono::steady_clock::now();
  try {
    for (;;) {
      client.send("G");
      std::this_thread::sleep_for(milliseconds(5));
      if (std::chrono::steady_clock::now() - begin > seconds(20)) break;
    }
  } catch (const std::runtime_error&) {  // the server has closed
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(10));
}

// A TCP connection that sends nothing, not even a TLS hello.
class BareSocket {
 public:
  explicit BareSocket(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const timeval patience{.tv_sec = 20, .tv_usec = 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  ~BareSocket() { ::close(socket_); }
  BareSocket(const BareSocket&) = delete;
  BareSocket& operator=(const BareSocket&) = delete;
  bool ended() {
    char byte = 0;
    return ::recv(socket_, &byte, 1, 0) <= 0 && errno != EAGAIN;
  }
  void send(std::string_view text) { (void)::send(socket_, text.data(), text.size(), MSG_NOSIGNAL); }

 private:
  int socket_;
};

TEST_F(HttpServer, KeepsHandshakesFromTakingWhatConnectionsNeed) {
  log_.append("pump", 1);
  Limits limits;
  limits.handshakes_per_address_max = 4;
  start(limits);
  TlsClient known = connect();
  EXPECT_EQ(known.ask(get("/api/v1/devices")).status, 200);
  std::vector<std::unique_ptr<BareSocket>> idle;
  for (int i = 0; i < 20; ++i) idle.push_back(std::make_unique<BareSocket>(server_->port()));
  EXPECT_TRUE(eventually([&] { return server_->counters().connections_refused >= 16; }));
  EXPECT_LE(server_->counters().connections_open, 5U);
  EXPECT_EQ(known.ask(get("/api/v1/devices")).status, 200);
  idle.clear();
  EXPECT_TRUE(eventually([&] { return server_->counters().connections_open == 1; }));
  TlsClient again = connect();
  EXPECT_EQ(again.ask(get("/api/v1/devices")).status, 200);
}

TEST_F(HttpServer, EndsConnectionsWithoutTls) {
  Limits limits;
  limits.handshake_timeout = milliseconds(100);
  start(limits);
  BareSocket silent(server_->port());
  BareSocket plain(server_->port());
  plain.send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(silent.ended());
  std::string discarded;
  EXPECT_EQ(connect().ask(get("/healthz")).status, 200) << "others are served";
}

TEST_F(HttpServer, RefusesConnectionsAboveTheLimits) {
  Limits limits;
  limits.connections_per_address_max = 2;
  start(limits);
  TlsClient first = connect();
  {
    TlsClient second = connect();
    EXPECT_EQ(second.ask(get("/healthz")).status, 200);
    EXPECT_THROW(connect(), std::runtime_error);
    EXPECT_EQ(server_->counters().connections_refused, 1U);
  }
  EXPECT_EQ(first.ask(get("/healthz")).status, 200);
  EXPECT_TRUE(eventually([&] {
    try {
      return connect().ask(get("/healthz")).status == 200;
    } catch (const std::runtime_error&) {
      return false;
    }
  })) << "a place becomes free when its connection has ended";
}

TEST_F(HttpServer, GoesOnWhenThereIsNoMemoryForAConnection) {
  ASSERT_TRUE(tls_memory_is_ours);
  std::atomic<int> reports = 0;
  start({}, {.log = nullptr,
             .readiness = {},
             .metrics = {},
             .log_sink = [&](gateway::LogLevel, std::string_view text) {
               if (text.starts_with("cannot accept connections: ")) ++reports;
             }});
  EXPECT_EQ(connect().ask(get("/healthz")).status, 200);
  tls_memory_is_out = true;
  BareSocket refused(server_->port());
  EXPECT_TRUE(refused.ended());
  tls_memory_is_out = false;
  EXPECT_TRUE(eventually([&] { return reports == 1; }));
  EXPECT_EQ(connect().ask(get("/healthz")).status, 200);
}

TEST_F(HttpServer, SpeaksTls12And13AndOnlyProtocolsItHas) {
  start();
  TlsClient old(server_->port(),
                {.ca = ca_.certificate(), .alpn = "http/1.1", .receive_buffer = 0, .tls12 = true});
  EXPECT_EQ(old.version(), "TLSv1.2");
  EXPECT_EQ(old.ask(get("/healthz")).status, 200);
  TlsClient current(server_->port(), {.ca = ca_.certificate(), .alpn = "http/1.1"});
  EXPECT_EQ(current.version(), "TLSv1.3");
  EXPECT_EQ(current.ask(get("/healthz")).status, 200);
  EXPECT_THROW(TlsClient(server_->port(), {.ca = ca_.certificate(), .alpn = "h2"}), std::runtime_error);
}

// What RFC 7540, appendix A forbids: no forward secrecy, or CBC.
TEST_F(HttpServer, RefusesClientsThatOfferOnlyOldCipherSuites) {
  start();
  const auto offer = [this](const std::string& ciphers) {
    return TlsClient(server_->port(), {.ca = ca_.certificate(),
                                       .alpn = "http/1.1",
                                       .receive_buffer = 0,
                                       .tls12 = true,
                                       .ciphers = ciphers});
  };
  // Of both kinds of keys that the server may have.
  EXPECT_EQ(offer("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256").version(), "TLSv1.2");
  for (const char* const old :
       {"ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA",
        "ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256",
        "ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384", "AES128-SHA:AES256-SHA:AES128-GCM-SHA256"}) {
    EXPECT_THROW(offer(old), std::runtime_error) << old;
  }
}

TEST_F(HttpServer, WantsAKeyForTheApiOnly) {
  log_.append("pump", 1);
  start();
  TlsClient client = connect();
  const std::string no_key = "GET /api/v1/devices HTTP/1.1\r\nHost: h\r\n";
  const Reply refused = client.ask(no_key + "\r\n");
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.header("WWW-Authenticate"), "Bearer realm=\"godwit\"");
  EXPECT_THAT(refused.body, HasSubstr("Authorization: Bearer KEY"));
  const Reply wrong = client.ask(no_key + "Authorization: Bearer gwk_unknown\r\n\r\n");
  EXPECT_EQ(wrong.status, 401);
  EXPECT_THAT(wrong.header("WWW-Authenticate"), HasSubstr("invalid_token"));
  EXPECT_EQ(client.ask("GET /api/v1/nothing HTTP/1.1\r\nHost: h\r\n\r\n").status, 401)
      << "without a key nobody learns what exists";
  EXPECT_EQ(client.ask(get("/api/v1/nothing")).status, 404);
  EXPECT_EQ(client.ask("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
  EXPECT_EQ(client.ask(get("/api/v1/devices")).status, 200);
}

TEST_F(HttpServer, KnowsTheMethodsOfItsResources) {
  log_.append("pump", 1);
  start();
  TlsClient client = connect();
  const std::string rest = std::string(" HTTP/1.1\r\nHost: h\r\n") + kAuthorization + "\r\n";
  const Reply wrong = client.ask("DELETE /api/v1/devices/pump" + rest);
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.header("Allow"), "GET, HEAD, OPTIONS");
  client.send("OPTIONS /api/v1/devices/pump" + rest);
  const Reply options = client.reply();
  EXPECT_EQ(options.status, 204);
  EXPECT_EQ(options.header("Allow"), "GET, HEAD, OPTIONS");
  client.send("OPTIONS *" + rest);
  EXPECT_EQ(client.reply().status, 204);
  const Reply full = client.ask(get("/api/v1/devices/pump"));
  client.send("HEAD /api/v1/devices/pump" + rest);
  const Reply head = client.reply(/*head=*/true);
  EXPECT_EQ(head.header("Content-Length"), std::to_string(full.body.size()));
  EXPECT_EQ(head.header("ETag"), full.header("ETag"));
  client.send("HEAD /api/v1/events" + rest);
  EXPECT_EQ(client.reply(/*head=*/true).header("Content-Type"), "text/event-stream");
  EXPECT_EQ(client.ask(get("/healthz")).status, 200) << "the connection is still in step";
}

TEST_F(HttpServer, AnUnchangedResourceIsNotSentAgain) {
  log_.append("pump", 1);
  start();
  TlsClient client = connect();
  const std::string etag = client.ask(get("/api/v1/devices/pump")).header("ETag");
  for (const std::string& tags : {etag, "\"x\", W/" + etag, std::string("*")}) {
    const Reply same = client.ask(get("/api/v1/devices/pump", "If-None-Match: " + tags + "\r\n"));
    EXPECT_EQ(same.status, 304) << tags;
    EXPECT_EQ(same.header("ETag"), etag);
    EXPECT_NE(same.header("Cache-Control"), "(none)");
  }
  EXPECT_EQ(client.ask(get("/api/v1/devices/pump", "If-None-Match: \"x\"\r\n")).status, 200);
  log_.append("pump", 2);
  EXPECT_EQ(client.ask(get("/api/v1/devices/pump", "If-None-Match: " + etag + "\r\n")).status, 200);
}

TEST_F(HttpServer, EveryResponseCanBeTraced) {
  start();
  TlsClient client = connect();
  EXPECT_EQ(client.ask(get("/healthz")).header("X-Request-Id").size(), 32U);
  EXPECT_EQ(client.ask(get("/healthz", "X-Request-Id: mine-1\r\n")).header("X-Request-Id"), "mine-1");
  EXPECT_EQ(client.ask(get("/healthz", "X-Request-Id: a b<c>\r\n")).header("X-Request-Id").size(), 32U);
  const std::string trace = "0af7651916cd43dd8448eb211c80319c";
  const Reply traced = client.ask(get("/nothing", "traceparent: 00-" + trace + "-b7ad6b7169203331-01\r\n"));
  EXPECT_EQ(traced.header("X-Request-Id"), trace);
  EXPECT_THAT(traced.body, HasSubstr("\"trace_id\":\"" + trace + "\""));
  EXPECT_THAT(traced.body, HasSubstr("\"instance\":\"/nothing\""));
  for (const char* bad : {"00-00000000000000000000000000000000-b7ad6b7169203331-01",
                          "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x"}) {
    EXPECT_THAT(client.ask(get("/nothing", "traceparent: " + std::string(bad) + "\r\n")).body,
                Not(HasSubstr(bad)));
  }
}

TEST_F(HttpServer, ACallerAboveItsRateIsToldWhenToComeBack) {
  Limits limits;
  limits.requests_per_second = 0.1;
  limits.request_burst = 3;
  start(limits);
  TlsClient client = connect();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(client.ask(get("/healthz")).status, 200);
  const Reply refused = client.ask(get("/healthz"));
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.header("Retry-After"), "10");
  EXPECT_EQ(client.ask("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").status, 200) << "a caller of its own";
}

TEST_F(HttpServer, ABrokenDatabaseIsToldToTheOperatorAndNotToTheClient) {
  std::mutex mutex;
  std::string logged;
  start({}, {.log = nullptr,
             .readiness = {},
             .metrics = {},
             .log_sink = [&](gateway::LogLevel, std::string_view text) {
               const std::lock_guard lock(mutex);
               logged += text;
             }});
  log_.fail(true);
  TlsClient client = connect();
  const Reply reply = client.ask(get("/api/v1/devices"));
  EXPECT_EQ(reply.status, 503);
  EXPECT_NE(reply.header("Retry-After"), "(none)");
  EXPECT_THAT(reply.body, Not(HasSubstr("secret")));
  EXPECT_EQ(client.ask(get("/api/v1/devices")).status, 503);
  const std::size_t line = logged.find("/secret/path");
  ASSERT_NE(line, std::string::npos);
  EXPECT_EQ(logged.find("/secret/path", line + 1), std::string::npos) << "once is enough for 10 s";
  log_.fail(false);
  EXPECT_EQ(client.ask(get("/api/v1/devices")).status, 200);
}

TEST_F(HttpServer, AHangingDatabaseHoldsUpNobodyForLong) {
  Limits limits;
  limits.read_timeout = milliseconds(100);
  limits.reads_waiting_max = 1;
  start(limits);
  TlsClient client = connect();
  {
    const auto held = log_.hang();
    EXPECT_EQ(client.ask(get("/api/v1/devices")).status, 503);
    EXPECT_EQ(client.ask(get("/healthz")).status, 200);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(client.ask(get("/api/v1/devices")).status, 503);
  }
  EXPECT_TRUE(eventually([&] { return client.ask(get("/api/v1/devices")).status == 200; }));
}

// H4: whatever one key has the database do, others have their turn, and what needs no database does not wait.
TEST_F(HttpServer, AKeysReadsHoldUpNeitherOtherKeysNorReadiness) {
  log_.append("pump", 1);
  log_.append("slow", 1);
  std::mutex disk;
  std::unique_lock hanging(disk);
  std::atomic<int> reading = 0;
  log_.before_device([&](std::string_view id) {
    if (id != "slow") return;
    ++reading;
    const std::lock_guard wait(disk);
  });
  Limits limits;
  limits.reads_waiting_per_caller_max = 4;
  start(limits, {.log = nullptr,
                 .interrupt_reads = {},
                 .readiness = {},
                 .metrics = [] { return "up 1\n"; },
                 .log_sink = {}});
  std::vector<TlsClient> greedy;
  for (int i = 0; i < 5; ++i) {
    greedy.push_back(connect());
    greedy.back().send(get("/api/v1/devices/slow"));
  }
  ASSERT_TRUE(eventually([&] { return reading == 1; }));
  const auto as_other = [&](const std::string& path) {
    TlsClient client = connect();
    return client.ask("GET " + path + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " +
                      std::string(kOtherKey) + "\r\n\r\n");
  };
  EXPECT_EQ(as_other("/api/v1/devices/pump").status, 200);
  EXPECT_EQ(as_other("/readyz").status, 200);
  EXPECT_EQ(as_other("/metrics").status, 200);
  EXPECT_EQ(reading, 1) << "one at a time";
  TlsClient sixth = connect();
  EXPECT_TRUE(eventually([&] { return server_->counters().requests == 8; }));
  EXPECT_EQ(sixth.ask(get("/api/v1/devices/pump")).status, 503) << "four of this key wait already";
  hanging.unlock();
  for (TlsClient& client : greedy) EXPECT_EQ(client.reply().status, 200);
  EXPECT_EQ(reading, 5);
}

// What clients do not take is held in memory for them, so there is an end to it.
TEST_F(HttpServer, LargeResponsesThatNobodyTakesAreBoundedAndSharedByKeys) {
  for (int i = 0; i < 20; ++i) {
    gateway::Event event;
    event.type = gateway::EventType::kTelemetry;
    event.device = "d";
    event.batch = std::string(40'000, '\xff');  // shown undecoded
    log_.append(event);
  }
  start({.responses_bytes_max = 3'000'000});
  const std::string page = get("/api/v1/events?limit=500", "Accept: application/json\r\n");
  TlsClient client = connect();
  ASSERT_GT(client.ask(page).body.size(), 1'000'000U);
  std::optional<TlsClient> hog(connect(4096));
  hog->send(page);
  ASSERT_TRUE(hog->receive());  // it has begun
  EXPECT_EQ(client.ask(page).status, 503) << "more than what would be left";
  EXPECT_EQ(client.ask(get("/api/v1/devices")).status, 200) << "what is small goes on";
  std::string of_another = page;
  of_another.replace(of_another.find(kKey), std::string_view(kKey).size(), kOtherKey);
  EXPECT_EQ(client.ask(of_another).status, 200);
  hog.reset();
  EXPECT_TRUE(eventually([&] { return client.ask(page).status == 200; }));
}

TEST_F(HttpServer, ContinuesAndClosesAsAsked) {
  start();
  TlsClient client = connect();
  client.send("GET /healthz HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  EXPECT_EQ(client.reply().status, 100);
  EXPECT_EQ(client.ask("abc").status, 200);
  EXPECT_EQ(client.ask(get("/healthz", "Connection: close\r\n")).header("Connection"), "close");
  EXPECT_TRUE(client.ended());
  TlsClient old = connect();
  EXPECT_EQ(old.ask("GET /healthz HTTP/1.0\r\n\r\n").status, 200);
  EXPECT_TRUE(old.ended());
}

TEST_F(HttpServer, SurvivesClientsThatVanishAtAnyTime) {
  for (int i = 0; i < 500; ++i) log_.append("pump", i);
  start();
  const std::string request = get("/api/v1/devices/pump/telemetry?limit=500");
  for (std::size_t sent = 0; sent <= request.size(); sent += 7) {
    TlsClient client = connect();
    client.send(request.substr(0, sent));
    client.cut();
  }
  for (int i = 0; i < 20; ++i) {
    TlsClient client = connect();
    client.send(request + request + request);
    client.cut();
  }
  EXPECT_EQ(connect().ask(get("/healthz")).status, 200);
}

TEST_F(HttpServer, StopEndsEverything) {
  Limits limits;
  limits.stop_timeout = milliseconds(200);
  limits.read_timeout = seconds(30);
  start(limits);
  BareSocket no_handshake(server_->port());
  TlsClient idle = connect();
  EXPECT_EQ(idle.ask(get("/healthz")).status, 200);
  TlsClient half = connect();
  half.send("GET /healthz HTTP/1.1\r\n");
  TlsClient reading = connect();
  auto held = log_.hang();
  reading.send(get("/api/v1/devices"));
  const std::uint16_t port = server_->port();
  std::thread release([&] {
    std::this_thread::sleep_for(milliseconds(400));  // past stop_timeout: the read is still under way
    held.unlock();
  });
  server_->stop();
  release.join();
  EXPECT_TRUE(no_handshake.ended());
  EXPECT_TRUE(idle.ended());
  EXPECT_TRUE(half.ended());
  EXPECT_THROW(TlsClient(port, {.ca = ca_.certificate()}), std::runtime_error);
  server_->stop();
}

TEST_F(HttpServer, SaysWhatToDoWhenItCannotStart) {
  start();
  const auto text_of = [&](ServerConfig config) -> std::string {
    try {
      Server other(std::move(config), ApiKeys::parse("", "x"),
                   {.log = &log_, .readiness = {}, .metrics = {}, .log_sink = {}});
      other.start();
      return "started";
    } catch (const std::runtime_error& error) {
      return error.what();
    }
  };
  const ServerConfig good{.address = "127.0.0.1",
                          .port = server_->port(),
                          .certificate_file = (directory_ / "cert.pem").string(),
                          .private_key_file = (directory_ / "key.pem").string()};
  EXPECT_THAT(text_of(good), HasSubstr("choose another port"));
  ServerConfig config = good;
  config.certificate_file = "/nonexistent.pem";
  EXPECT_THAT(text_of(config), HasSubstr("/nonexistent.pem"));
  config = good;
  config.private_key_file = config.certificate_file;
  EXPECT_THAT(text_of(config), HasSubstr("not usable as the key"));
  config = good;
  config.address = "localhost";
  EXPECT_THAT(text_of(config), HasSubstr("not an IPv4 or IPv6 address"));
}

}  // namespace
}  // namespace godwit::http
