// SPDX-License-Identifier: Apache-2.0
#include "boards/common/net/tcp_stream.h"

#include <lwip/opt.h>
#include <lwip/stats.h>

#include <set>

#include "tests/unit/boards/common/net/rig.h"

namespace godwit::boards {
namespace {

using State = TcpStream::State;
using Manner = test::TcpPeer::Manner;

std::string text_of(std::size_t size) {
  std::string text(size, ' ');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + (i * 7 + i / 26) % 26);
  return text;
}

class TcpStreamTest : public test::NetRig {
 protected:
  static constexpr std::uint16_t kPort = 8883;

  TcpStreamTest() { start_with_address(); }
  void begin() {
    ip_addr_t server{};
    IP_ADDR4(&server, 10, 0, 0, 1);
    ASSERT_EQ(stream_.connect(server, kPort), Status::kOk);
  }
  void connect() {
    begin();
    ASSERT_TRUE(run_until([this] { return stream_.state() == State::kOpen; }, Millis{1'000}));
  }
  // Reads until there is nothing for now, or `limit` bytes; the status says how it ended.
  std::pair<std::string, Status> read(std::size_t piece = 100, std::size_t limit = 100'000) {
    std::string text;
    std::vector<std::uint8_t> buffer(piece);
    while (text.size() < limit) {
      const auto size = stream_.read(buffer);
      if (!size) return {text, size.error()};
      if (*size == 0) return {text, Status::kOk};
      text += as_text(Bytes(buffer).first(*size));
    }
    return {text, Status::kBusy};
  }
  // Writes all of it, however long it takes.
  void write(std::string_view text, std::size_t piece = 1'000) {
    turn_ = [&] {
      while (!text.empty()) {
        const auto size = stream_.write(as_bytes(text.substr(0, piece)));
        if (!size) {
          EXPECT_EQ(size.error(), Status::kBusy);
          return;
        }
        text.remove_prefix(*size);
      }
    };
    EXPECT_TRUE(run_until([&] { return text.empty(); }));
    turn_ = nullptr;
  }
  void settle() { run(Millis{300}); }

  // After the network, which it needs until its end.
  TcpStream stream_;
};

TEST_F(TcpStreamTest, CarriesBytesBothWays) {
  connect();
  EXPECT_EQ(stream_.write(as_bytes("ping")), 4U);
  settle();
  EXPECT_EQ(segment_.tcp.received(), "ping");
  segment_.tcp.send("pong");
  settle();
  EXPECT_EQ(read(), std::pair(std::string("pong"), Status::kBusy));
}

TEST_F(TcpStreamTest, AsksForItsSegmentSize) {
  connect();
  EXPECT_EQ(segment_.tcp.asked_segment_size(), std::size_t{TCP_MSS});
  EXPECT_EQ(segment_.tcp.board_window(), std::size_t{TCP_WND});
}

TEST_F(TcpStreamTest, TakesBytesSplitEverywhere) {
  connect();
  const std::string text = text_of(40);
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    segment_.tcp.send(text.substr(0, cut));
    segment_.tcp.send(text.substr(cut));
    settle();
    EXPECT_EQ(read(1 + cut % 13).first, text) << cut;
  }
}

TEST_F(TcpStreamTest, TakesBytesOneByOne) {
  connect();
  segment_.tcp.segment_size_max = 1;
  const std::string text = text_of(500);
  segment_.tcp.send(text);
  std::string taken;
  turn_ = [&] { taken += read().first; };
  EXPECT_TRUE(run_until([&] {
    if (segment_.tcp.unacknowledged() > 0 && !segment_.has_frames()) segment_.tcp.retransmit();
    return taken.size() == text.size();
  }));
  EXPECT_EQ(taken, text);
}

TEST_F(TcpStreamTest, TakesLargeSegmentsAlthoughItAskedForSmallOnes) {
  connect();
  ASSERT_GT(segment_.tcp.segment_size_max, std::size_t{TCP_MSS});
  const std::string text = text_of(100'000);
  segment_.tcp.send(text);
  std::string taken;
  turn_ = [&] { taken += read().first; };
  EXPECT_TRUE(run_until([&] { return taken.size() == text.size(); }));
  EXPECT_EQ(taken, text);
  EXPECT_EQ(network_->stats().rx_dropped, 0U);
}

TEST_F(TcpStreamTest, StopsThePeerWhileNobodyReads) {
  connect();
  const std::string text = text_of(10'000);
  segment_.tcp.send(text);
  run(Millis{5'000});
  EXPECT_EQ(segment_.tcp.board_window(), 0U);
  EXPECT_EQ(network_->stats().rx_dropped, 0U);
  EXPECT_EQ(read(100, 1'000).first, text.substr(0, 1'000));
  settle();
  std::string taken = text.substr(0, 1'000);
  turn_ = [&] { taken += read().first; };
  EXPECT_TRUE(run_until([&] { return taken.size() == text.size(); }));
  EXPECT_EQ(taken, text);
}

TEST_F(TcpStreamTest, LosesNothingWhenItsBuffersRunOut) {
  connect();
  segment_.tcp.segment_size_max = 10;  // each in a buffer of its own
  const std::string text = text_of(2'000);
  segment_.tcp.send(text);
  settle();
  EXPECT_GT(network_->stats().rx_dropped, 0U);
  EXPECT_EQ(network_->stats().buffers_used_max, PBUF_POOL_SIZE);
  std::string taken;
  turn_ = [&] { taken += read().first; };
  EXPECT_TRUE(run_until([&] {
    if (!segment_.has_frames()) segment_.tcp.retransmit();
    return taken.size() == text.size();
  }));
  EXPECT_EQ(taken, text);
}

TEST_F(TcpStreamTest, WritesNoMoreThanItsBufferAndGoesOnWhenThereIsRoom) {
  connect();
  segment_.tcp.acknowledges = false;
  const std::string text = text_of(20'000);
  std::size_t taken = 0;
  while (const auto size = stream_.write(as_bytes(text).subspan(taken))) taken += *size;
  EXPECT_LE(taken, std::size_t{TCP_SND_BUF});
  EXPECT_GE(taken, std::size_t{TCP_SND_BUF} / 2);
  EXPECT_EQ(stream_.write(as_bytes("x")), std::unexpected(Status::kBusy));
  segment_.tcp.acknowledges = true;
  write(std::string_view(text).substr(taken));
  settle();
  EXPECT_EQ(segment_.tcp.received(), text);
  EXPECT_GT(network_->stats().tcp_retransmissions, 0U);
}

TEST_F(TcpStreamTest, WritesManySmallPieces) {
  connect();
  const std::string text = text_of(3'000);
  write(text, 7);
  settle();
  EXPECT_EQ(segment_.tcp.received(), text);
  EXPECT_EQ(network_->stats().tcp_retransmissions, 0U);
}

TEST_F(TcpStreamTest, ObeysAPeerThatTakesNothingForAWhile) {
  segment_.tcp.window = 0;
  connect();
  stream_.write(as_bytes("waiting")).value();
  run(Millis{30'000});
  segment_.tcp.window = 8'192;
  EXPECT_TRUE(run_until([this] { return segment_.tcp.received() == "waiting"; }, Millis{120'000}));
}

TEST_F(TcpStreamTest, SendsAgainWhatTheControllerHadNoRoomFor) {
  connect();
  segment_.accepts_frames = false;
  EXPECT_EQ(stream_.write(as_bytes("ping")), 4U);
  run(Millis{1'000});
  segment_.accepts_frames = true;
  EXPECT_TRUE(run_until([this] { return segment_.tcp.received() == "ping"; }));
}

TEST_F(TcpStreamTest, EndOfThePeerComesAfterItsLastByte) {
  connect();
  segment_.tcp.send("last words");
  segment_.tcp.finish();
  settle();
  EXPECT_EQ(stream_.state(), State::kPeerFinished);
  EXPECT_EQ(read(4), std::pair(std::string("last words"), Status::kOk));
  EXPECT_EQ(stream_.write(as_bytes("goodbye")), 7U);  // the other direction is still open
  settle();
  EXPECT_EQ(segment_.tcp.received(), "goodbye");
}

TEST_F(TcpStreamTest, ResetOfThePeerComesAfterItsLastByte) {
  connect();
  segment_.tcp.send("last words");
  settle();
  segment_.tcp.reset();
  settle();
  EXPECT_EQ(stream_.state(), State::kBroken);
  EXPECT_TRUE(stream_.reset_by_peer());
  EXPECT_EQ(stream_.write(as_bytes("lost")), 4U);  // reading tells
  EXPECT_EQ(read(), std::pair(std::string("last words"), Status::kIo));
}

TEST_F(TcpStreamTest, RefusedConnectionIsTold) {
  segment_.tcp.manner = Manner::kRefuses;
  begin();
  ASSERT_TRUE(run_until([this] { return stream_.state() == State::kBroken; }, Millis{1'000}));
  EXPECT_TRUE(stream_.reset_by_peer());
}

TEST_F(TcpStreamTest, SilentPeerIsGivenUpInTheEnd) {
  segment_.tcp.manner = Manner::kSilent;
  begin();
  run(Millis{5'000});
  EXPECT_EQ(stream_.state(), State::kConnecting);
  EXPECT_EQ(stream_.write(as_bytes("early")), std::unexpected(Status::kBusy));
  std::array<std::uint8_t, 4> buffer{};
  EXPECT_EQ(stream_.read(buffer), std::unexpected(Status::kBusy));
  ASSERT_TRUE(run_until([this] { return stream_.state() == State::kBroken; }, Millis{600'000}));
  EXPECT_FALSE(stream_.reset_by_peer());
}

TEST_F(TcpStreamTest, CloseStillDeliversWhatWasWritten) {
  connect();
  const std::string text = text_of(1'200);
  stream_.write(as_bytes(text)).value();
  segment_.tcp.send("never read");
  stream_.close();
  EXPECT_EQ(stream_.state(), State::kClosed);
  settle();
  EXPECT_EQ(segment_.tcp.received(), text);
  EXPECT_TRUE(segment_.tcp.finished_by_board());
}

TEST_F(TcpStreamTest, CloseWithUnreadBytesIsStillInOrder) {
  connect();
  segment_.tcp.send(text_of(700));
  settle();
  EXPECT_EQ(read(100, 100).first.size(), 100U);
  stream_.close();
  settle();
  EXPECT_TRUE(segment_.tcp.finished_by_board());
  EXPECT_FALSE(segment_.tcp.reset_by_board());
}

TEST_F(TcpStreamTest, ClosedConnectionsOfPeersThatHaveGoneLeaveAllMemoryToTheNextWithinSeconds) {
  for (int i = 0; i < 6; ++i) {
    SCOPED_TRACE(i);
    connect();
    segment_.tcp.manner = Manner::kSilent;
    while (stream_.write(as_bytes(text_of(100)))) {
    }
    ASSERT_GT(lwip_stats.memp[MEMP_TCP_SEG]->used, 0);
    stream_.close();
    run(Millis{6'000});
    EXPECT_EQ(lwip_stats.memp[MEMP_TCP_SEG]->used, 0);
    EXPECT_EQ(lwip_stats.memp[MEMP_TCP_PCB]->used, 0);
    segment_.tcp.manner = Manner::kAccepts;
  }
}

TEST_F(TcpStreamTest, CloseDeliversToAPeerThatFallsSilentForAWhile) {
  connect();
  segment_.tcp.acknowledges = false;
  std::string text;
  while (const auto size = stream_.write(as_bytes(text_of(100)))) text += text_of(*size);
  stream_.close();
  run(Millis{1'000});
  segment_.tcp.acknowledges = true;
  EXPECT_TRUE(run_until([this] { return segment_.tcp.finished_by_board(); }, Millis{10'000}));
  EXPECT_EQ(segment_.tcp.received(), text);
  EXPECT_FALSE(segment_.tcp.reset_by_board());
}

TEST_F(TcpStreamTest, AbortResetsThePeer) {
  connect();
  segment_.tcp.send("unread");
  settle();
  stream_.abort();
  settle();
  EXPECT_TRUE(segment_.tcp.reset_by_board());
  std::array<std::uint8_t, 4> buffer{};
  EXPECT_EQ(stream_.read(buffer), std::unexpected(Status::kIo));
  EXPECT_EQ(stream_.write(as_bytes("x")), std::unexpected(Status::kIo));
}

TEST_F(TcpStreamTest, ConnectsAgainAndAgainWhateverBecomesOfTheOldConnections) {
  for (int i = 0; i < 30; ++i) {
    connect();
    const std::string text = text_of(static_cast<std::size_t>(10 + i));
    write(text);
    segment_.tcp.send("unread");
    settle();
    EXPECT_EQ(segment_.tcp.received(), text) << i;
    if (i % 3 == 0) segment_.tcp.manner = Manner::kSilent;  // it does not answer to the end of this one
    if (i % 2 == 0) stream_.close();
    settle();
    segment_.tcp.manner = Manner::kAccepts;
  }
}

TEST_F(TcpStreamTest, UsesAnotherPortAndSequenceEachTime) {
  constexpr std::size_t kPortAt = 34, kSequenceAt = 38, kFlagsAt = 47;
  std::set<std::uint16_t> ports;
  std::set<std::uint32_t> sequences;
  for (int i = 0; i < 5; ++i) {
    segment_.sent.clear();
    connect();
    for (const test::Octets& frame : segment_.sent) {
      if (frame.size() < 58 || frame[23] != 6 || (frame[kFlagsAt] & 2U) == 0) continue;  // not a SYN
      ports.insert(load_be<std::uint16_t>(&frame[kPortAt]));
      sequences.insert(load_be<std::uint32_t>(&frame[kSequenceAt]));
    }
  }
  EXPECT_EQ(ports.size(), 5U);
  EXPECT_EQ(sequences.size(), 5U);
}

TEST_F(TcpStreamTest, BreaksWhenTheAddressGoes) {
  connect();
  segment_.cable = false;
  run(Millis{1'000});
  EXPECT_EQ(stream_.state(), State::kOpen);  // a short interruption does no harm
  segment_.cable = true;
  segment_.dhcp.refuses = true;
  EXPECT_TRUE(run_until([this] { return stream_.state() == State::kBroken; }, Millis{10'000}));
}

TEST_F(TcpStreamTest, SurvivesACableThatIsOutForAWhile) {
  connect();
  segment_.cable = false;
  run(Millis{1'000});
  stream_.write(as_bytes("patience")).value();
  run(Millis{20'000});
  segment_.cable = true;
  EXPECT_TRUE(run_until([this] { return segment_.tcp.received() == "patience"; }, Millis{60'000}));
}

TEST_F(TcpStreamTest, CannotConnectWithoutANetwork) {
  segment_.cable = false;
  run(Millis{1'000});
  ip_addr_t server{};
  IP_ADDR4(&server, 10, 0, 0, 1);
  EXPECT_EQ(stream_.connect(server, kPort), Status::kIo);
  EXPECT_EQ(stream_.state(), State::kClosed);
}

}  // namespace
}  // namespace godwit::boards
