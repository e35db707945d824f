// SPDX-License-Identifier: Apache-2.0
#include "boards/common/storage/provisioning.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "sim/flash/sim_flash.h"

namespace godwit::boards {
namespace {

constexpr std::array<std::uint8_t, 40> kDer{0x30};
constexpr codec::Provisioning kProvisioning{
    .device = "pump-3", .broker_host = "10.0.2.2", .broker_port = 8883, .server_name = "broker", .ca = kDer};

class ReadProvisioning : public testing::Test {
 protected:
  ReadProvisioning() { block_.resize(codec::encode(kProvisioning, block_).value_or(0)); }
  Status read(std::size_t buffer_size = codec::kProvisioningBlockSize) {
    std::vector<std::uint8_t> buffer(buffer_size);
    const auto result = read_provisioning(flash_, buffer);
    if (!result) return result.error();
    EXPECT_EQ(result->device, "pump-3");
    return Status::kOk;
  }
  sim::SimFlash flash_{{.sector_size_bytes = 2048, .sector_count = 8, .program_size_bytes = 16}};
  std::vector<std::uint8_t> block_ = std::vector<std::uint8_t>(codec::kProvisioningBlockSize);
};

TEST_F(ReadProvisioning, FindsTheBlockAtTheStart) {
  flash_.load(block_);
  EXPECT_EQ(read(), Status::kOk);
  EXPECT_EQ(read(block_.size()), Status::kOk) << "a buffer that is just large enough";
  EXPECT_EQ(read(4 * codec::kProvisioningBlockSize), Status::kOk);
}

TEST_F(ReadProvisioning, FindsABlockThatWasPutThereLater) {
  EXPECT_EQ(read(), Status::kNotFound);
  flash_.load(block_);
  EXPECT_EQ(read(), Status::kOk);
}

TEST_F(ReadProvisioning, TellsDamageFromABufferThatIsTooSmallAndFromStorageThatFails) {
  flash_.load(block_);
  EXPECT_EQ(read(block_.size() - 1), Status::kFull);
  flash_.flip_bit(20, 3);
  EXPECT_EQ(read(), Status::kCorrupt);
  flash_.power_off();
  EXPECT_EQ(read(), Status::kIo);
}

}  // namespace
}  // namespace godwit::boards
