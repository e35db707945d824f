// SPDX-License-Identifier: Apache-2.0
#include "tests/support/tcp_proxy.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "tests/support/loopback.h"

namespace godwit::test {
namespace {

constexpr int kTickMs = 5;  // how soon a change of mind is seen

// Closes with RST, as a crashed peer or a broken path does.
void reset(int fd) {
  const linger hard{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
  ::close(fd);
}

}  // namespace

struct TcpProxy::Pair {
  int client;
  int server;
  ~Pair() {
    reset(client);
    reset(server);
  }
};

TcpProxy::TcpProxy(std::uint16_t target_port) : target_port_(target_port) {
  const Listener listener = listen_on_loopback();
  listener_ = listener.fd;
  port_ = listener.port;
  thread_ = std::thread([this] { run(); });
}

TcpProxy::~TcpProxy() {
  stopped_ = true;
  thread_.join();
  ::close(listener_);
}

void TcpProxy::cut_after(std::size_t bytes, std::size_t times) {
  const std::lock_guard lock(mutex_);
  cut_bytes_ = bytes;
  cut_left_ = bytes;
  cut_times_ = times;
}

void TcpProxy::cut() { cut_now_ = true; }

void TcpProxy::accept_one() {
  const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (client < 0) return;
  const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(target_port_);
  if (server < 0 || ::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    if (server >= 0) ::close(server);
    reset(client);
    return;
  }
  ++connections_;
  pairs_.push_back(std::unique_ptr<Pair>(new Pair{client, server}));
}

// Moves what is there from either side to the other; false: the connection is over.
bool TcpProxy::pass(Pair& pair) {
  for (const auto& [from, to] : {std::pair(pair.client, pair.server), std::pair(pair.server, pair.client)}) {
    std::array<char, 4096> buffer;
    const std::size_t rate = rate_;
    const std::size_t size_max =
        rate == 0 ? buffer.size() : std::clamp<std::size_t>(rate * kTickMs / 1'000, 1, buffer.size());
    const ssize_t size = ::recv(from, buffer.data(), size_max, MSG_DONTWAIT);
    if (size < 0) continue;
    if (size == 0) return false;
    std::size_t allowed = static_cast<std::size_t>(size);
    bool over = false;
    {
      const std::lock_guard lock(mutex_);
      if (cut_times_ > 0 && cut_left_ <= allowed) {
        allowed = cut_left_;
        cut_left_ = cut_bytes_;
        --cut_times_;
        over = true;
      } else if (cut_times_ > 0) {
        cut_left_ -= allowed;
      }
    }
    for (std::size_t sent = 0; sent < allowed;) {
      const ssize_t step = ::send(to, buffer.data() + sent, allowed - sent, MSG_NOSIGNAL);
      if (step <= 0) return false;
      sent += static_cast<std::size_t>(step);
    }
    if (over) return false;
  }
  return true;
}

void TcpProxy::run() {
  while (!stopped_) {
    std::vector<pollfd> sources{{listener_, POLLIN, 0}};
    if (!stalled_) {
      for (const auto& pair : pairs_) {
        sources.push_back({pair->client, POLLIN, 0});
        sources.push_back({pair->server, POLLIN, 0});
      }
    }
    ::poll(sources.data(), sources.size(), kTickMs);
    if (rate_ > 0) std::this_thread::sleep_for(std::chrono::milliseconds(kTickMs));
    if (cut_now_.exchange(false)) {
      pairs_.clear();
      continue;
    }
    std::size_t source = 1;
    if (sources.size() > 1) {
      std::erase_if(pairs_, [&](const std::unique_ptr<Pair>& pair) {
        const bool ready = sources[source].revents != 0 || sources[source + 1].revents != 0;
        source += 2;
        return ready && !pass(*pair);
      });
    }
    if ((sources[0].revents & POLLIN) != 0) accept_one();
  }
  pairs_.clear();
}

}  // namespace godwit::test
