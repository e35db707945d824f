// SPDX-License-Identifier: Apache-2.0
#include "sim/disk/disk.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace godwit::sim {
namespace {

constexpr std::size_t kSectorSize = 512;

// Steele, Lea, Flood: "Fast splittable pseudorandom number generators" (2014), as in
// java.util.SplittableRandom.
std::uint64_t next_random(std::uint64_t& state) {
  std::uint64_t z = state += 0x9e3779b97f4a7c15U;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31U);
}

void mix(std::uint64_t& hash, std::uint64_t value) {
  hash = (hash ^ value) * 0x9fb21c651e98df25U;
  hash ^= hash >> 32U;
}

void mix(std::uint64_t& hash, std::string_view bytes) {
  mix(hash, bytes.size());
  for (; bytes.size() >= sizeof(std::uint64_t); bytes.remove_prefix(sizeof(std::uint64_t))) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), sizeof(word));
    mix(hash, word);
  }
  if (bytes.empty()) return;
  std::uint64_t word = 0;
  std::memcpy(&word, bytes.data(), bytes.size());
  mix(hash, word);
}

void put(std::string& content, std::uint64_t offset, std::string_view bytes) {
  if (content.size() < offset + bytes.size()) content.resize(offset + bytes.size());
  std::memcpy(content.data() + offset, bytes.data(), bytes.size());
}

void apply(std::string& content, const Disk::Change& change) {
  if (change.truncates) {
    content.resize(change.offset);
  } else {
    put(content, change.offset, change.bytes);
  }
}

// What of a change that was on its way gets to the platter. `bias` of 256 get there.
void settle(std::string& platter, const Disk::Change& change, std::uint64_t bias, std::uint64_t& random) {
  const std::uint64_t fate = next_random(random);
  const bool kept = (fate & 0xFFU) < bias;
  const bool torn = (fate >> 8U & 7U) == 0;
  if (change.truncates || !torn) {
    if (kept) apply(platter, change);
    return;
  }
  std::uint64_t at = change.offset;
  for (std::string_view rest = change.bytes; !rest.empty();) {
    const auto size = std::min<std::size_t>(rest.size(), kSectorSize - at % kSectorSize);
    if ((next_random(random) & 1U) != 0) put(platter, at, rest.substr(0, size));
    rest.remove_prefix(size);
    at += size;
  }
}

std::string_view directory_of(std::string_view file) {
  return file.substr(0, std::min(file.rfind('/'), file.size()));
}

}  // namespace

bool Disk::is_directory(const std::filesystem::path& path) const {
  return directories_.contains(path.string());
}

std::optional<std::uint64_t> Disk::size(const std::filesystem::path& file) const {
  const auto found = find(file.string());
  if (!found) return std::nullopt;
  return found->live.size();
}

gateway::Files::Locked Disk::lock(const std::filesystem::path& file) {
  class Held final : public Lock {
   public:
    Held(std::shared_ptr<std::set<std::string>> all, std::string name)
        : all_(std::move(all)), name_(std::move(name)) {}
    ~Held() override { all_->erase(name_); }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;

   private:
    std::shared_ptr<std::set<std::string>> all_;
    std::string name_;
  };
  if (!locked_->insert(file.string()).second) return {.lock = nullptr, .holder = "1"};
  return {.lock = std::make_unique<Held>(locked_, file.string()), .holder = {}};
}

std::optional<gateway::Files::Space> Disk::space(const std::filesystem::path& /*directory*/) const {
  return Space{.free_bytes = capacity_ > used_ ? capacity_ - used_ : 0, .total_bytes = capacity_};
}

void Disk::restart() {
  dead_ = false;
  locked_ = std::make_shared<std::set<std::string>>();
}

void Disk::crash(std::optional<std::uint64_t> seed) {
  std::uint64_t random = seed.value_or(0);
  // Of all that was on its way: nothing, little, half, most, all.
  constexpr std::uint64_t kBiases[] = {0, 26, 128, 230, 256};
  const std::uint64_t bias = seed ? kBiases[next_random(random) % std::size(kBiases)] : 0;
  used_ = 0;
  for (auto name = names_.begin(); name != names_.end();) {
    auto& states = name->second.states;
    std::shared_ptr<File> left = states.front();
    if (seed && states.size() > 1) {
      const bool newest = (next_random(random) & 0xFFU) < bias;
      left = newest ? states.back() : states[next_random(random) % (states.size() - 1)];
    }
    if (!left) {
      name = names_.erase(name);
      continue;
    }
    if (seed) {
      for (const Change& change : left->unsynced) settle(left->platter, change, bias, random);
    }
    // A new one: what a dead process still has open is not this file any more.
    states = {std::make_shared<File>(File{.live = left->platter, .platter = left->platter, .unsynced = {}})};
    used_ += left->platter.size();
    ++name;
  }
  restart();
}

bool Disk::settled() const {
  return std::ranges::all_of(names_, [](const auto& name) {
    const auto& states = name.second.states;
    return states.size() == 1 && (states[0] == nullptr || states[0]->unsynced.empty());
  });
}

Disk::Image Disk::image() const {
  Image copy;
  for (const auto& [file, name] : names_) {
    for (const auto& state : name.states) {
      copy[file].states.push_back(state ? std::make_shared<File>(*state) : nullptr);
    }
  }
  return copy;
}

Disk::Image Disk::copy() const {
  Image copy;
  for (const auto& [file, name] : names_) {
    if (const auto& live = name.states.back())
      copy[file].states = {
          std::make_shared<File>(File{.live = live->live, .platter = live->live, .unsynced = {}})};
  }
  return copy;
}

void Disk::restore(const Image& image) {
  names_.clear();
  used_ = 0;
  for (const auto& [file, name] : image) {
    for (const auto& state : name.states) {
      names_[file].states.push_back(state ? std::make_shared<File>(*state) : nullptr);
    }
    if (name.states.back()) used_ += name.states.back()->live.size();
  }
}

std::optional<std::string> Disk::read_file(const std::filesystem::path& file) const {
  const auto found = find(file.string());
  if (!found) return std::nullopt;
  return found->live;
}

void Disk::write_file(const std::filesystem::path& file, std::string content) {
  remove_file(file);
  used_ += content.size();
  names_[file.string()].states = {
      std::make_shared<File>(File{.live = content, .platter = content, .unsynced = {}})};
}

void Disk::remove_file(const std::filesystem::path& file) {
  if (const auto found = find(file.string())) used_ -= found->live.size();
  names_.erase(file.string());
}

void Disk::rot(const std::filesystem::path& file, std::uint64_t offset, std::size_t size,
               std::uint64_t seed) {
  const auto found = find(file.string());
  if (!found) return;
  for (std::uint64_t at = offset; at < offset + size; ++at) {
    const auto bits = static_cast<char>(next_random(seed) | 1U);
    for (std::string* const content : {&found->live, &found->platter}) {
      if (at < content->size()) (*content)[at] = static_cast<char>((*content)[at] ^ bits);
    }
  }
}

Disk::Answer Disk::begin(const Operation& operation, std::string_view content) {
  if (dead_) return Answer::kDie;
  ++operations_;
  mix(hash_, static_cast<std::uint64_t>(operation.kind));
  mix(hash_, operation.file);
  mix(hash_, operation.offset);
  mix(hash_, operation.size);
  mix(hash_, content);
  const Answer answer = hook_ ? hook_(operation) : Answer::kDo;
  if (answer == Answer::kDie) dead_ = true;
  return answer;
}

std::shared_ptr<Disk::File> Disk::find(std::string_view file) const {
  const auto found = names_.find(file);
  return found == names_.end() ? nullptr : found->second.states.back();
}

std::shared_ptr<Disk::File> Disk::create(const std::string& file) {
  auto& states = names_[file].states;
  if (states.empty()) states.push_back(nullptr);
  states.push_back(std::make_shared<File>());
  return states.back();
}

void Disk::sync_directory(std::string_view directory) {
  for (auto name = names_.begin(); name != names_.end();) {
    auto& states = name->second.states;
    if (directory_of(name->first) == directory) states.erase(states.begin(), states.end() - 1);
    name = states.size() == 1 && !states.front() ? names_.erase(name) : std::next(name);
  }
}

bool Disk::write(File& file, std::uint64_t offset, std::string_view bytes) {
  const std::uint64_t end = offset + bytes.size();
  const std::uint64_t grows = end > file.live.size() ? end - file.live.size() : 0;
  if (used_ + grows > capacity_) return false;
  used_ += grows;
  put(file.live, offset, bytes);
  file.unsynced.push_back({.offset = offset, .bytes = std::string(bytes), .truncates = false});
  return true;
}

bool Disk::sync(File& file, Answer answer) {
  if (answer == Answer::kLie) return true;
  if (answer == Answer::kDo) {
    for (const Change& change : file.unsynced) apply(file.platter, change);
  } else {
    for (const Change& change : file.unsynced) settle(file.platter, change, 128, seed_);
  }
  file.unsynced.clear();
  return answer == Answer::kDo;
}

void Disk::truncate(File& file, std::uint64_t size) {
  used_ = used_ - file.live.size() + size;
  file.live.resize(size);
  file.unsynced.push_back({.offset = size, .bytes = {}, .truncates = true});
}

std::uint64_t Disk::random() { return next_random(seed_); }

}  // namespace godwit::sim
