// SPDX-License-Identifier: Apache-2.0
// Whom a board trusts, who trusts it, and what it does with a provisioning block that is no good. Whatever is
// wrong is said on the console, the board goes on recording where it can, and once it is right again all
// arrives.
#include <openssl/pem.h>

#include <functional>
#include <thread>

#include "tests/integration/qemu_test.h"
#include "tests/support/mosquitto.h"
#include "tests/support/test_pki.h"

namespace godwit::test {
namespace {

using testing::HasSubstr;

std::vector<std::uint8_t> der_of(const std::string& pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> in(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free);
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long size = 0;
  if (PEM_read_bio(in.get(), &name, &header, &data, &size) != 1) throw std::runtime_error("no PEM");
  std::vector<std::uint8_t> der(data, data + size);
  OPENSSL_free(name);
  OPENSSL_free(header);
  OPENSSL_free(data);
  return der;
}

class QemuTrust : public QemuTest {
 protected:
  // Starts the board, waits until its console says `cause`, and expects that it goes on recording and reached
  // nobody. Then gives it the right provisioning back: all arrives.
  void expect_refusal_then_recovery(QemuBoard& board, const std::string& good_block, std::string_view cause) {
    board.start();
    EXPECT_TRUE(board.wait_for_line(cause, kTimeout)) << "expected on the console: " << cause << "\n"
                                                      << board.console();
    const std::uint64_t next = board.count("next_seq") + 2;
    EXPECT_GE(board.wait_for_count("next_seq", next, kTimeout), next);
    EXPECT_EQ(board.status()["online"], "0");
    EXPECT_EQ(board.status()["boot"], "1") << "it crashed";
    EXPECT_EQ(shown(), "") << "it got through";
    kill_and_look(board);
    overwrite(board.options().storage, 0, good_block);
    expect_all_delivered(board);
  }

  // The right block, before it is changed.
  static std::string block_of(const QemuBoard& board) {
    return read_file(board.options().storage).substr(0, codec::kProvisioningBlockSize);
  }
  void change(const QemuBoard& board, const std::function<void(codec::Provisioning&)>& change) {
    change_provisioning(board.options().storage, change);
  }
};

TEST_F(QemuTrust, RefusesABrokerOfAnotherAuthority) {
  start_servers();
  QemuBoard& board = add_board();
  const std::string good = block_of(board);
  const auto other = der_of(TestCa("Somebody else").certificate());
  change(board, [&](codec::Provisioning& block) { block.ca = other; });
  expect_refusal_then_recovery(board, good, "it does not come from the given authority");
}

TEST_F(QemuTrust, RefusesABrokerOfAnotherName) {
  start_servers();
  QemuBoard& board = add_board();
  const std::string good = block_of(board);
  change(board, [](codec::Provisioning& block) { block.server_name = "elsewhere.example"; });
  expect_refusal_then_recovery(board, good, "the server certificate is not for elsewhere.example");
}

TEST_F(QemuTrust, RefusesAnExpiredBrokerWithAndWithoutTheTime) {
  start_servers();
  const TestCa ca;
  const TempDir files;
  const PemIdentity expired = ca.issue({.common_name = "localhost",
                                        .names = {"DNS:localhost"},
                                        .server = true,
                                        .not_before_s = -7'200,
                                        .not_after_s = -3'600});
  const Mosquitto broker({.tls = Mosquitto::Tls{.ca = files.write("ca.crt", ca.certificate()),
                                                .certificate = files.write("broker.crt", expired.certificate),
                                                .key = files.write("broker.key", expired.key),
                                                .client_certificate_required = false},
                          .extra = ""});
  const auto authority = der_of(ca.certificate());
  for (const bool time_known : {true, false}) {
    SCOPED_TRACE(time_known ? "the time is known" : "the time is not known");
    const std::string id = time_known ? "board-1" : "board-2";
    QemuBoard& board = add_board({.id = id, .sntp = time_known, .broker_port = broker.port()});
    change(board, [&](codec::Provisioning& block) { block.ca = authority; });
    board.start();
    EXPECT_TRUE(board.wait_for_line("expired", kTimeout)) << board.console();
    EXPECT_EQ(board.status()["online"], "0");
    board.kill();
  }
}

TEST_F(QemuTrust, RefusesABrokerThatHasExpiredByTheTimeItIsTold) {
  start_servers();
  QemuBoard& board = add_board();
  sntp_.set_ahead(std::chrono::days(3 * 365));
  board.start();
  EXPECT_TRUE(board.wait_for_line("expired", kTimeout)) << board.console();
  EXPECT_EQ(shown(), "");
}

TEST_F(QemuTrust, SaysThatTheBrokerWantsACertificate) {
  start_servers();
  QemuBoard& board = add_board();
  const std::string good = block_of(board);
  change(board, [](codec::Provisioning& block) { block.certificate = block.key = {}; });
  // TLS 1.2, which this one offers first, has no alert of its own for it.
  const bool tls12 = std::string_view(tested_model().name) == kLm3s6965.name;
  expect_refusal_then_recovery(
      board, good,
      tls12 ? "the broker refused the handshake: it may require a client certificate"
            : "client certificate refused by the broker: none was given, and one is required");
}

TEST_F(QemuTrust, SaysThatTheBrokerDoesNotKnowItsCertificate) {
  start_servers();
  QemuBoard& board = add_board();
  const std::string good = block_of(board);
  const PemIdentity stranger = TestCa("Somebody else").client("board-1");
  const auto certificate = der_of(stranger.certificate);
  const auto key = der_of(stranger.key);
  change(board, [&](codec::Provisioning& block) {
    block.certificate = certificate;
    block.key = key;
  });
  expect_refusal_then_recovery(board, good,
                               "client certificate refused by the broker: its authority is not known there");
}

struct BadBlock {
  const char* description;
  std::string block;
  const char* said;
};

std::string with_byte(const std::string& block, std::size_t at, char value) {
  return block.substr(0, at) + value + block.substr(at + 1);
}

TEST_F(QemuTrust, SaysWhatIsWrongWithItsProvisioningAndRecovers) {
  start_servers();
  QemuBoard& board = add_board();
  const std::string good = block_of(board);
  const std::vector<BadBlock> bad{
      {"blank", std::string(good.size(), '\xFF'), "not provisioned"},
      {"blank, of a new card", std::string(good.size(), '\0'), "not provisioned"},
      {"torn", good.substr(0, 512) + std::string(good.size() - 512, '\xFF'), "damaged"},
      {"wrong checksum", with_byte(good, 300, static_cast<char>(good.at(300) ^ 1)), "damaged"},
      {"newer version", with_byte(good, 4, 2), "newer firmware"},
      {"something else", std::string(good.size(), 'x'), "damaged"},
  };
  for (const BadBlock& each : bad) {
    SCOPED_TRACE(each.description);
    overwrite(board.options().storage, 0, each.block);
    board.start_in_vain();
    EXPECT_TRUE(board.wait_for_line(each.said, kTimeout)) << board.console();
    EXPECT_EQ(board.status()["running"], "0");
    board.kill();
  }
  // Tests that wait for a board to run do not wait for one that has said why it does not.
  board.start();
  EXPECT_THROW(static_cast<void>(board.wait_for_line("no such line", kTimeout)), std::runtime_error);
  EXPECT_THROW(static_cast<void>(take_records(1)), std::runtime_error);
  board.kill();
  // It says so again and again, and does not fall asleep or into the watchdog meanwhile.
  board.start_in_vain();
  ASSERT_TRUE(board.wait_for_line("damaged", kTimeout));
  EXPECT_TRUE(board.wait_for_line("damaged", kTimeout, board.console().size()));
  EXPECT_TRUE(board.wait_for_line("damaged", kTimeout, board.console().size()));
  EXPECT_THAT(board.status()["reset_reason"], "power_on");
  board.kill();

  overwrite(board.options().storage, 0, good);
  board.start();
  ASSERT_TRUE(take_records(2));
  EXPECT_EQ(board.status()["boot"], "1") << "only a start that has a block counts";
  expect_all_delivered(board);
}

TEST_F(QemuTrust, DoesNotDeliverRecordsOfTheNameItHadBefore) {
  start_servers();
  QemuBoard& board = add_board();
  const std::string good = block_of(board);
  board.start();
  ASSERT_TRUE(take_records(2));
  kill_and_look(board);
  change(board, [](codec::Provisioning& block) { block.device = "somebody-else"; });
  board.start_in_vain();
  EXPECT_TRUE(board.wait_for_line("records of another device", kTimeout)) << board.console();
  EXPECT_EQ(board.status()["running"], "0");
  board.kill();

  overwrite(board.options().storage, 0, good);
  expect_all_delivered(board);
}

}  // namespace
}  // namespace godwit::test
