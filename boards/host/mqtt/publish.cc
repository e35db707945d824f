// SPDX-License-Identifier: Apache-2.0
// godwit-mqtt pub: done when the broker has acknowledged every message.
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "boards/host/mqtt/setup.h"
#include "firmware/mqtt/codec.h"

namespace godwit::boards {
namespace {

// The messages to send, one after the other.
class Source {
 public:
  explicit Source(const PublishArguments& arguments)
      : lines_(arguments.lines), left_(arguments.lines ? 0 : arguments.count) {}

  // From the file or the command line. The error is a sentence.
  std::expected<void, std::string> load(const PublishArguments& arguments) {
    if (arguments.message) text_ = *arguments.message;
    if (arguments.file.empty()) return {};
    auto content = read_text_file(arguments.file);
    if (!content) return std::unexpected(content.error());
    text_ = std::move(*content);
    return {};
  }

  // The next message, if it is there; borrowed until take().
  [[nodiscard]] std::optional<std::string_view> peek() const {
    if (!lines_) return left_ > 0 ? std::optional<std::string_view>(text_) : std::nullopt;
    const std::size_t end = text_.find('\n');
    if (end != std::string::npos) return std::string_view(text_).substr(0, end);
    return ended_ && !text_.empty() ? std::optional<std::string_view>(text_) : std::nullopt;
  }
  void take() {
    if (!lines_) {
      --left_;
      return;
    }
    const std::size_t end = text_.find('\n');
    text_.erase(0, end == std::string::npos ? end : end + 1);
  }
  [[nodiscard]] bool done() const { return lines_ ? ended_ && text_.empty() : left_ == 0; }

  // Where more would come from; -1: there is enough, or no more.
  [[nodiscard]] int fd() const { return lines_ && !ended_ && !peek() ? STDIN_FILENO : -1; }
  void read() {
    std::array<char, 4096> buffer;
    const ssize_t size = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) return;
    if (size <= 0) ended_ = true;
    if (size > 0) text_.append(buffer.data(), static_cast<std::size_t>(size));
  }

 private:
  bool lines_;
  bool ended_ = false;
  std::uint32_t left_;
  std::string text_;
};

class Publisher {
 public:
  Publisher(MqttClient& client, Source& source, const ConnectArguments& connect,
            const PublishArguments& arguments)
      : client_(client), source_(source), connect_(connect), arguments_(arguments) {}

  int run() {
    for (;;) {
      while (const auto* const event = client_.poll_event()) {
        if (!handle(*event)) return complain(failure_);
      }
      if (!publish_some()) return complain(failure_);
      if (source_.done() && client_.session().in_flight() == 0 && client_.session().transmit().empty()) break;
      if (client_.interrupted()) return complain("interrupted before everything was acknowledged");
      if (!client_.wait(source_.fd())) return complain(client_.error());
      if (client_.input_ready()) source_.read();
    }
    client_.finish();
    return rejected_ == 0 ? 0 : complain(std::to_string(rejected_) + " messages were not accepted");
  }

 private:
  bool handle(const mqtt::Event& event) {
    failure_ = fatal_reason(event);
    if (!failure_.empty()) return false;
    if (event.type == mqtt::EventType::kPublishLost) {
      failure_ =
          "the broker has forgotten the session: a message of QoS 2 may or may not have been delivered";
      return false;
    }
    if (event.type == mqtt::EventType::kPublished && mqtt::is_error(event.reason)) {
      ++rejected_;
      ignore_status(complain("the broker did not accept a message: " + describe(event.reason)));
    }
    return true;
  }
  static void ignore_status(int) {}  // counted; the program ends with it later

  // As many as the session takes now.
  bool publish_some() {
    while (client_.session().connected()) {
      const auto text = source_.peek();
      if (!text) return true;
      const auto id = client_.session().publish(client_.now(), {.topic = arguments_.topic,
                                                                .payload = as_bytes(*text),
                                                                .qos = static_cast<mqtt::Qos>(connect_.qos),
                                                                .retain = arguments_.retain});
      if (!id && (id.error() == Status::kBusy || id.error() == Status::kState)) return true;
      if (!id) {
        failure_ = "the broker takes no message of this size, QoS or retain flag";
        return false;
      }
      source_.take();
    }
    return true;
  }

  MqttClient& client_;
  Source& source_;
  const ConnectArguments& connect_;
  const PublishArguments& arguments_;
  std::string failure_;
  std::uint64_t rejected_ = 0;
};

}  // namespace

int publish(const ConnectArguments& connect, const PublishArguments& arguments) {
  if (!mqtt::is_topic_name(arguments.topic)) {
    return complain("-t '" + arguments.topic + "': a topic is not empty and has no wildcards (+ and #)");
  }
  auto setup = make_setup(connect);
  if (!setup) return complain(setup.error());
  Source source(arguments);
  if (const auto loaded = source.load(arguments); !loaded) return complain(loaded.error());
  MqttClient::Options& options = (*setup)->options;
  options.session.use_topic_alias = arguments.topic_alias;
  // Room for the largest message and what goes around it.
  if (const auto text = source.peek()) {
    options.packet_size_max =
        std::max(options.packet_size_max, 2 * (text->size() + arguments.topic.size() + 1024));
  }
  MqttClient client(options);
  return Publisher(client, source, (*setup)->arguments, arguments).run();
}

}  // namespace godwit::boards
