// SPDX-License-Identifier: Apache-2.0
// The same firmware says the same: what a board sends through its TLS connection is compared, packet by
// packet, with what the host's build of the device sends that has the same configuration and the same
// sensors.
//
// Different may be, and nothing else:
//   - try and epoch, random numbers, in hello and records;
//   - in hello: marks, oldest_seq and next_seq (how far recording has come when the connection stands) and
//   health;
//   - when acknowledgements (PUBACK) are sent, as they answer what others send, and PINGREQ, as it says only
//     that nothing else was sent for a while.
// So that not even times differ, the board has no time server, and the host's device starts its clock where
// the board's first record says that sampling began.
#include <sys/epoll.h>

#include <array>
#include <optional>

#include "boards/common/connection.h"
#include "boards/common/mcu/sensors.h"
#include "boards/host/console_log.h"
#include "boards/host/file_flash.h"
#include "boards/host/host_link.h"
#include "boards/host/tls_files.h"
#include "firmware/agent/device.h"
#include "tests/integration/qemu_test.h"
#include "tests/support/tls_recorder.h"

namespace godwit::test {
namespace {

using testing::HasSubstr;

constexpr std::size_t kRecordsCompared = 8;
constexpr unsigned kPeriodMs = 500;
constexpr unsigned kRows = 3;

// --- MQTT 5 (OASIS standard, sections 2 and 3.3), as far as it takes to tell packets apart.

struct Packet {
  std::uint8_t first = 0;  // type and flags
  std::string body;
  // Of a PUBLISH.
  std::string topic;
  std::string id_and_properties;
  std::string payload;

  [[nodiscard]] unsigned type() const { return first >> 4U; }
};
constexpr unsigned kPublish = 3;
constexpr unsigned kPuback = 4;
constexpr unsigned kPingreq = 12;

// Takes a variable byte integer (section 1.5.5) off the front; nullopt: it is not whole.
std::optional<std::size_t> take_size(std::string_view& bytes) {
  std::size_t value = 0;
  for (std::size_t i = 0; i < 4 && i < bytes.size(); ++i) {
    const auto byte = static_cast<std::uint8_t>(bytes[i]);
    value |= std::size_t{byte & 0x7FU} << (7 * i);
    if ((byte & 0x80U) == 0) {
      bytes.remove_prefix(i + 1);
      return value;
    }
  }
  return std::nullopt;
}

void split_publish(Packet& packet) {
  const std::string_view body = packet.body;
  const std::size_t topic_size =
      static_cast<std::uint8_t>(body[0]) * 256U + static_cast<std::uint8_t>(body[1]);
  packet.topic = body.substr(2, topic_size);
  const bool has_id = (packet.first & 6U) != 0;
  std::string_view rest = body.substr(2 + topic_size + (has_id ? 2 : 0));
  const std::size_t properties = take_size(rest).value();
  packet.payload = rest.substr(properties);
  packet.id_and_properties =
      body.substr(2 + topic_size, body.size() - 2 - topic_size - packet.payload.size());
}

// The whole packets in what was sent.
std::vector<Packet> split(std::string_view bytes) {
  std::vector<Packet> packets;
  while (bytes.size() > 1) {
    std::string_view rest = bytes.substr(1);
    const auto size = take_size(rest);
    if (!size || *size > rest.size()) break;
    Packet packet{.first = static_cast<std::uint8_t>(bytes[0]), .body = std::string(rest.substr(0, *size))};
    if (packet.type() == kPublish) split_publish(packet);
    packets.push_back(std::move(packet));
    bytes = rest.substr(*size);
  }
  return packets;
}

std::vector<Packet> of_topic(const std::vector<Packet>& packets, std::string_view leaf) {
  std::vector<Packet> found;
  std::string topic;
  for (const Packet& packet : packets) {
    if (packet.type() != kPublish) continue;
    if (!packet.topic.empty()) topic = packet.topic;  // empty: the alias stands for the same as before
    if (topic.ends_with(leaf)) found.push_back(packet);
  }
  return found;
}

Bytes bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// --- What a hello says, with storage of its own.

struct HelloCopy : codec::TableVisitor {
  explicit HelloCopy(std::string bytes) : payload(std::move(bytes)) {
    const auto decoded = codec::decode_hello(bytes_of(payload), *this);
    if (!decoded) throw std::runtime_error("a hello that cannot be decoded");
    hello = *decoded;
    for (std::size_t i = 0; i < tables.size(); ++i) tables[i].channels = channels[i];
  }
  void table(std::uint32_t, const codec::ChannelTable& table) override {
    tables.push_back(table);  // its texts are in `payload`
    channels.emplace_back(table.channels.begin(), table.channels.end());
  }

  std::string payload;
  codec::Hello hello;
  std::vector<codec::ChannelTable> tables;
  std::vector<std::vector<codec::Channel>> channels;
};

// --- The device of the host's build.

// The channels that the board has for its own state; no record of them is made while we look.
class SystemTwin final : public boards::SensorDriver {
 public:
  explicit SystemTwin(std::span<const codec::Channel> channels) : channels_(channels) {}
  [[nodiscard]] std::span<const codec::Channel> channels() const override { return channels_; }
  Status read(Instant, std::uint64_t, std::span<std::int64_t> row) override {
    std::ranges::fill(row, 0);
    return Status::kOk;
  }

 private:
  std::span<const codec::Channel> channels_;
};

// Runs the device, from `start` on its clock, until it has had `records` acknowledged. Its time is made here:
// it passes only while there is nothing to do, so that it misses no sample however busy this machine is, and
// once the device is online faster than ours, so that nobody has to wait.
void run_twin(const HelloCopy& like, Instant start, boards::HostLink::Options options,
              std::uint64_t entries) {
  constexpr int kWaitMs = 2;
  constexpr Millis kStepOnline{8};
  constexpr Millis kStepConnecting{1};
  const TempDir data;
  auto flash =
      boards::FileFlash::open(data.path() / "flash.bin", boards::FileFlash::kDefaultGeometry).value();
  boards::HostEntropy entropy;
  boards::ConsoleLog log;
  boards::SyntheticSensors synthetic;
  SystemTwin system(like.tables.at(1).channels);
  const std::array<telemetry::Table, 2> tables{
      telemetry::Table{.contract = like.tables.at(0), .age_max = Millis{60'000}},
      telemetry::Table{.contract = like.tables.at(1), .age_max = Millis{600'000}}};
  boards::TableSensors sensors(tables, {&synthetic, &system});
  const agent::Config config{.id = DeviceId::parse("board-1").value(),
                             .firmware = like.hello.firmware,
                             .board = like.hello.board,
                             .boot = like.hello.boot,
                             .reset_reason = like.hello.reset_reason,
                             .tables = tables};
  agent::Device device(config, {.flash = *flash, .entropy = entropy, .sensors = sensors, .log = log});
  Instant now = start;
  ASSERT_EQ(device.start(now), Status::kOk);
  device.set_health(now, like.hello.health.value());
  // The board records while its first handshake takes seconds, and its first hello names the mark of that.
  while (device.outbox().next_seq() < like.hello.next_seq) device.handle_timeout(now = now + kStepConnecting);
  const boards::UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  boards::HostLink link(epoll.get(), nullptr, std::move(options));
  boards::Connection connection(device, log, link);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (device.acked_seq().value <= entries && std::chrono::steady_clock::now() < deadline) {
    connection.run(now);
    std::array<epoll_event, 4> events{};
    if (::epoll_wait(epoll.get(), events.data(), static_cast<int>(events.size()), kWaitMs) > 0) continue;
    now = now + (device.online() ? kStepOnline : kStepConnecting);
  }
  EXPECT_GT(device.acked_seq().value, entries) << "the host's device does not get on";
}

// --- The comparison.

class QemuWire : public QemuTest {
 protected:
  [[nodiscard]] TlsRecorder::Options recorder() const {
    const auto dir = gateway_.dir();
    return {.target_port = gateway_.mqtt_port(),
            .ca = dir / "ca.crt",
            .server = {dir / "broker.crt", dir / "broker.key"},
            .client = {dir / "devices/board-1/device.crt", dir / "devices/board-1/device.key"}};
  }
  static std::vector<Packet> sent(const TlsRecorder& recorder) {
    std::vector<Packet> packets;
    for (const auto& connection : recorder.connections()) {
      for (Packet& packet : split(connection.sent)) packets.push_back(std::move(packet));
    }
    return packets;
  }
};

// The packets that carry samples: not the mark, which is a random number.
std::vector<Packet> samples_of(const std::vector<Packet>& packets) {
  std::vector<Packet> samples = of_topic(packets, "/up/rec");
  std::erase_if(samples, [](const Packet& packet) {
    const auto record = codec::decode_record(bytes_of(packet.payload));
    return !record || !record->batch;
  });
  return samples;
}

// The records are the same but for the try.
void expect_same_record(const Packet& board, const Packet& host, std::size_t number) {
  SCOPED_TRACE("record " + std::to_string(number));
  EXPECT_EQ(board.first, host.first);
  EXPECT_EQ(board.topic, host.topic);
  EXPECT_EQ(board.id_and_properties, host.id_and_properties);
  const auto ours = codec::decode_record(bytes_of(board.payload));
  const auto theirs = codec::decode_record(bytes_of(host.payload));
  ASSERT_TRUE(ours && theirs && ours->batch && theirs->batch);
  EXPECT_EQ(ours->seq, theirs->seq);
  std::array<std::uint8_t, codec::kRecordPrefixMax> prefix{};
  const auto size = codec::encode_record_prefix(ours->try_id, theirs->seq, theirs->batch->size(), prefix);
  std::string expected(prefix.begin(), prefix.begin() + static_cast<std::ptrdiff_t>(size.value()));
  expected.append(theirs->batch->begin(), theirs->batch->end());
  EXPECT_EQ(board.payload, expected);
}

// The hellos are the same but for what the head of this file says.
void expect_same_hello(const Packet& board, const Packet& host) {
  EXPECT_EQ(board.first, host.first);
  EXPECT_EQ(board.topic, host.topic);
  EXPECT_EQ(board.id_and_properties, host.id_and_properties);
  const HelloCopy ours(board.payload);
  const HelloCopy theirs(host.payload);
  codec::Hello expected = theirs.hello;
  expected.try_id = ours.hello.try_id;
  expected.epoch = ours.hello.epoch;
  expected.marks = ours.hello.marks;
  expected.marks_count = ours.hello.marks_count;
  expected.oldest_seq = ours.hello.oldest_seq;
  expected.next_seq = ours.hello.next_seq;
  expected.health = ours.hello.health;
  std::vector<codec::AnnouncedTable> tables;
  for (const codec::ChannelTable& table : theirs.tables) tables.push_back(codec::announced(table));
  std::string encoded(agent::Uplink::kHelloSizeMax, '\0');
  const auto size = codec::encode(
      expected, tables, MutableBytes(reinterpret_cast<std::uint8_t*>(encoded.data()), encoded.size()));
  ASSERT_TRUE(size.has_value());
  EXPECT_EQ(board.payload, encoded.substr(0, *size));
}

TEST_F(QemuWire, SaysTheSameAsTheHostsBuild) {
  start_servers();
  // The credentials first, then the board behind the recorder that uses them.
  gateway_.add_device("board-1");
  const auto of_board = std::make_unique<TlsRecorder>(recorder());
  QemuBoard& board = add_board(
      {.period_ms = kPeriodMs,
       .rows = kRows,
       .sntp = false,
       .broker_port = of_board->port(),
       // Its time is counted in instructions: a busy machine makes it slow, but it misses no sample.
       .more_qemu = {"-icount", "shift=4"}});
  board.start();
  ASSERT_TRUE(wait_for_committed(kRecordsCompared + 2, "board-1", std::chrono::seconds(60)));
  kill_and_look(board);
  const std::vector<Packet> ours = sent(*of_board);
  const auto hellos = of_topic(ours, "/up/hello");
  const auto records = samples_of(ours);
  ASSERT_FALSE(hellos.empty());
  ASSERT_GE(records.size(), kRecordsCompared);
  const HelloCopy hello(hellos.front().payload);
  EXPECT_EQ(hello.hello.missed_samples, 0U) << "with time of its own it cannot miss any";
  const auto first = codec::decode_record(bytes_of(records.front().payload));
  const auto batch = codec::decode_batch(first.value().batch.value());

  const TlsRecorder of_host(recorder());
  const auto credentials = gateway_.dir() / "devices/board-1";
  const auto tls = boards::TlsFiles::load({.ca = (gateway_.dir() / "ca.crt").string(),
                                           .certificate = (credentials / "device.crt").string(),
                                           .key = (credentials / "device.key").string()})
                       .value();
  run_twin(hello, Instant{batch.value().time},
           {.host = "127.0.0.1",
            .port = of_host.port(),
            .tls = boards::HostLink::Tls{.context = tls->context(),
                                         .trust = tls->trust(),
                                         .identity = tls->identity(),
                                         .server_name = "localhost"}},
           kRecordsCompared + 1);  // the mark of this mount is the first entry
  const std::vector<Packet> theirs = sent(of_host);

  const auto host_records = samples_of(theirs);
  ASSERT_GE(host_records.size(), kRecordsCompared);
  for (std::size_t i = 0; i < kRecordsCompared; ++i) expect_same_record(records[i], host_records[i], i + 1);
  expect_same_hello(hellos.front(), of_topic(theirs, "/up/hello").at(0));

  // All of the connection up to there: the same kinds of packets in the same order; those without a payload
  // of ours to the byte.
  const auto spine = [](const std::vector<Packet>& packets) {
    std::vector<std::string> kinds;
    for (const Packet& packet : packets) {
      if (packet.type() == kPuback || packet.type() == kPingreq) continue;
      kinds.push_back(std::to_string(packet.first) + ": " +
                      (packet.type() == kPublish ? packet.topic : packet.body));
    }
    kinds.resize(std::min(kinds.size(), kRecordsCompared));
    return kinds;
  };
  EXPECT_EQ(spine(ours), spine(theirs));
}

}  // namespace
}  // namespace godwit::test
