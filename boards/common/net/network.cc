// SPDX-License-Identifier: Apache-2.0
#include "boards/common/net/network.h"

#include <lwip/etharp.h>
#include <lwip/init.h>
#include <lwip/pbuf.h>
#include <lwip/stats.h>
#include <lwip/timeouts.h>
#include <netif/ethernet.h>

#include <algorithm>

#include "proto/base/assert.h"

namespace godwit::boards {
namespace {

Network* g_network = nullptr;  // lwIP's hooks have no argument to carry it in

constexpr std::uint16_t kMtu = 1500;
constexpr int kFramesPerPoll = 16;   // others want to work too
constexpr Millis kCablePeriod{200};  // asking the PHY takes its time

// lwIP can be initialised once only, and survives a network: tests make several.
void init_lwip() {
  static bool done = false;
  if (!done) lwip_init();
  done = true;
}

}  // namespace

Network::Network(Ethernet& ethernet, ports::Entropy& entropy, const Options& options)
    : ethernet_(ethernet), entropy_(entropy), options_(options), sntp_(entropy, options.sntp) {
  GODWIT_ASSERT(g_network == nullptr);
  g_network = this;
}

Network::~Network() {
  if (started_) {
    dhcp_stop(&netif_);
    netif_remove(&netif_);
  }
  g_network = nullptr;
}

Status Network::start(Instant now) {
  std::array<std::uint8_t, 4> probe{};
  if (entropy_.fill(probe) != Status::kOk) return Status::kIo;
  now_ = now;
  init_lwip();
  ethernet_.start();
  if (netif_add_noaddr(&netif_, this, &init_netif, &ethernet_input) == nullptr) return Status::kFull;
  netif_set_default(&netif_);
  netif_set_hostname(&netif_, options_.hostname);
  netif_set_up(&netif_);
  dhcp_set_struct(&netif_, &dhcp_);
  const err_t asked = dhcp_start(&netif_);
  GODWIT_ASSERT(asked == ERR_OK);  // fails only for want of memory, and nobody has taken any yet
  started_ = true;
  poll(now);
  return Status::kOk;
}

err_t Network::init_netif(netif* interface) {
  auto& network = *static_cast<Network*>(interface->state);
  const Ethernet::Address address = network.ethernet_.address();
  std::ranges::copy(address, interface->hwaddr);
  interface->hwaddr_len = address.size();
  interface->name[0] = 'e';
  interface->name[1] = 'n';
  interface->mtu = kMtu;
  interface->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
  interface->output = &etharp_output;
  interface->linkoutput = &transmit;
  return ERR_OK;
}

void Network::poll(Instant now) {
  if (!started_) return;
  now_ = now;
  follow_cable();
  receive();
  sys_check_timeouts();
  sntp_.poll(now, up());
}

Instant Network::next_deadline(Instant now) const {
  if (more_frames_) return now;
  // From the time of the last poll(), which is lwIP's.
  const Instant timers = now_ + Millis{sys_timeouts_sleeptime()};
  return std::min(timers, sntp_.deadline().value_or(timers));
}

// When the cable comes back lwIP asks the DHCP server whether the address still holds, and takes another if
// not.
void Network::follow_cable() {
  if (cable_seen_ && now_ < *cable_seen_ + kCablePeriod) return;
  cable_seen_ = now_;
  const bool connected = ethernet_.link_up();
  if (connected == cable()) return;
  if (connected) {
    netif_set_link_up(&netif_);
  } else {
    netif_set_link_down(&netif_);
    ++stats_.cable_outs;
  }
}

void Network::receive() {
  int frames = 0;
  for (; frames < kFramesPerPoll; ++frames) {
    const std::size_t size = ethernet_.begin_receive();
    if (size == 0) break;
    ++stats_.rx_frames;
    stats_.rx_bytes += size;
    pbuf* frame = pbuf_alloc(PBUF_RAW, static_cast<std::uint16_t>(size), PBUF_POOL);
    if (frame == nullptr) {
      ++stats_.rx_dropped;
      ethernet_.end_receive();
      continue;
    }
    for (pbuf* part = frame; part != nullptr; part = part->next) {
      ethernet_.read({static_cast<std::uint8_t*>(part->payload), part->len});
    }
    ethernet_.end_receive();
    if (netif_.input(frame, &netif_) != ERR_OK) pbuf_free(frame);
  }
  more_frames_ = frames == kFramesPerPoll;
}

err_t Network::transmit(netif* interface, pbuf* frame) {
  auto& network = *static_cast<Network*>(interface->state);
  if (!network.ethernet_.begin_transmit(frame->tot_len)) {
    ++network.stats_.tx_dropped;
    return ERR_WOULDBLOCK;
  }
  for (const pbuf* part = frame; part != nullptr; part = part->next) {
    network.ethernet_.write({static_cast<const std::uint8_t*>(part->payload), part->len});
  }
  network.ethernet_.end_transmit();
  network.count_retransmission({static_cast<const std::uint8_t*>(frame->payload), frame->len});
  ++network.stats_.tx_frames;
  network.stats_.tx_bytes += frame->tot_len;
  return ERR_OK;
}

// lwIP has a counter too, but only as one of a set that costs ten times as much. `head`: a frame from its
// start, at least to the end of the TCP header, which lwIP keeps in one piece.
void Network::count_retransmission(Bytes head) {
  constexpr std::size_t kIpSize = 20;  // we send no options
  constexpr std::size_t kIp = 14;
  constexpr std::size_t kTcp = kIp + kIpSize;
  constexpr std::size_t kTcpSizeMin = 20;
  constexpr std::uint8_t kProtocolTcp = 6;
  if (head.size() < kTcp + kTcpSizeMin || load_be<std::uint16_t>(&head[12]) != ETHTYPE_IP ||
      head[kIp + 9] != kProtocolTcp) {
    return;
  }
  const std::size_t headers = kIpSize + (head[kTcp + 12] >> 4U) * std::size_t{4};
  const auto size = static_cast<std::uint32_t>(load_be<std::uint16_t>(&head[kIp + 2]) - headers);
  if (size == 0) return;
  const auto port = load_be<std::uint16_t>(&head[kTcp]);
  const std::uint32_t end = load_be<std::uint32_t>(&head[kTcp + 4]) + size;
  if (port == sent_port_ && static_cast<std::int32_t>(end - sent_end_) <= 0) {
    ++stats_.tcp_retransmissions;
    return;
  }
  sent_port_ = port;
  sent_end_ = end;
}

Network::Ipv4 Network::address() const {
  const ip4_addr_t* address = netif_ip4_addr(&netif_);
  return {ip4_addr1(address), ip4_addr2(address), ip4_addr3(address), ip4_addr4(address)};
}

Network::Stats Network::stats() const {
  Stats stats = stats_;
  stats.rx_errors = ethernet_.errors();
  stats.buffers_used_max = lwip_stats.memp[MEMP_PBUF_POOL]->max;
  stats.heap_used_max = lwip_stats.mem.max;
  return stats;
}

std::uint32_t Network::now_ms() const { return static_cast<std::uint32_t>(now_.time_since_epoch().count()); }

// lwIP cannot be told that there is none. A board whose source has died starts again, and says so in start().
std::uint32_t Network::random() {
  std::uint32_t value = 0;
  const Status status = entropy_.fill(bytes_of(value));
  GODWIT_ASSERT(status == Status::kOk);
  return value;
}

}  // namespace godwit::boards

extern "C" {
std::uint32_t sys_now() { return godwit::boards::g_network->now_ms(); }
std::uint32_t godwit_lwip_random() { return godwit::boards::g_network->random(); }
}
