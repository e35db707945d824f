// SPDX-License-Identifier: Apache-2.0
#include "tests/support/broker_script.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <stdexcept>

namespace godwit::test {
namespace {

unsigned byte_at(std::string_view text, std::size_t at) {
  if (at >= text.size()) throw std::runtime_error("a packet of the broker ends too soon");
  return static_cast<unsigned char>(text[at]);
}

std::string u16(unsigned value) {
  return {static_cast<char>((value >> 8U) & 0xFFU), static_cast<char>(value & 0xFFU)};
}
std::string u32(unsigned value) { return u16(value >> 16U) + u16(value & 0xFFFFU); }
std::string text_of(std::string_view text) {
  return u16(static_cast<unsigned>(text.size())) + std::string(text);
}

std::string hex(unsigned value) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  return {kDigits[value >> 4U & 15U], kDigits[value & 15U]};
}

// Reads the body of a packet of the broker.
struct Body {
  std::string_view rest;
  unsigned u8() {
    const unsigned value = byte_at(rest, 0);
    rest.remove_prefix(1);
    return value;
  }
  unsigned u16() {
    const unsigned high = u8();
    return high << 8U | u8();
  }
  unsigned u32() {
    const unsigned high = u16();
    return high << 16U | u16();
  }
  std::string_view take(std::size_t size) {
    if (rest.size() < size) throw std::runtime_error("a packet of the broker ends too soon");
    const std::string_view head = rest.substr(0, size);
    rest.remove_prefix(size);
    return head;
  }
  std::string_view text() { return take(u16()); }
};

// MQTT 5, 2.2.2.2: those that a broker sends. Properties of less than 128 bytes.
std::string properties(Body& body) {
  if (body.rest.empty()) return {};
  std::map<std::string, std::string> said;  // in the order of names: brokers differ in theirs
  for (Body list{body.take(body.u8())}; !list.rest.empty();) {
    switch (const unsigned id = list.u8()) {
      case 0x11:
        said["session_expiry"] = std::to_string(list.u32());
        break;
      case 0x13:
        said["keep_alive"] = std::to_string(list.u16());
        break;
      case 0x21:
        said["receive_maximum"] = std::to_string(list.u16());
        break;
      case 0x22:
        said["topic_alias_maximum"] = std::to_string(list.u16());
        break;
      case 0x24:
        said["maximum_qos"] = std::to_string(list.u8());
        break;
      case 0x25:
        said["retain_available"] = std::to_string(list.u8());
        break;
      case 0x27:
        said["maximum_packet_size"] = std::to_string(list.u32());
        break;
      default:
        throw std::runtime_error("a property that no test knows: " + hex(id));
    }
  }
  std::string line;
  for (const auto& [name, value] : said) line += " " + name + "=" + value;
  return line;
}

std::string ack_of(const char* name, Body body) {
  const unsigned id = body.u16();
  const unsigned reason = body.rest.empty() ? 0 : body.u8();
  return std::string(name) + " " + std::to_string(id) + " " + hex(reason) + properties(body);
}

// After the fixed header.
Body body_of(std::string_view packet) {
  std::size_t at = 1;
  while ((byte_at(packet, at) & 0x80U) != 0) ++at;
  return {packet.substr(at + 1)};
}

// `full`: with what a CONNACK allows.
std::string name_packet(std::string_view packet, bool full) {
  const unsigned first = byte_at(packet, 0);
  Body body = body_of(packet);
  switch (first >> 4U) {
    case 2: {
      const unsigned session = body.u8();
      const unsigned reason = body.u8();
      return "CONNACK " + hex(reason) + " session=" + std::to_string(session) +
             (full ? properties(body) : std::string());
    }
    case 3: {
      const Published message = published(packet);
      return "PUBLISH " + hex(first) + " " + message.topic + " " + message.payload;
    }
    case 4:
      return ack_of("PUBACK", body);
    case 9: {
      const unsigned id = body.u16();
      std::string line = "SUBACK " + std::to_string(id) + properties(body);
      while (!body.rest.empty()) line += " " + hex(body.u8());
      return line;
    }
    case 13:
      return "PINGRESP";
    case 14: {
      const unsigned reason = body.rest.empty() ? 0 : body.u8();
      return "DISCONNECT " + hex(reason) + properties(body);
    }
    default:
      return "packet " + hex(first);
  }
}

// The words of a step behind what it does.
struct Step {
  std::vector<std::string> words;

  [[nodiscard]] bool has(std::string_view word) const {
    return std::ranges::find(words, word) != words.end();
  }
  [[nodiscard]] std::optional<std::string> value(std::string_view name) const {
    for (const std::string& word : words) {
      if (word.starts_with(std::string(name) + "=")) return word.substr(name.size() + 1);
    }
    return std::nullopt;
  }
  [[nodiscard]] unsigned number(std::string_view name, unsigned otherwise) const {
    const auto text = value(name);
    return text ? static_cast<unsigned>(std::stoul(*text)) : otherwise;
  }
};

std::string publish_packet(const Step& step) {
  const unsigned qos = step.number("qos", 0);
  std::string body = text_of(step.value("topic").value_or(""));
  if (qos > 0) body += u16(step.number("id", 0));
  if (step.value("alias")) {
    body += std::string("\x03\x23") + u16(step.number("alias", 0));
  } else {
    body += '\0';
  }
  return packet_of(0x30U | qos << 1U | (step.has("dup") ? 8U : 0U),
                   body + step.value("payload").value_or(""));
}

class Player {
 public:
  explicit Player(BrokerSide& side) : side_(side) {}

  void step(const std::string& line) {
    text += line + "\n";
    std::istringstream stream(line.substr(2));
    std::string who;
    std::string what;
    stream >> who >> what;
    Step step;
    for (std::string word; stream >> word;) step.words.push_back(word);
    if (who == "wait") {
      side_.wait(Millis{std::stol(what)});
    } else if (who == "broker") {
      broker(what);
    } else if (who == "gateway") {
      gateway(what, step);
    } else {
      client(who, what, step);
    }
    side_.settle();
    note();
  }
  std::string text;

 private:
  [[noreturn]] static void refuse(const std::string& what) {
    throw std::runtime_error("not a step: " + what);
  }
  void broker(const std::string& what) {
    if (what == "stops") return side_.stop();
    if (what == "dies") return side_.die();
    if (what == "starts") return side_.start();
    refuse(what);
  }
  void gateway(const std::string& what, const Step& step) {
    if (what == "up") return side_.gateway_up();
    if (what == "down") return side_.gateway_down();
    if (what == "says" && step.words.size() == 2) return side_.gateway_says(step.words[0], step.words[1]);
    refuse(what);
  }
  void client(const std::string& who, const std::string& what, const Step& step) {
    if (std::ranges::find(names_, who) == names_.end()) {
      names_.push_back(who);
      if (what != "connect") side_.open(who, true);
    }
    if (what == "connect") {
      full_ = step.has("full");
      if (!step.has("again")) side_.open(who, step.has("quiet"));
      const std::string packet = connect_packet(step.value("as").value_or(who), step.words);
      if (!step.has("pieces")) return side_.send(who, packet);
      for (const char byte : packet) side_.send(who, std::string_view(&byte, 1));
      return;
    }
    if (what == "publish") return side_.send(who, publish_packet(step));
    if (what == "subscribe")
      return side_.send(who, subscribe_packet(step.number("id", 0), step.value("filter").value_or("")));
    if (what == "ping") return side_.send(who, packet_of(0xC0, {}));
    if (what == "cut") return side_.cut(who);
    std::string bytes;
    for (const std::string& word : step.words) bytes += static_cast<char>(std::stoi(word, nullptr, 16));
    if (what == "disconnect") return side_.send(who, packet_of(0xE0, bytes));
    if (what == "bytes") return side_.send(who, bytes);
    refuse(what);
  }
  void note() {
    for (const std::string& name : names_) {
      const std::string bytes = side_.take(name);
      std::string_view rest = bytes;
      for (std::string_view packet = take_packet(rest); !packet.empty(); packet = take_packet(rest))
        text += "< " + name + " " + name_packet(packet, full_) + "\n";
      if (!rest.empty()) text += "< " + name + " half a packet\n";
      if (side_.take_closed(name)) text += "< " + name + " closed\n";
    }
    for (const auto& [topic, payload] : side_.take_gateway())
      text += "< gateway " + topic + " " + payload + "\n";
  }

  BrokerSide& side_;
  std::vector<std::string> names_;
  bool full_ = false;
};

}  // namespace

std::string packet_of(unsigned first, std::string_view body) {
  std::string packet(1, static_cast<char>(first));
  if (body.size() > 127) packet += static_cast<char>(body.size() % 128 | 0x80U);
  packet += static_cast<char>(body.size() > 127 ? body.size() / 128 : body.size());
  return packet.append(body);
}

// The user name is what the installation's access list goes by, as it is the certificate's name there.
std::string connect_packet(const std::string& name, const std::vector<std::string>& options) {
  const Step step{options};
  const bool will = !step.has("nowill");
  const unsigned flags = 0x80U | (step.number("clean", 1) != 0 ? 2U : 0U) | (will ? 0x0CU : 0U);
  std::string body = text_of("MQTT") + '\x05' + static_cast<char>(flags) + u16(step.number("keep", 600));
  if (step.value("expiry")) {
    body += std::string("\x05\x11") + u32(step.number("expiry", 0));
  } else {
    body += '\0';
  }
  body += text_of(name);
  if (will) body += '\0' + text_of("gw1/d/" + name + "/up/gone") + text_of("");
  return packet_of(0x10, body + text_of(name));
}

std::string subscribe_packet(unsigned id, const std::string& filter) {
  return packet_of(0x82, u16(id) + '\0' + text_of(filter) + '\x01');
}

std::string_view take_packet(std::string_view& bytes) {
  std::size_t size = 0;
  for (std::size_t i = 1; i < bytes.size() && i <= 4; ++i) {
    const unsigned byte = byte_at(bytes, i);
    size |= static_cast<std::size_t>(byte & 0x7FU) << (7 * (i - 1));
    if ((byte & 0x80U) != 0) continue;
    if (bytes.size() < i + 1 + size) break;
    const std::string_view packet = bytes.substr(0, i + 1 + size);
    bytes.remove_prefix(packet.size());
    return packet;
  }
  return {};
}

Published published(std::string_view packet) {
  Body body = body_of(packet);
  Published message{.topic = std::string(body.text()), .payload = {}};
  if ((byte_at(packet, 0) & 6U) != 0) message.id = body.u16();
  body.take(body.u8());
  message.payload = body.rest;
  return message;
}

std::vector<Behaviour> read_behaviours(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::vector<Behaviour> all;
  for (std::string line; std::getline(stream, line);) {
    if (line.starts_with("= ")) {
      all.push_back({.name = line.substr(2), .lines = {}});
    } else if (!all.empty() && !line.empty() && line[0] != '#') {
      all.back().lines.push_back(line);
    }
  }
  if (all.empty()) throw std::runtime_error("no behaviours in " + file.string());
  return all;
}

std::string expected_of(const Behaviour& behaviour, std::string_view version) {
  std::string text;
  for (const std::string& line : behaviour.lines) {
    if (line[0] == '>' || line.starts_with("< ")) {
      text += line + "\n";
    } else if (const auto space = line.find(' '); line.substr(1, space - 1) == version) {
      text += "<" + line.substr(space) + "\n";
    }
  }
  return text;
}

std::string play(const Behaviour& behaviour, BrokerSide& side) {
  Player player(side);
  for (const std::string& line : behaviour.lines) {
    if (line[0] == '>') player.step(line);
  }
  return std::move(player.text);
}

}  // namespace godwit::test
