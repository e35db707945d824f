// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/boards/storage/model_sd_card.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace godwit::test {
namespace {

constexpr std::uint8_t kIllegal = 0x04, kAddressError = 0x20, kParameterError = 0x40;

// Bit by bit, as the specification defines them.
std::uint32_t crc_of(Bytes bytes, unsigned width, std::uint32_t polynomial) {
  std::uint32_t crc = 0;
  for (const std::uint8_t byte : bytes) {
    for (int bit = 7; bit >= 0; --bit) {
      const std::uint32_t top = (crc >> (width - 1)) & 1U;
      crc = (crc << 1) & ((1U << width) - 1);
      if (top != ((byte >> bit) & 1U)) crc ^= polynomial;
    }
  }
  return crc;
}
std::uint32_t crc16_of(Bytes bytes) { return crc_of(bytes, 16, 0x1021); }

std::array<std::uint8_t, 16> csd_of(ModelSdCard::Kind kind, std::uint32_t blocks) {
  std::array<std::uint8_t, 16> csd{};
  if (kind == ModelSdCard::Kind::kHighCapacity) {
    const std::uint32_t c_size = blocks / 1024 - 1;
    csd[0] = 0x40;
    csd[5] = 0x09;
    csd[7] = static_cast<std::uint8_t>(c_size >> 16);
    csd[8] = static_cast<std::uint8_t>(c_size >> 8);
    csd[9] = static_cast<std::uint8_t>(c_size);
    return csd;
  }
  const std::uint32_t c_size = blocks / 4 - 1;  // READ_BL_LEN 9, C_SIZE_MULT 0
  csd[5] = 0x09;
  csd[6] = static_cast<std::uint8_t>(c_size >> 10);
  csd[7] = static_cast<std::uint8_t>(c_size >> 2);
  csd[8] = static_cast<std::uint8_t>(c_size << 6);
  return csd;
}

}  // namespace

ModelSdCard::ModelSdCard(Kind kind, std::uint32_t block_count)
    : csd(csd_of(kind, block_count)), memory(std::size_t{block_count} * kBlockSize, 0xFF), kind_(kind) {}

void ModelSdCard::leave_in_write() {
  phase_ = Phase::kReady;
  checksums_ = true;
  write_ = Write::kData;
  write_at_ = 0;
  data_.assign(100, 0xAB);
}

void ModelSdCard::power_cycle() {
  faults = {.no_registers = faults.no_registers};  // that is no fault but what it is
  phase_ = Phase::kOff;
  application_ = checksums_ = stuck_ = selected_ = write_failed_ = false;
  clocks_ = 0;
  write_ = Write::kNone;
  data_.clear();
  frame_.clear();
  reply_.clear();
}

std::uint32_t ModelSdCard::set_clock(std::uint32_t hz_max) {
  clock_hz = hz_max;
  return hz_max;
}

void ModelSdCard::deselect() {
  selected_ = false;
  frame_.clear();
  if (!stuck_ && write_ == Write::kNone) reply_.clear();
}

void ModelSdCard::send(Bytes out) {
  for (const std::uint8_t byte : out) exchange(byte);
}

void ModelSdCard::receive(MutableBytes in) {
  for (std::uint8_t& byte : in) byte = exchange(0xFF);
}

std::uint8_t ModelSdCard::exchange(std::uint8_t in) {
  ++bytes;
  if (faults.removed_after == 0) faults.absent = true;
  if (faults.removed_after > 0) --faults.removed_after;
  if (faults.absent) return 0xFF;
  if (!selected_) {
    if (phase_ == Phase::kOff) ++clocks_;
    return 0x00;  // somebody else's
  }
  return answer(in);
}

std::uint8_t ModelSdCard::answer(std::uint8_t in) {
  if (stuck_) return 0x00;
  std::uint8_t out = 0xFF;
  if (!reply_.empty()) {
    out = reply_.front();
    reply_.pop_front();
    if (out == 0x00 && write_ != Write::kNone) return out;  // busy: hears nothing
  }
  if (frame_.empty() && write_ != Write::kNone && take_write(in)) return out;
  if (frame_.empty() && (in & 0xC0) != 0x40) {
    EXPECT_EQ(in, 0xFF) << "neither a command nor silence";
    return out;
  }
  frame_.push_back(in);
  if (frame_.size() == 6) {
    reply_.clear();
    execute();
    frame_.clear();
  }
  return out;
}

// True: the byte belongs to the data of a write.
bool ModelSdCard::take_write(std::uint8_t in) {
  if (write_ == Write::kToken) {
    if (in == 0xFC) write_ = Write::kData;
    if (in == 0xFD) {
      write_ = Write::kNone;
      reply_ = {0xFF, 0x00, 0x00, 0x00};
    }
    return in == 0xFC || in == 0xFD;
  }
  data_.push_back(in);
  if (data_.size() == kBlockSize + 2) {
    write_ = Write::kToken;
    store_block();
    data_.clear();
  }
  return true;
}

void ModelSdCard::store_block() {
  const Bytes data = Bytes(data_).first(kBlockSize);
  const bool crc_right = load_be<std::uint16_t>(&data_[kBlockSize]) == crc16_of(data);
  if (faults.rejected_blocks > 0 || (checksums_ && !crc_right)) {
    faults.rejected_blocks = std::max(faults.rejected_blocks - 1, 0);
    reply_ = {0xEB};
    return;
  }
  if (faults.write_errors > 0) {
    --faults.write_errors;
    reply_ = {0xED};
    return;
  }
  if (write_at_ + kBlockSize > memory.size()) {
    ADD_FAILURE() << "a write behind the end";
    return;
  }
  std::ranges::copy(data, memory.begin() + static_cast<std::ptrdiff_t>(write_at_));
  write_at_ += kBlockSize;
  if (faults.busy_for_ever) {
    reply_ = {0xE5};
    stuck_ = true;
    return;
  }
  write_failed_ = faults.bad_statuses > 0;
  faults.bad_statuses = std::max(faults.bad_statuses - 1, 0);
  reply_ = {0xE5, 0x00, 0x00, 0x00, 0x00};
}

void ModelSdCard::execute() {
  const auto index = static_cast<std::uint8_t>(frame_[0] & 0x3F);
  const auto argument = load_be<std::uint32_t>(&frame_[1]);
  ++commands[index];
  EXPECT_EQ(frame_[5], (crc_of(Bytes(frame_).first(5), 7, 0x09) << 1) | 1U) << "CRC of CMD" << int{index};
  if (phase_ == Phase::kOff) {
    if (index != 0) return;  // not in SPI mode yet
    EXPECT_GE(clocks_, 10U) << "74 clocks before the first command";
  }
  if (phase_ != Phase::kReady) {
    EXPECT_LE(clock_hz, 400'000U) << "not before the card has started";
  }
  if (application_) {
    application_ = false;
    return execute_application(index, argument);
  }
  if (faults.no_registers && (index == 9 || index == 10 || index == 13)) return reply({r1(kIllegal)});
  switch (index) {
    case 0:
      phase_ = Phase::kIdle;
      write_ = Write::kNone;
      checksums_ = false;
      start_polls_ = 3;
      return reply({r1()});
    case 8:
      if (kind_ == Kind::kVersion1) return reply({r1(kIllegal)});
      return reply({r1(), 0, 0, 0x01, static_cast<std::uint8_t>(faults.wrong_echo ? 0 : argument)});
    case 9:
      reply({r1()});
      return reply_data(csd);
    case 10:
      reply({r1()});
      return reply_data(cid);
    case 12:
      write_ = Write::kNone;
      reply_ = {0x3C, 0xFF, r1(), 0x00, 0x00};  // a stuff byte, which looks like an answer
      return;
    case 13: {
      const bool failed = write_failed_;
      write_failed_ = false;
      return reply({r1(), static_cast<std::uint8_t>(failed ? 0x04 : 0x00)});
    }
    case 16:
      return reply({argument == kBlockSize ? r1() : r1(kParameterError)});
    case 17:
      return read_block(argument);
    case 25:
      if (phase_ != Phase::kReady) return reply({r1(kIllegal)});
      write_at_ = offset_of(argument);
      write_ = Write::kToken;
      return reply({r1()});
    case 55:
      application_ = !faults.multimedia_card;
      return reply({faults.multimedia_card ? r1(kIllegal) : r1()});
    case 58: {
      const bool high = kind_ == Kind::kHighCapacity && phase_ == Phase::kReady;
      return reply({r1(), static_cast<std::uint8_t>(high ? 0xC0 : 0x80),
                    static_cast<std::uint8_t>(faults.low_voltage_only ? 0x00 : 0xFF), 0x80, 0x00});
    }
    case 59:
      if (faults.no_checksums) return reply({r1(kIllegal)});
      checksums_ = (argument & 1) != 0;
      return reply({r1()});
    default:
      ADD_FAILURE() << "CMD" << int{index};
      return reply({r1(kIllegal)});
  }
}

void ModelSdCard::read_block(std::uint32_t address) {
  const std::size_t at = offset_of(address);
  if (phase_ != Phase::kReady) return reply({r1(kIllegal)});
  if (at < memory.size()) {
    reply({r1()});
    return reply_data(Bytes(memory).subspan(at, kBlockSize));
  }
  if (faults.late_range_error) return reply({r1(), 0xFF, 0xFF, 0x08});
  reply({r1(faults.no_registers ? kAddressError : kParameterError)});
}

void ModelSdCard::execute_application(std::uint8_t index, std::uint32_t argument) {
  if (index != 41) {
    ADD_FAILURE() << "ACMD" << int{index};
    return reply({r1(kIllegal)});
  }
  // A card of high capacity does not start for a host that does not say it knows them.
  const bool wanted = kind_ != Kind::kHighCapacity || (argument & (1U << 30)) != 0;
  if (wanted && !faults.never_ready && --start_polls_ <= 0) phase_ = Phase::kReady;
  reply({r1()});
}

void ModelSdCard::reply(std::initializer_list<std::uint8_t> bytes_of_it) {
  reply_.assign({0xFF, 0xFF});
  reply_.insert(reply_.end(), bytes_of_it);
}

void ModelSdCard::reply_data(Bytes data) {
  if (faults.no_data) return;
  reply_.insert(reply_.end(), 7, 0xFF);
  if (faults.read_errors > 0) {
    --faults.read_errors;
    return reply_.push_back(0x04);
  }
  reply_.push_back(0xFE);
  reply_.insert(reply_.end(), data.begin(), data.end());
  std::uint32_t crc = crc16_of(data);
  if (faults.no_checksums) crc ^= 0x5555;
  if (faults.bad_read_crcs > 0) {
    --faults.bad_read_crcs;
    crc ^= 1;
  }
  reply_.push_back(static_cast<std::uint8_t>(crc >> 8));
  reply_.push_back(static_cast<std::uint8_t>(crc));
}

std::uint8_t ModelSdCard::r1(std::uint8_t errors) const {
  return static_cast<std::uint8_t>(errors | (phase_ == Phase::kReady ? 0 : 1));
}

std::size_t ModelSdCard::offset_of(std::uint32_t address) {
  if (kind_ == Kind::kHighCapacity) return std::size_t{address} * kBlockSize;
  EXPECT_EQ(address % kBlockSize, 0U) << "not at the start of a block";
  return address;
}

}  // namespace godwit::test
