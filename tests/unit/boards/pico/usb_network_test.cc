// SPDX-License-Identifier: Apache-2.0
#include "boards/pico/usb_network.h"

#include <gtest/gtest.h>
#include <pico/unique_id.h>
#include <tusb.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <vector>

#include "boards/pico/usb.h"

namespace {

// The computer and tinyusb, as the adapter sees them. It has one buffer for each direction.
struct Usb {
  bool mounted = true;
  bool suspended = false;
  bool transmitting = false;
  int renewals = 0;
  std::vector<std::uint8_t> sent{};
  std::function<void()> next_poll{};  // what happens when the adapter asks tinyusb next
};
Usb usb;

using Frame = std::vector<std::uint8_t>;

Frame frame(std::size_t size, std::uint8_t first) {
  Frame bytes(size);
  std::ranges::generate(bytes, [first]() mutable { return first++; });
  return bytes;
}

}  // namespace

void godwit::boards::poll_usb() {
  if (const auto poll = std::exchange(usb.next_poll, nullptr)) poll();
}
bool tud_mounted() { return usb.mounted; }
bool tud_ready() { return usb.mounted && !usb.suspended; }
void tud_network_recv_renew() { ++usb.renewals; }
bool tud_network_can_xmit(std::uint16_t) { return !usb.transmitting; }
void tud_network_xmit(void* reference, std::uint16_t argument) {
  usb.sent.resize(CFG_TUD_NET_MTU);
  usb.sent.resize(tud_network_xmit_cb(usb.sent.data(), reference, argument));
  usb.transmitting = true;
}
void pico_get_unique_board_id(pico_unique_board_id_t* id) { *id = {{1, 2, 3, 4, 5, 6, 7, 8}}; }

namespace godwit::boards {
namespace {

class UsbNetworkTest : public testing::Test {
 protected:
  UsbNetworkTest() {
    usb = {.mounted = false};
    network_.begin_receive();  // forgets what the test before left
    usb = {};
  }
  void switch_on() { tud_network_init_cb(); }
  // The computer sends it, and the adapter learns of it when it asks.
  void arrives(const Frame& bytes) {
    arriving_ = bytes;
    usb.next_poll = [this] {
      accepted_ = tud_network_recv_cb(arriving_.data(), static_cast<std::uint16_t>(arriving_.size()));
    };
  }
  Frame receive() {
    Frame bytes(network_.begin_receive());
    if (bytes.empty()) return bytes;
    network_.read(MutableBytes(bytes).first(bytes.size() / 2));
    network_.read(MutableBytes(bytes).subspan(bytes.size() / 2));
    network_.end_receive();
    return bytes;
  }
  bool transmit(const Frame& bytes) {
    if (!network_.begin_transmit(bytes.size())) return false;
    network_.write(Bytes(bytes).first(14));
    network_.write(Bytes(bytes).subspan(14));
    network_.end_transmit();
    return true;
  }

  UsbNetwork network_;
  Frame arriving_;
  std::optional<bool> accepted_;
};

TEST_F(UsbNetworkTest, HasALinkWhileTheComputerUsesTheAdapter) {
  EXPECT_FALSE(network_.link_up());
  switch_on();
  EXPECT_TRUE(network_.link_up());
  usb.suspended = true;
  EXPECT_FALSE(network_.link_up());
  usb.suspended = false;
  EXPECT_TRUE(network_.link_up());
}

TEST_F(UsbNetworkTest, HasNoLinkAfterTheCableWasPulledUntilItIsUsedAgain) {
  switch_on();
  usb.mounted = false;
  network_.begin_receive();
  usb.mounted = true;
  EXPECT_FALSE(network_.link_up());
  switch_on();
  EXPECT_TRUE(network_.link_up());
}

TEST_F(UsbNetworkTest, HandsAFrameOverInPiecesAndThenTakesTheNext) {
  switch_on();
  for (const std::size_t size : {14U, 60U, 64U, 1514U}) {
    arrives(frame(size, static_cast<std::uint8_t>(size)));
    EXPECT_EQ(receive(), frame(size, static_cast<std::uint8_t>(size)));
    EXPECT_EQ(receive(), Frame{});
  }
  EXPECT_EQ(usb.renewals, 4) << "each frame makes room for the next";
}

TEST_F(UsbNetworkTest, DropsAFrameThatIsReadInPart) {
  switch_on();
  arrives(frame(100, 1));
  ASSERT_EQ(network_.begin_receive(), 100U);
  Frame part(10);
  network_.read(part);
  network_.end_receive();
  arrives(frame(50, 9));
  EXPECT_EQ(receive(), frame(50, 9));
}

TEST_F(UsbNetworkTest, RefusesWhatIsNoFrame) {
  switch_on();
  for (const std::size_t size : {0U, 1U, 13U, 1515U}) {
    arrives(frame(size, 1));
    EXPECT_EQ(receive(), Frame{});
    EXPECT_EQ(accepted_, false) << size;  // so that tinyusb takes the next by itself
  }
  EXPECT_EQ(usb.renewals, 0);
}

// tinyusb's buffer is in use again after a reset of the bus: what was in it is gone.
TEST_F(UsbNetworkTest, ForgetsAFrameOfBeforeAResetOfTheBus) {
  switch_on();
  arrives(frame(100, 1));
  usb.next_poll = [arrive = usb.next_poll] {
    arrive();
    usb.mounted = false;
  };
  EXPECT_EQ(receive(), Frame{});
  usb.mounted = true;
  switch_on();
  EXPECT_EQ(receive(), Frame{});
  EXPECT_EQ(usb.renewals, 0);
}

TEST_F(UsbNetworkTest, SendsAFrameWrittenInPieces) {
  switch_on();
  ASSERT_TRUE(transmit(frame(1514, 3)));
  EXPECT_EQ(usb.sent, frame(1514, 3));
  EXPECT_FALSE(transmit(frame(60, 5))) << "the one before is still under way";
  usb.transmitting = false;
  ASSERT_TRUE(transmit(frame(60, 5)));
  EXPECT_EQ(usb.sent, frame(60, 5));
}

TEST_F(UsbNetworkTest, SendsNothingWithoutALink) {
  EXPECT_FALSE(transmit(frame(60, 5)));
  EXPECT_TRUE(usb.sent.empty());
}

TEST_F(UsbNetworkTest, HasAnotherAddressThanTheAdapterThatTheComputerSees) {
  const Ethernet::Address board = network_.address();
  EXPECT_NE(board, adapter_address());
  EXPECT_EQ(board, (Ethernet::Address{0x02, 4, 5, 6, 7, 8}));
  for (const std::uint8_t first : {board[0], adapter_address()[0]}) {
    EXPECT_EQ(first & 0b11, 0b10) << "one station, locally administered";
  }
}

}  // namespace
}  // namespace godwit::boards
