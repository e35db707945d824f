// SPDX-License-Identifier: Apache-2.0
#include "boards/common/net/word_fifo.h"

#include <gtest/gtest.h>

#include <vector>

namespace godwit::boards {
namespace {

// A register does more than memory can; so what is checked is what was taken from and put into one word.
std::vector<std::uint8_t> counting(std::size_t size) {
  std::vector<std::uint8_t> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i + 1);
  return bytes;
}

TEST(WordReader, GivesTheBytesOfAWordLowestFirstInPiecesOfAnySize) {
  const volatile std::uint32_t fifo = 0x0403'0201;
  for (std::size_t first = 0; first <= 9; ++first) {
    for (std::size_t second = 0; first + second <= 9; ++second) {
      WordReader reader(fifo);
      reader.begin();
      std::vector<std::uint8_t> out(9);
      reader.read(MutableBytes(out).first(first));
      reader.read(MutableBytes(out).subspan(first, second));
      reader.read(MutableBytes(out).subspan(first + second));
      EXPECT_EQ(out, (std::vector<std::uint8_t>{1, 2, 3, 4, 1, 2, 3, 4, 1})) << first << " " << second;
    }
  }
}

TEST(WordReader, BeginsWithWhatIsLeftOfAWord) {
  const volatile std::uint32_t fifo = 0x0403'0201;
  WordReader reader(fifo);
  reader.begin(0x0B0A'FFFF, 2);
  std::vector<std::uint8_t> out(7);
  reader.read(out);
  EXPECT_EQ(out, (std::vector<std::uint8_t>{0x0A, 0x0B, 1, 2, 3, 4, 1}));
}

TEST(WordReader, DropsTheRestOfAWordWhenTheNextFrameBegins) {
  volatile std::uint32_t fifo = 0x0403'0201;
  WordReader reader(fifo);
  reader.begin();
  std::uint8_t byte = 0;
  reader.read({&byte, 1});
  fifo = 0x0000'00EE;
  reader.begin();
  reader.read({&byte, 1});
  EXPECT_EQ(byte, 0xEE);
}

TEST(WordWriter, PutsTheLastBytesIntoAWordFilledUpWithZeros) {
  for (std::size_t first = 0; first <= 7; ++first) {
    volatile std::uint32_t fifo = 0;
    WordWriter writer(fifo);
    const auto bytes = counting(7);
    writer.write(Bytes(bytes).first(first));
    writer.write(Bytes(bytes).subspan(first));
    EXPECT_EQ(fifo, 0x0403'0201U) << first;
    writer.end();
    EXPECT_EQ(fifo, 0x0007'0605U) << first;
  }
}

TEST(WordWriter, AddsNoWordToWholeOnes) {
  volatile std::uint32_t fifo = 0;
  WordWriter writer(fifo);
  writer.write(counting(4));
  fifo = 0xDEAD'BEEF;
  writer.end();
  EXPECT_EQ(fifo, 0xDEAD'BEEFU);
}

}  // namespace
}  // namespace godwit::boards
