// SPDX-License-Identifier: Apache-2.0
#include "boards/host/host_sensors.h"

#include <gtest/gtest.h>

#include <map>

#include "boards/host/console_log.h"
#include "boards/host/files.h"
#include "tests/support/port_conformance.h"
#include "tests/support/process.h"

namespace godwit::boards {
namespace {

constexpr const char* kStat = "cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 100 0 50 800 50 0 0 0 0 0\nintr 1\n";
constexpr const char* kStatLater = "cpu  175 0 75 850 60 0 0 0 0 0\n";
constexpr const char* kMeminfo =
    "MemTotal:       2048 kB\nMemFree:         512 kB\nMemAvailable:   1024 kB\n";
constexpr const char* kNetDev =
    "Inter-|   Receive                            |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls "
    "carrier\n"
    "    lo: 999 1 0 0 0 0 0 0 999 1 0 0 0 0 0 0\n"
    "  eth0:1000 10 0 0 0 0 0 0 2000 20 0 0 0 0 0 0\n"
    "wlan0: 500 5 0 0 0 0 0 0 100 1 0 0 0 0 0 0\n";
constexpr const char* kDiskstats =
    "   8       0 sda 10 0 100 5 20 0 200 6 0 0 0\n"
    "   8       1 sda1 10 0 100 5 20 0 200 6 0 0 0\n"
    " 253       0 dm-0 10 0 100 5 20 0 200 6 0 0 0\n";

TEST(ProcFiles, TellTheirNumbers) {
  EXPECT_EQ(parse_load_x100("12.34 0.03 0.01 1/123 4567\n"), 1234);
  const auto cpu = parse_cpu_times(kStat);
  ASSERT_TRUE(cpu.has_value());
  EXPECT_EQ(cpu->busy, 150U);
  EXPECT_EQ(cpu->total, 1000U);
  const auto memory = parse_memory(kMeminfo);
  ASSERT_TRUE(memory.has_value());
  EXPECT_EQ(memory->used_bytes, 1024U * 1024);
  EXPECT_EQ(memory->available_bytes, 1024U * 1024);
}

TEST(ProcFiles, CountEachByteOnce) {
  const auto network = parse_network(kNetDev);
  ASSERT_TRUE(network.has_value());
  EXPECT_EQ(network->in_bytes, 1500U) << "the loopback is no traffic";
  EXPECT_EQ(network->out_bytes, 2100U);
  const std::vector<std::string> disks{"sda"};
  const auto traffic = parse_disks(kDiskstats, disks);
  ASSERT_TRUE(traffic.has_value());
  EXPECT_EQ(traffic->in_bytes, 100U * 512) << "partitions are part of their disk";
  EXPECT_EQ(traffic->out_bytes, 200U * 512);
}

// Whatever a kernel writes there, or a container hides: no value, but never a crash.
TEST(ProcFiles, AreCutAnywhereWithoutHarm) {
  const std::vector<std::string> disks{"sda"};
  for (const std::string text : {kStat, kMeminfo, kNetDev, kDiskstats, "12.34 0.03 0.01 1/123 4567\n"}) {
    for (std::size_t size = 0; size <= text.size(); ++size) {
      const std::string_view part = std::string_view(text).substr(0, size);
      static_cast<void>(parse_load_x100(part));
      static_cast<void>(parse_cpu_times(part));
      static_cast<void>(parse_memory(part));
      static_cast<void>(parse_network(part));
      static_cast<void>(parse_disks(part, disks));
    }
  }
  EXPECT_FALSE(parse_load_x100("").has_value());
  EXPECT_FALSE(parse_load_x100("nonsense").has_value());
  EXPECT_FALSE(parse_cpu_times("cpu  1 2 x 4").has_value());
  EXPECT_FALSE(parse_memory("MemTotal: 10 kB\n").has_value());
  EXPECT_FALSE(parse_network("").has_value());
  EXPECT_FALSE(parse_disks(kDiskstats, {}).has_value());
}

class HostSensorsTest : public testing::Test {
 protected:
  void put(const std::string& path, const std::string& content) const {
    std::filesystem::create_directories((root_.path() / path).parent_path());
    root_.write(path, content);
  }
  void put_machine() const {
    put("proc/loadavg", "0.50 0.40 0.30 1/10 11\n");
    put("proc/stat", kStat);
    put("proc/meminfo", kMeminfo);
    put("proc/net/dev", kNetDev);
    put("proc/diskstats", kDiskstats);
    put("sys/block/sda/size", "1");
    put("sys/block/dm-0/size", "1");
    put("sys/class/hwmon/hwmon0/name", "coretemp\n");
    put("sys/class/hwmon/hwmon0/temp1_input", "45000\n");
    put("sys/class/hwmon/hwmon0/temp1_label", "Package id 0\n");
    put("sys/class/hwmon/hwmon0/temp2_input", "43500\n");
  }
  static std::map<std::string, std::int64_t> sample(HostSensors& sensors, std::size_t table, Instant now) {
    const auto channels = sensors.tables()[table].contract.channels;
    std::vector<std::int64_t> row(channels.size());
    EXPECT_EQ(sensors.sample(table, now, row), Status::kOk);
    std::map<std::string, std::int64_t> values;
    for (std::size_t i = 0; i < row.size(); ++i) values[std::string(channels[i].name)] = row[i];
    return values;
  }

  test::TempDir root_;
  ConsoleLog log_{ports::LogLevel::kError};
};

TEST_F(HostSensorsTest, MeasureWhatTheMachineHas) {
  put_machine();
  HostSensors sensors(root_.path(), log_);
  ASSERT_EQ(sensors.tables().size(), 2U);
  for (const telemetry::Table& table : sensors.tables()) EXPECT_EQ(codec::check(table.contract), Status::kOk);
  auto values = sample(sensors, 0, Instant(Millis{0}));
  EXPECT_EQ(values["load1"], 50);
  EXPECT_EQ(values["mem.available"], 1) << "1,024 KiB, in megabytes";
  EXPECT_EQ(values["temp.package_id_0"], 450);
  EXPECT_EQ(values["temp.coretemp.2"], 435);
  for (const char* rate : {"cpu", "net.rx", "net.tx", "disk.read", "disk.write"})
    EXPECT_EQ(values[rate], codec::kMissing) << rate << " needs two readings";

  put("proc/stat", kStatLater);
  put("proc/net/dev", "h\nh\n eth0: 6498 0 0 0 0 0 0 0 4100 0 0 0 0 0 0 0\n");
  put("proc/diskstats", "8 0 sda 1 0 5100 0 1 0 10200 0 0 0 0\n");
  values = sample(sensors, 0, Instant(Millis{2'000}));
  EXPECT_EQ(values["cpu"], 63) << "100 of 160 ticks";
  EXPECT_EQ(values["net.rx"], 2) << "4,998 bytes in 2 s, in kB/s";
  EXPECT_EQ(values["net.tx"], 1);
  EXPECT_EQ(values["disk.read"], 13) << "5,000 sectors in 2 s, in tenths of MB/s";
  EXPECT_EQ(values["disk.write"], 26);
}

TEST_F(HostSensorsTest, MakeRecordsOfAsManyRowsAsAskedFor) {
  put_machine();
  HostSensors sensors(root_.path(), log_);
  EXPECT_EQ(sensors.tables()[0].contract.rows_max, 64);
  EXPECT_GT(sensors.tables()[0].age_max, 64 * sensors.tables()[0].contract.period);
  const telemetry::Table live = sensors.tables()[1];
  for (const Millis period : {Millis{1}, Millis{1'000}, Millis{60'000}}) {
    sensors.set_recording(period, 30);
    EXPECT_EQ(sensors.tables()[0].contract.period, period);
    EXPECT_EQ(sensors.tables()[0].contract.rows_max, 30);
    EXPECT_EQ(sensors.tables()[0].age_max, 31 * period);
  }
  sensors.set_recording(std::chrono::hours{24}, 64);
  EXPECT_EQ(telemetry::Recorder::check(sensors.tables()[0]), Status::kOk);
  EXPECT_EQ(sensors.tables()[1].contract.period, live.contract.period);
  EXPECT_EQ(sensors.tables()[1].contract.rows_max, live.contract.rows_max);
}

TEST_F(HostSensorsTest, KeepAnIntervalForEachTable) {
  put_machine();
  HostSensors sensors(root_.path(), log_);
  sample(sensors, 0, Instant(Millis{0}));
  put("proc/net/dev", "h\nh\n eth0: 5500 0 0 0 0 0 0 0 2100 0 0 0 0 0 0 0\n");
  sample(sensors, 1, Instant(Millis{500}));
  EXPECT_EQ(sample(sensors, 0, Instant(Millis{1'000}))["net.rx"], 4);
}

TEST_F(HostSensorsTest, LeaveOutTheValueOfASensorThatFailsAndSayItOnce) {
  class Events final : public ports::Log {
   public:
    void write(ports::LogLevel, std::string_view event,
               std::initializer_list<ports::LogField> fields) override {
      seen.push_back(std::string(event) + " " + std::string(fields.begin()->text));
    }
    std::vector<std::string> seen;
  } log;
  put_machine();
  HostSensors sensors(root_.path(), log);
  sample(sensors, 0, Instant(Millis{0}));
  EXPECT_TRUE(log.seen.empty()) << "that a rate needs two readings is no failure";
  put("sys/class/hwmon/hwmon0/temp1_input", "");
  std::filesystem::remove(root_.path() / "proc/net/dev");
  for (const Millis now : {Millis{1'000}, Millis{2'000}}) {
    const auto values = sample(sensors, 0, Instant(now));
    EXPECT_EQ(values.at("temp.package_id_0"), codec::kMissing);
    EXPECT_EQ(values.at("net.rx"), codec::kMissing);
    EXPECT_EQ(values.at("temp.coretemp.2"), 435);
  }
  EXPECT_EQ(std::ranges::count(log.seen, "sensor_failed temp.package_id_0"), 1);
  put("sys/class/hwmon/hwmon0/temp1_input", "-1250\n");
  EXPECT_EQ(sample(sensors, 0, Instant(Millis{3'000})).at("temp.package_id_0"), -13);
}

TEST_F(HostSensorsTest, LeaveOutWhatIsNotThere) {
  put("proc/loadavg", "0.50 0.40 0.30 1/10 11\n");
  HostSensors sensors(root_.path(), log_);
  ASSERT_EQ(sensors.tables().size(), 1U);
  ASSERT_EQ(sensors.tables()[0].contract.channels.size(), 1U);
  EXPECT_EQ(sensors.tables()[0].contract.channels[0].name, "load1");

  const test::TempDir nothing;
  EXPECT_TRUE(HostSensors(nothing.path(), log_).tables().empty());
}

TEST_F(HostSensorsTest, TakeThermalZonesWhereThereIsNoHwmon) {
  put("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n");
  put("sys/class/thermal/thermal_zone0/temp", "51540\n");
  HostSensors sensors(root_.path(), log_);
  EXPECT_EQ(sample(sensors, 0, Instant{})["temp.cpu_thermal"], 515);
}

TEST_F(HostSensorsTest, NeverExceedATable) {
  put_machine();
  for (int i = 10; i < 60; ++i) put("sys/class/hwmon/hwmon0/temp" + std::to_string(i) + "_input", "1000\n");
  HostSensors sensors(root_.path(), log_);
  EXPECT_EQ(sensors.tables()[0].contract.channels.size(), codec::kChannelsMax);
  EXPECT_EQ(codec::check(sensors.tables()[0].contract), Status::kOk);
}

TEST(HostSensors, OfThisVeryMachineConformToTheirPort) {
  ConsoleLog log(ports::LogLevel::kError);
  HostSensors sensors("/", log);
  test::expect_sensors_conform(sensors, sensors.tables());
}

}  // namespace
}  // namespace godwit::boards
