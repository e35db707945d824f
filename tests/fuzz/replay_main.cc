// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target without libFuzzer: every file of the corpus folders given, then mutations of each from a
// fixed seed, for about two seconds. The same corpus gives the same inputs in the same order; a slow machine
// does fewer.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Input = std::vector<std::uint8_t>;

constexpr int kMutationsPerFile = 5'000;
constexpr std::chrono::milliseconds kTimeLimit{2'000};

std::vector<std::filesystem::path> corpus_files(int argc, char** argv) {
  std::vector<std::filesystem::path> files;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i])) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  }
  std::ranges::sort(files);
  return files;
}

Input read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// One small change: the kinds of faults that parsers meet.
void mutate(Input& input, const Input& other, std::mt19937& random) {
  static constexpr std::uint8_t kEdges[] = {0x00, 0x01, 0x7F, 0x80, 0xFF};
  const std::size_t at = input.empty() ? 0 : random() % input.size();
  const auto from = input.begin() + static_cast<std::ptrdiff_t>(at);
  switch (random() % 7) {
    case 0:  // one bit
      if (!input.empty()) input[at] = static_cast<std::uint8_t>(input[at] ^ (1U << (random() % 8)));
      break;
    case 1:  // any byte
      if (!input.empty()) input[at] = static_cast<std::uint8_t>(random());
      break;
    case 2:  // a byte at the edge of a range
      if (!input.empty()) input[at] = kEdges[random() % std::size(kEdges)];
      break;
    case 3:  // cut short
      input.resize(at);
      break;
    case 4:  // lost
      input.erase(from,
                  from + static_cast<std::ptrdiff_t>(std::min<std::size_t>(input.size() - at, random() % 8)));
      break;
    case 5: {  // repeated
      const Input part(
          from, from + static_cast<std::ptrdiff_t>(std::min<std::size_t>(input.size() - at, random() % 64)));
      input.insert(from, part.begin(), part.end());
      break;
    }
    default: {  // a piece of another input
      if (other.empty()) break;
      const std::size_t begin = random() % other.size();
      const std::size_t size = std::min<std::size_t>(other.size() - begin, random() % 64);
      const auto piece = other.begin() + static_cast<std::ptrdiff_t>(begin);
      input.insert(from, piece, piece + static_cast<std::ptrdiff_t>(size));
    }
  }
}

void run(const Input& input) { LLVMFuzzerTestOneInput(input.data(), input.size()); }

}  // namespace

int main(int argc, char** argv) {
  std::vector<Input> corpus;
  for (const auto& path : corpus_files(argc, argv)) {
    std::printf("%s\n", path.c_str());  // the last one printed is the one that crashed
    std::fflush(stdout);
    corpus.push_back(read(path));
    run(corpus.back());
  }
  if (corpus.empty()) {
    std::fprintf(stderr, "no corpus: give at least one folder with files\n");
    return 1;
  }

  const auto end = std::chrono::steady_clock::now() + kTimeLimit;
  std::mt19937 random(1);
  int mutations = 0;
  // Round by round, so that a time limit that strikes early still touches every file.
  for (int round = 0; round < kMutationsPerFile; ++round) {
    for (const Input& file : corpus) {
      if (std::chrono::steady_clock::now() >= end) break;
      Input input = file;
      const auto changes = 1 + random() % 4;
      for (unsigned i = 0; i < changes; ++i) mutate(input, corpus[random() % corpus.size()], random);
      run(input);
      ++mutations;
    }
  }
  std::printf("%zu corpus files and %d mutations of them: no crash\n", corpus.size(), mutations);
  return 0;
}
