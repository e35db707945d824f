// SPDX-License-Identifier: Apache-2.0
// A command is six bytes; the card answers within eight more with one byte, R1, whose top bit is 0. Data
// follows a token and precedes a CRC-16. While a card is busy it holds its line low, so every byte reads 0.
// Time is counted in bytes: at a known clock each takes a known time, so no clock is needed.
#include "boards/common/storage/sd_card.h"

#include <algorithm>
#include <array>
#include <optional>

#include "proto/base/crc32.h"

namespace godwit::boards {
namespace {

constexpr std::uint32_t kStartClockHz = 400'000;  // until the card has started
constexpr int kAttempts = 3;

// Commands, by their index.
constexpr std::uint8_t kGoIdle = 0, kSendIfCond = 8, kSendCsd = 9, kSendCid = 10, kStopTransmission = 12,
                       kSendStatus = 13, kSetBlockLength = 16, kReadBlock = 17, kWriteBlocks = 25,
                       kAppSendOpCond = 41, kApp = 55, kReadOcr = 58, kCrcOnOff = 59;

// R1.
constexpr std::uint8_t kReady = 0x00, kIdle = 0x01, kIllegalCommand = 0x04, kAddressError = 0x20,
                       kParameterError = 0x40, kNoAnswer = 0xFF;

constexpr std::uint8_t kDataToken = 0xFE, kBlockToken = 0xFC, kStopToken = 0xFD;
constexpr std::uint8_t kNoErrorToken = 0xF0, kOutOfRange = 0x08;  // of what comes in place of data
constexpr std::uint8_t kDataResponse = 0x1F, kDataAccepted = 0x05;

constexpr std::uint32_t kIfCond = 0x1AA;           // 2.7 to 3.6 V, and a pattern to be echoed
constexpr std::uint32_t kHighCapacity = 1U << 30;  // in the argument of ACMD41 and in the OCR
constexpr std::uint32_t kVoltage33 = 0b11U << 20;  // in the OCR: 3.2 to 3.4 V

std::uint8_t crc7(Bytes bytes) {
  std::uint8_t crc = 0;
  for (const std::uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) {
      crc = static_cast<std::uint8_t>((crc & 0x80) != 0 ? (crc << 1) ^ (0x09 << 1) : crc << 1);
    }
  }
  return crc;  // in the upper seven bits
}

// CRC-16/XMODEM.
std::uint16_t crc16(Bytes bytes, std::uint16_t crc = 0) {
  for (const std::uint8_t byte : bytes) {
    crc = static_cast<std::uint16_t>((crc >> 8) | (crc << 8));
    crc ^= byte;
    crc ^= static_cast<std::uint16_t>((crc & 0xFF) >> 4);
    crc ^= static_cast<std::uint16_t>(crc << 12);
    crc ^= static_cast<std::uint16_t>((crc & 0xFF) << 5);
  }
  return crc;
}

// Blocks of 512 bytes, from the CSD register (5.3); nullopt: a version that we do not know.
std::optional<std::uint32_t> blocks_of(std::span<const std::uint8_t, 16> csd) {
  switch (csd[0] >> 6) {
    case 0: {  // (C_SIZE + 1) * 2^(C_SIZE_MULT + 2) units of 2^READ_BL_LEN bytes
      const std::uint32_t c_size = (csd[6] & 0x03U) << 10 | csd[7] * 4U | csd[8] >> 6;
      const std::uint32_t c_size_mult = (csd[9] & 0x03U) << 1 | csd[10] >> 7;
      const std::uint32_t read_bl_len = csd[5] & 0x0FU;
      if (read_bl_len < 9 || read_bl_len > 11) return std::nullopt;
      return (c_size + 1) << (c_size_mult + 2 + read_bl_len - 9);
    }
    case 1: {  // (C_SIZE + 1) * 512 KB
      const std::uint32_t c_size = (csd[7] & 0x3FU) << 16 | csd[8] * 256U | csd[9];
      return (c_size + 1) * 1024;
    }
    default:
      return std::nullopt;
  }
}

}  // namespace

Status SdCard::start() {
  block_count_ = 0;
  set_clock(kStartClockHz, kStartPatience);
  polls_left_ = polls_max_;
  Status status = reset();
  if (status == Status::kOk) status = power_up();
  if (status == Status::kOk) status = identify();
  end();
  if (status == Status::kOk) set_clock(kClockMaxHz, kPatience);
  return status;
}

Status SdCard::restart() {
  const auto known = identity_;
  const Status status = start();
  if (status == Status::kOk && identity_ && identity_ == known) return Status::kOk;
  identity_ = known;
  block_count_ = 0;
  return status == Status::kOk ? Status::kNotFound : status;
}

Status SdCard::read(std::uint32_t block, Block out) {
  polls_left_ = polls_max_;
  for (int attempt = 0; attempt < kAttempts && polls_left_ > 0; ++attempt) {
    const Status status = try_read(block, out);
    end();
    if (status == Status::kOk) return status;
  }
  return Status::kIo;
}

Status SdCard::write(std::uint32_t block, Bytes in) {
  return in.empty() ? Status::kOk
                    : write_blocks(block, static_cast<std::uint32_t>(in.size() / kBlockSize), in);
}

Status SdCard::erase(std::uint32_t block, std::uint32_t count) { return write_blocks(block, count, {}); }

Status SdCard::write_blocks(std::uint32_t block, std::uint32_t count, Bytes data) {
  polls_left_ = polls_max_;
  for (int attempt = 0; attempt < kAttempts && polls_left_ > 0; ++attempt) {
    const Status status = try_write(block, count, data);
    end();
    if (status == Status::kOk) return status;
  }
  return Status::kIo;
}

void SdCard::set_clock(std::uint32_t hz_max, Millis patience) {
  const std::uint32_t bytes_per_ms = std::max(spi_.set_clock(hz_max) / 8 / 1000, std::uint32_t{1});
  polls_max_ = bytes_per_ms * static_cast<std::uint32_t>(patience.count());
}

// Eight clocks after the card is deselected make it let go of its line.
void SdCard::end() {
  spi_.deselect();
  (void)poll();
}

std::uint8_t SdCard::poll() {
  std::uint8_t byte = 0;
  if (polls_left_ > 0) --polls_left_;
  spi_.receive({&byte, 1});
  return byte;
}

bool SdCard::wait_ready() {
  while (polls_left_ > 0) {
    if (poll() == 0xFF) return true;
  }
  return false;
}

std::uint8_t SdCard::command(std::uint8_t index, std::uint32_t argument) {
  spi_.select();
  if (index != kStopTransmission && !wait_ready()) return kNoAnswer;
  std::array<std::uint8_t, 6> frame{static_cast<std::uint8_t>(0x40 | index)};
  store_be(frame.data() + 1, argument);
  frame[5] = crc7(Bytes(frame).first(5)) | 1;
  spi_.send(frame);
  polls_left_ -= std::min<std::uint32_t>(frame.size(), polls_left_);  // so that repeating a command ends, too
  if (index == kStopTransmission) (void)poll();  // the byte behind this one is stuffing (7.3.2.2)
  for (int i = 0; i < 9; ++i) {
    const std::uint8_t answer = poll();
    if ((answer & 0x80) == 0) return answer;
  }
  return kNoAnswer;
}

std::uint8_t SdCard::application_command(std::uint8_t index, std::uint32_t argument) {
  const std::uint8_t answer = command(kApp, 0);
  if ((answer & ~kIdle) != 0) return answer;
  return command(index, argument);
}

// Into SPI mode. Our own reset may have cut off a transfer on which the card still insists: then it takes
// what we send for data, until a block is full.
Status SdCard::reset() {
  spi_.deselect();
  for (int i = 0; i < 10; ++i) (void)poll();  // 74 clocks at least (6.4.1)
  for (int attempt = 0; attempt < 10 && polls_left_ > 0; ++attempt) {
    if (command(kGoIdle, 0) == kIdle) return Status::kOk;
    for (std::size_t i = 0; i < kBlockSize + 4; ++i) (void)poll();
    spi_.send({&kStopToken, 1});
    end();
  }
  return Status::kNotFound;
}

// 7.2.1, figure 7-2.
Status SdCard::power_up() {
  checked_ = command(kCrcOnOff, 1) == kIdle;
  std::uint32_t capacity = 0;
  std::array<std::uint8_t, 4> reply{};
  const std::uint8_t answer = command(kSendIfCond, kIfCond);
  if (answer == kIdle) {
    spi_.receive(reply);
    if ((load_be<std::uint32_t>(reply.data()) & 0xFFF) != kIfCond) return Status::kUnsupported;
    capacity = kHighCapacity;
  } else if (answer == kNoAnswer || (answer & kIllegalCommand) == 0) {
    return Status::kIo;
  }  // otherwise a card of version 1, which does not know this command
  for (;;) {
    const std::uint8_t state = application_command(kAppSendOpCond, capacity);
    if (state == kReady) break;
    if (state != kNoAnswer && (state & kIllegalCommand) != 0) return Status::kUnsupported;
    if (state != kIdle || polls_left_ == 0) return Status::kIo;
  }
  if ((command(kReadOcr, 0) & ~kIdle) != 0)
    return Status::kIo;  // QEMU's card says idle here even if it is not
  spi_.receive(reply);
  const auto ocr = load_be<std::uint32_t>(reply.data());
  if ((ocr & kVoltage33) == 0) return Status::kUnsupported;
  by_blocks_ = capacity != 0 && (ocr & kHighCapacity) != 0;
  if (!by_blocks_ && command(kSetBlockLength, kBlockSize) != kReady) return Status::kIo;
  return Status::kOk;
}

// CID and CSD are different in any two cards; the latter has the capacity.
Status SdCard::identify() {
  std::array<std::uint8_t, 16> cid{};
  std::array<std::uint8_t, 16> csd{};
  const Status cid_read = read_register(kSendCid, cid);
  const Status csd_read = read_register(kSendCsd, csd);
  const std::uint8_t status = command(kSendStatus, 0);
  has_status_ = status == kReady;
  if (cid_read == Status::kIo || csd_read == Status::kIo || (status & ~kIllegalCommand) != 0)
    return Status::kIo;
  if (has_status_) (void)poll();  // the second byte is about before
  identity_.reset();
  if (cid_read == Status::kOk && csd_read == Status::kOk) identity_ = crc32(csd, crc32(cid, 0));
  if (csd_read != Status::kOk) return find_size();
  const auto blocks = blocks_of(csd);
  if (!blocks) return Status::kUnsupported;
  block_count_ = *blocks;
  return Status::kOk;
}

// kUnsupported: the card does not know this one.
Status SdCard::read_register(std::uint8_t index, std::span<std::uint8_t, 16> out) {
  const std::uint8_t answer = command(index, 0);
  if (answer == kIllegalCommand) return Status::kUnsupported;
  return answer == kReady ? receive_data(out) : Status::kIo;
}

// By halving what addresses can name.
Status SdCard::find_size() {
  std::uint32_t count = 0;
  std::uint32_t end = by_blocks_ ? UINT32_MAX : 1U << 23;
  while (count < end) {
    const std::uint32_t middle = count + (end - count) / 2;
    const auto has = has_block(middle);
    if (!has) return Status::kIo;
    (*has ? count : end) = *has ? middle + 1 : middle;
  }
  block_count_ = count;
  return count > 0 ? Status::kOk : Status::kUnsupported;
}

// nullopt: no answer to that. A block that cannot be read counts: it is there.
std::optional<bool> SdCard::has_block(std::uint32_t block) {
  const std::uint8_t answer = command(kReadBlock, address(block));
  if (answer != kNoAnswer && (answer & (kParameterError | kAddressError)) != 0) return false;
  if (answer != kReady) return std::nullopt;
  const std::uint8_t token = receive_token();
  if ((token & kNoErrorToken) == 0) return (token & kOutOfRange) == 0;
  if (token != kDataToken) return std::nullopt;
  for (std::size_t i = 0; i < kBlockSize + 2; ++i) (void)poll();
  return true;
}

// What comes before data or in place of them; 0xFF: nothing came.
std::uint8_t SdCard::receive_token() {
  std::uint8_t token = 0xFF;
  while (token == 0xFF && polls_left_ > 0) token = poll();
  return token;
}

Status SdCard::receive_data(MutableBytes out) {
  if (receive_token() != kDataToken) return Status::kIo;
  spi_.receive(out);
  std::array<std::uint8_t, 2> crc{};
  spi_.receive(crc);
  return !checked_ || load_be<std::uint16_t>(crc.data()) == crc16(out) ? Status::kOk : Status::kIo;
}

Status SdCard::try_read(std::uint32_t block, Block out) {
  if (block >= block_count_ || command(kReadBlock, address(block)) != kReady) return Status::kIo;
  return receive_data(out);
}

// One block of a write; empty: of 0xFF. False: the card did not take it.
bool SdCard::send_data(Bytes data) {
  static constexpr std::array<std::uint8_t, 64> kErased = [] {
    std::array<std::uint8_t, 64> bytes{};
    bytes.fill(0xFF);
    return bytes;
  }();
  std::array<std::uint8_t, 2> crc{};
  spi_.send({&kBlockToken, 1});
  if (data.empty()) {
    store_be(crc.data(), std::uint16_t{0x7FA1});  // of 512 bytes of 0xFF
    for (std::size_t sent = 0; sent < kBlockSize; sent += kErased.size()) spi_.send(kErased);
  } else {
    store_be(crc.data(), crc16(data));
    spi_.send(data);
  }
  spi_.send(crc);
  return (poll() & kDataResponse) == kDataAccepted;
}

Status SdCard::try_write(std::uint32_t block, std::uint32_t count, Bytes data) {
  if (block >= block_count_ || count > block_count_ - block) return Status::kIo;
  if (command(kWriteBlocks, address(block)) != kReady) return Status::kIo;
  bool taken = true;
  for (std::uint32_t i = 0; i < count && taken; ++i) {
    taken = wait_ready() && send_data(data.empty() ? data : data.subspan(i * kBlockSize, kBlockSize));
  }
  if (!taken) {
    (void)command(kStopTransmission, 0);  // whatever it says: the status below or the next attempt tells
    return Status::kIo;
  }
  if (!wait_ready()) return Status::kIo;
  spi_.send({&kStopToken, 1});
  (void)poll();  // the card is busy from the byte behind this one on
  if (!has_status_) return wait_ready() ? Status::kOk : Status::kIo;
  // Only the status tells of what went wrong while the card was busy. Its second byte follows R1.
  if (command(kSendStatus, 0) != kReady) return Status::kIo;
  return poll() == 0 ? Status::kOk : Status::kIo;
}

}  // namespace godwit::boards
