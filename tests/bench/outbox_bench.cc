// SPDX-License-Identifier: Apache-2.0
// What the outbox costs the flash, counted by the flash model: bytes programmed per byte of payload, erases
// per sector of data, and how evenly sectors wear, for program units of 1 to 512 bytes and records of 64 to
// 512. Counts only: they are the same on every machine.
//
//   outbox_bench [--json FILE]
//
// Exits with 1 if a figure is above its limit: 1.2 programmed bytes per payload byte where a record is at
// least eight program units long, and one erase per sector that is filled.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "firmware/outbox/outbox.h"
#include "sim/flash/sim_flash.h"
#include "tests/support/seeded_entropy.h"

namespace {

using namespace godwit;

constexpr std::uint32_t kSectorSize = 4096;
constexpr std::uint32_t kSectors = 64;
constexpr double kAmplificationMax = 1.2;
constexpr std::array<std::uint32_t, 6> kUnits = {1, 4, 8, 16, 256, 512};
constexpr std::array<std::uint32_t, 6> kRecords = {64, 96, 128, 200, 256, 512};

struct Result {
  std::uint32_t unit = 0;
  std::uint32_t record = 0;
  double amplification = 0;      // bytes programmed per byte of payload
  double without_padding = 0;    // the same, less what fills up the last unit of records and headers
  double erases_per_sector = 0;  // erases per sector that was filled
  double fill = 0;  // share of the sectors that records take: the next one did not fit in the rest
  std::uint32_t wear_min = 0;
  std::uint32_t wear_max = 0;
  double read_factor = 0;  // bytes read per byte of payload, when each record is read once, in order

  [[nodiscard]] bool limited() const { return record >= 8 * unit; }
  [[nodiscard]] bool good() const {
    return (!limited() || amplification <= kAmplificationMax) && erases_per_sector <= 1.0;
  }
};

std::uint32_t padded(std::uint32_t size, std::uint32_t unit) { return (size + unit - 1) / unit * unit; }

void require(bool condition) {
  if (condition) return;
  std::fputs("outbox_bench: the outbox failed\n", stderr);
  std::exit(2);
}

Result measure(std::uint32_t unit, std::uint32_t record) {
  sim::SimFlash flash(
      {.sector_size_bytes = kSectorSize, .sector_count = kSectors, .program_size_bytes = unit});
  test::SeededEntropy entropy;
  outbox::Outbox box(flash, entropy);
  require(box.mount() == Status::kOk);
  const std::vector<std::uint8_t> payload(record, 0x5A);
  std::vector<std::uint8_t> buffer(record);
  const std::uint32_t extent = padded(8 + record, unit);
  const std::uint32_t per_sector = (kSectorSize - padded(184, unit)) / extent;
  const std::uint64_t sectors = std::uint64_t{4} * kSectors;  // four times around the ring
  const std::uint64_t records = sectors * per_sector;
  std::uint64_t bytes_read = 0;
  for (std::uint64_t i = 0; i < records; ++i) {
    const Seq seq = box.next_seq();
    require(box.append(payload) == Status::kOk);
    const auto before = flash.counts().bytes_read;
    const auto entry = box.read(seq, buffer);
    require(entry && entry->kind == outbox::Entry::Kind::kData);
    bytes_read += flash.counts().bytes_read - before;
  }
  Result result{.unit = unit, .record = record, .wear_min = flash.erases(0)};
  for (std::uint32_t sector = 0; sector < kSectors; ++sector) {
    result.wear_min = std::min(result.wear_min, flash.erases(sector));
    result.wear_max = std::max(result.wear_max, flash.erases(sector));
  }
  const auto data = static_cast<double>(records * record);
  result.amplification = static_cast<double>(flash.counts().bytes_programmed) / data;
  result.without_padding = static_cast<double>(records * (8 + record) + sectors * 184) / data;
  result.erases_per_sector = static_cast<double>(flash.counts().erases) / static_cast<double>(sectors);
  result.fill = static_cast<double>(per_sector * extent) / (kSectorSize - padded(184, unit));
  result.read_factor = static_cast<double>(bytes_read) / data;
  return result;
}

void write_json(const char* path, const std::vector<Result>& results) {
  std::FILE* file = std::fopen(path, "w");
  require(file != nullptr);
  std::fprintf(file, "{\"benchmark\": \"outbox\", \"sector_size_bytes\": %u, \"results\": [", kSectorSize);
  const char* separator = "\n";
  for (const Result& r : results) {
    std::fprintf(
        file,
        "%s  {\"program_size_bytes\": %u, \"record_size_bytes\": %u, \"programmed_per_payload\": %.4f, "
        "\"without_padding\": %.4f, \"erases_per_sector\": %.4f, \"fill\": %.4f, \"wear_min\": %u, "
        "\"wear_max\": %u, \"read_per_payload\": %.4f, \"limited\": %s, \"good\": %s}",
        separator, r.unit, r.record, r.amplification, r.without_padding, r.erases_per_sector, r.fill,
        r.wear_min, r.wear_max, r.read_factor, r.limited() ? "true" : "false", r.good() ? "true" : "false");
    separator = ",\n";
  }
  std::fputs("\n]}\n", file);
  require(std::fclose(file) == 0);
}

}  // namespace

int main(int argc, char** argv) {
  std::printf(
      "outbox: sectors of %u bytes; '*': at least eight units long, so the limit of %.1f holds with "
      "padding\n",
      kSectorSize, kAmplificationMax);
  std::printf("%6s %7s %18s %14s %14s %6s %10s %13s\n", "unit", "record", "programmed/payload",
              "less padding", "erases/sector", "fill", "wear", "read/payload");
  std::vector<Result> results;
  for (const std::uint32_t unit : kUnits) {
    for (const std::uint32_t record : kRecords) {
      const Result r = results.emplace_back(measure(unit, record));
      std::printf("%6u %7u %16.3f %c %14.3f %14.3f %5.0f%% %4u..%-4u %13.2f%s\n", unit, record,
                  r.amplification, r.limited() ? '*' : ' ', r.without_padding, r.erases_per_sector,
                  r.fill * 100, r.wear_min, r.wear_max, r.read_factor, r.good() ? "" : "  ABOVE THE LIMIT");
    }
  }
  if (argc == 3 && std::strcmp(argv[1], "--json") == 0) write_json(argv[2], results);
  return std::ranges::all_of(results, &Result::good) ? 0 : 1;
}
