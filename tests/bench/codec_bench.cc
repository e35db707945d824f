// SPDX-License-Identifier: Apache-2.0
// What a sample costs in flash: records of 16, 64 and 256 rows, as Godwit stores them, beside JSON, packed
// varints, a simple delta + adaptive Rice, and the order-0 entropy of the deltas. Of the recording that the
// codec was tuned on (sim/data/host.csv), and of recordings and synthetic signals that it was not. Decision
// and figures: docs/adr/0006-sample-codec.md.
//
//   codec_bench [--json FILE] [RECORDING.csv ...]
//   codec_bench --priors ROWS RECORDING.csv     what a table with such channels may announce, for records of
//                                               so many rows
#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <numbers>
#include <random>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "proto/codec/batch.h"
#include "proto/codec/messages.h"
#include "proto/codec/samples.h"
#include "tests/support/recording.h"

namespace {

using namespace godwit;
using test::Recording;
using test::Row;
using test::Rows;

constexpr std::size_t kBudgetBytes = 24;  // a record: at most this ...
constexpr double kBudgetFactor = 1.25;    // ... plus this times the entropy of its deltas

std::uint64_t zigzag(std::int64_t value) {
  return (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
}
std::int64_t difference(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}
std::size_t varint_size(std::uint64_t value) {
  return std::max<std::size_t>(1, (static_cast<std::size_t>(std::bit_width(value)) + 6) / 7);
}

// Of a full batch, whose rows its table announces.
std::size_t batch_size(std::size_t samples_size) {
  std::array<std::uint8_t, codec::kBatchHeaderMax> header;
  const codec::Batch batch{
      .table = 0xC0DEC0DE, .quality = codec::TimeQuality::kSynced, .time = Millis{1'700'000'000'000}};
  return samples_size + codec::encode_batch_header(batch, header);
}

// One object per row, as devices without a binary format send it.
std::size_t json_size(const Recording& recording, Rows rows) {
  std::size_t size = 0;
  for (const Row& row : rows) {
    size += std::string_view("{\"time\":1700000000000}").size();
    for (std::size_t c = 0; c < row.size(); ++c) {
      std::array<char, 64> text{};
      const int exponent = recording.exponents[c];
      const int length = std::snprintf(text.data(), text.size(), "%.*f", std::max(0, -exponent),
                                       static_cast<double>(row[c]) * std::pow(10.0, exponent));
      size +=
          recording.channels[c].size() + std::string_view(",\"\":").size() + static_cast<std::size_t>(length);
    }
  }
  return size;
}

// Zig-zag varints of the deltas, in a packed field.
std::size_t varints_size(Rows rows) {
  std::size_t size = 0;
  Row last(rows[0].size(), 0);
  for (const Row& row : rows) {
    for (std::size_t c = 0; c < row.size(); ++c) size += varint_size(zigzag(difference(row[c], last[c])));
    last = row;
  }
  return size;
}

// Channel by channel: the first value as a varint, then Golomb-Rice codes of the zig-zag deltas whose
// parameter follows their mean (as in FLAC's and JPEG-LS's coders); quotients from 20 on are an escape to 64
// plain bits. A byte says whether the batch falls back to varints.
std::size_t rice_size(Rows rows) {
  constexpr std::uint64_t kQuotientMax = 20;
  std::size_t bits = 0;
  for (std::size_t c = 0; c < rows[0].size(); ++c) {
    bits += 8 * varint_size(zigzag(rows[0][c]));
    std::uint64_t sum = 4;
    std::uint64_t count = 1;
    for (std::size_t r = 1; r < rows.size(); ++r) {
      const std::uint64_t value = zigzag(difference(rows[r][c], rows[r - 1][c]));
      unsigned k = 0;
      while (k < 63 && (count << k) < sum) ++k;
      const std::uint64_t quotient = value >> k;
      bits += quotient < kQuotientMax ? static_cast<std::size_t>(quotient) + 1 + k : kQuotientMax + 64;
      sum += std::min(value, std::uint64_t{1} << 40);
      if (++count == 16) {
        sum /= 2;
        count /= 2;
      }
    }
  }
  return 1 + std::min((bits + 7) / 8, varints_size(rows));
}

struct Coded {
  std::size_t size = 0;
  double encode_ns = 0;  // per sample
  double decode_ns = 0;
};

// The time of `work` in nanoseconds: the shortest of `runs`, since whatever else the machine does only adds.
template <typename Work>
double shortest_ns(int runs, Work work) {
  double shortest = std::numeric_limits<double>::infinity();
  for (int run = 0; run < runs; ++run) {
    const auto start = std::chrono::steady_clock::now();
    work();
    shortest = std::min(
        shortest, std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count());
  }
  return shortest;
}

Coded code(Rows rows, std::span<const std::uint64_t> priors, int timing_runs) {
  const std::size_t channels = rows[0].size();
  std::vector<codec::ChannelModel> fresh(channels);
  for (std::size_t c = 0; c < priors.size(); ++c) fresh[c] = codec::ChannelModel(priors[c]);
  const auto samples = static_cast<double>(rows.size() * channels);
  std::vector<codec::ChannelModel> models(channels);
  std::vector<std::uint8_t> buffer(rows.size() * channels * 10 + 16);
  Coded coded;
  coded.encode_ns = shortest_ns(timing_runs,
                                [&] {
                                  models = fresh;
                                  codec::SampleEncoder encoder(models, buffer);
                                  for (const Row& row : rows) {
                                    if (encoder.add(row) != Status::kOk)
                                      throw std::runtime_error("encoder is full");
                                  }
                                  coded.size = encoder.finish();
                                }) /
                    samples;
  Row out(channels);
  coded.decode_ns =
      shortest_ns(timing_runs,
                  [&] {
                    models = fresh;
                    codec::SampleDecoder decoder(models, Bytes(buffer).first(coded.size), rows.size());
                    for (const Row& row : rows) {
                      if (decoder.next(out) != Status::kOk || out != row)
                        throw std::runtime_error("not what was encoded");
                    }
                  }) /
      samples;
  return coded;
}

// How records keep to the budget, where their entropy is measured in one of two ways.
struct Budget {
  double entropy = 0;  // of the deltas, in bytes per sample
  double bytes = 0;    // what godwit may cost, per sample
  double within = 0;   // share of the records that keep to it one by one
  double excess_max = -std::numeric_limits<double>::infinity();  // bytes by which a record exceeds it

  void add(double record_size, double record_entropy) {
    const double allowed = kBudgetBytes + kBudgetFactor * record_entropy;
    entropy += record_entropy;
    bytes += allowed;
    within += record_size <= allowed ? 1 : 0;
    excess_max = std::max(excess_max, record_size - allowed);
  }
};

struct Result {
  std::string signal;
  std::size_t channels = 0;  // of a record
  std::size_t rows = 0;      // of a record
  std::size_t records = 0;
  // Bytes per sample; all but JSON with the header of the batch.
  double json = 0;
  double varints = 0;
  double rice = 0;
  double godwit = 0;
  bool priors = false;   // the table announces some
  Budget by_whole;       // entropy by the frequencies of the deltas in the whole recording
  Budget by_record;      // entropy by those in each record alone
  double encode_ns = 0;  // per sample
  double decode_ns = 0;
};

struct Effort {
  std::size_t records_max;  // of each recording; frequencies are always those of the whole
  int timing_runs;
};

// Of the records of all `recordings`, which have the same number of channels; the n-th has the priors of the
// n-th row of `priors`, if there are any.
Result measure(const std::string& signal, std::span<const Recording> recordings,
               std::span<const std::vector<std::uint64_t>> priors, std::size_t rows_per_record,
               Effort effort) {
  Result result;
  result.priors = !priors.empty();
  result.signal = signal;
  result.channels = recordings[0].channels.size();
  result.rows = rows_per_record;
  for (const Recording& recording : recordings) {
    const auto whole = test::histograms(recording.rows);
    const auto index = static_cast<std::size_t>(&recording - recordings.data());
    const std::span<const std::uint64_t> of_channels =
        priors.empty() ? std::span<const std::uint64_t>() : priors[index];
    const std::size_t records = std::min(effort.records_max, recording.rows.size() / rows_per_record);
    for (std::size_t i = 0; i < records; ++i) {
      const Rows rows = Rows(recording.rows).subspan(i * rows_per_record, rows_per_record);
      const Coded coded = code(rows, of_channels, effort.timing_runs);
      const auto size = static_cast<double>(batch_size(coded.size));
      ++result.records;
      result.json += static_cast<double>(json_size(recording, rows));
      result.varints += static_cast<double>(batch_size(varints_size(rows)));
      result.rice += static_cast<double>(batch_size(rice_size(rows)));
      result.godwit += size;
      result.by_whole.add(size, test::entropy_bits(rows, whole) / 8);
      result.by_record.add(size, test::entropy_bits(rows, test::histograms(rows)) / 8);
      result.encode_ns += coded.encode_ns;
      result.decode_ns += coded.decode_ns;
    }
  }
  const auto records = static_cast<double>(result.records);
  const auto samples = records * static_cast<double>(rows_per_record * result.channels);
  for (double* sum : {&result.json, &result.varints, &result.rice, &result.godwit, &result.by_whole.entropy,
                      &result.by_whole.bytes, &result.by_record.entropy, &result.by_record.bytes}) {
    *sum /= samples;
  }
  for (double* sum :
       {&result.by_whole.within, &result.by_record.within, &result.encode_ns, &result.decode_ns}) {
    *sum /= records;
  }
  return result;
}

// The same measurements as if each channel had a table, and so records, of its own.
std::vector<Recording> one_channel_each(const Recording& recording) {
  std::vector<Recording> parts;
  for (std::size_t c = 0; c < recording.channels.size(); ++c) {
    Recording part{.name = recording.name,
                   .channels = {recording.channels[c]},
                   .exponents = {recording.exponents[c]},
                   .rows = {}};
    for (const Row& row : recording.rows) part.rows.push_back({row[c]});
    parts.push_back(part);
  }
  return parts;
}

using Random = std::mt19937_64;

// `next` yields the values of a channel one after the other; each copy of it starts anew.
struct Signal {
  const char* name;
  std::function<std::int64_t(Random&)> next;
};

// A sine of amplitude 1,000 and 600 rows' period, with Gaussian noise.
std::function<std::int64_t(Random&)> noisy_sine(double deviation) {
  return [deviation, row = 0](Random& random) mutable {
    std::normal_distribution<double> noise(0, deviation);
    return std::llround(1000 * std::sin(2 * std::numbers::pi * row++ / 600) + noise(random));
  };
}

std::vector<Signal> signals() {
  return {
      {"sine, noise 0.5", noisy_sine(0.5)},
      {"sine, noise 5", noisy_sine(5)},
      {"sine, noise 50", noisy_sine(50)},
      {"sine, noise 500", noisy_sine(500)},
      {"walk by +-5,000",
       [value = std::int64_t{0}](Random& random) mutable {
         return value += std::uniform_int_distribution<std::int64_t>(-5000, 5000)(random);
       }},
      {"on/off, 1 in 50",
       [on = false](Random& random) mutable {
         return std::int64_t{on ^= std::bernoulli_distribution(1.0 / 50)(random)};
       }},
      {"pulses, mean 20",
       [count = std::int64_t{0}](Random& random) mutable {
         return count += std::poisson_distribution<std::int64_t>(20)(random);
       }},
      {"counter by 17", [count = std::int64_t{0}](Random& /*random*/) mutable { return count += 17; }},
  };
}

// Long, so that the frequencies of wide deltas are known well.
Recording synthesise(const Signal& signal, std::size_t channels) {
  constexpr std::size_t kRows = 65'536;
  Recording recording{.name = signal.name,
                      .channels = {},
                      .exponents = std::vector<int>(channels, 0),
                      .rows = std::vector<Row>(kRows, Row(channels))};
  for (std::size_t c = 0; c < channels; ++c) {
    recording.channels.push_back("channel_" + std::to_string(c));
    Random random(1 + c);
    auto next = signal.next;
    for (Row& row : recording.rows) row[c] = next(random);
  }
  return recording;
}

constexpr std::array<std::size_t, 3> kRowsPerRecord{16, 64, 256};

// Once without priors, once with those of `known`: what the author of an application can announce who has
// seen that recording only.
std::vector<Result> measure_recordings(const std::vector<std::string>& paths, const Recording& known) {
  constexpr Effort kEffort{.records_max = std::numeric_limits<std::size_t>::max(), .timing_runs = 25};
  const std::vector<std::vector<std::uint64_t>> together{test::priors_for(known.rows, kRowsPerRecord[0])};
  std::vector<std::vector<std::uint64_t>> each_alone;
  for (const std::uint64_t prior : together[0]) each_alone.push_back({prior});
  std::vector<Result> results;
  for (const std::string& path : paths) {
    const Recording recording = Recording::load(path);
    const std::vector<Recording> each = one_channel_each(recording);
    const auto measure_as = [&](std::span<const Recording> recordings,
                                std::span<const std::vector<std::uint64_t>> priors) {
      for (const std::size_t rows : kRowsPerRecord) {
        if (rows <= recording.rows.size())
          results.push_back(measure(recording.name, recordings, priors, rows, kEffort));
      }
    };
    measure_as({&recording, 1}, {});
    if (recording.channels == known.channels) measure_as({&recording, 1}, together);
    measure_as(each, {});
    if (recording.channels == known.channels) measure_as(each, each_alone);
  }
  return results;
}

std::vector<Result> measure_signals() {
  constexpr Effort kEffort{.records_max = 128, .timing_runs = 5};
  std::vector<Result> results;
  for (const Signal& signal : signals()) {
    for (const std::size_t channels : {8U, 1U}) {
      const Recording recording = synthesise(signal, channels);
      for (const std::size_t rows : kRowsPerRecord)
        results.push_back(measure(signal.name, std::span(&recording, 1), {}, rows, kEffort));
    }
  }
  return results;
}

void print_table(const char* title, const std::vector<Result>& results) {
  std::printf("%s\n\n%64s  %-31s  %-31s\n%-20s %3s %4s %5s %6s %6s %7s %6s %6s", title, "",
              "| by the whole recording", "| by each record alone", "signal", "ch", "rows", "prior",
              "records", "JSON", "varints", "Rice", "Godwit");
  for (int i = 0; i < 2; ++i) std::printf("  | %7s %6s %6s %6s", "entropy", "budget", "within", "excess");
  std::printf("  | %6s %6s\n", "enc ns", "dec ns");
  for (const Result& r : results) {
    std::printf("%-20s %3zu %4zu %5s %6zu %6.2f %7.3f %6.3f %6.3f", r.signal.c_str(), r.channels, r.rows,
                r.priors ? "yes" : "-", r.records, r.json, r.varints, r.rice, r.godwit);
    for (const Budget* budget : {&r.by_whole, &r.by_record}) {
      std::printf("  | %7.3f %6.3f %5.1f%% %6.1f", budget->entropy, budget->bytes, 100 * budget->within,
                  budget->excess_max);
    }
    std::printf("  | %6.1f %6.1f\n", r.encode_ns, r.decode_ns);
  }
  std::printf("\n");
}

void print_notes() {
  std::printf(
      "Bytes per sample, with the header of the batch; ns per sample.\n"
      "budget: %zu bytes a record + %.2f x the order-0 entropy of its deltas. within: share of the records\n"
      "that keep to it one by one; excess: bytes by which the worst one is above it (negative: below).\n"
      "entropy: by the frequencies of a channel's deltas in the whole recording, or in the record alone.\n"
      "It cannot exceed log2 of their number: by a record of 16 rows alone 3.9 bits, however wide they "
      "are.\n",
      kBudgetBytes, kBudgetFactor);
}

void write_budget(std::ofstream& file, const char* name, const Budget& budget) {
  file << ", \"" << name << "\": {\"entropy\": " << budget.entropy << ", \"budget\": " << budget.bytes
       << ", \"records_within\": " << budget.within << ", \"excess_max\": " << budget.excess_max << "}";
}

void write_results(std::ofstream& file, const std::vector<Result>& results) {
  for (const Result& r : results) {
    file << (&r == results.data() ? "\n" : ",\n") << "  {\"signal\": \"" << r.signal
         << "\", \"channels\": " << r.channels << ", \"rows\": " << r.rows << ", \"records\": " << r.records
         << ", \"priors\": " << (r.priors ? "true" : "false")
         << ", \"bytes_per_sample\": {\"json\": " << r.json << ", \"varints\": " << r.varints
         << ", \"rice\": " << r.rice << ", \"godwit\": " << r.godwit << "}";
    write_budget(file, "by_whole_recording", r.by_whole);
    write_budget(file, "by_record", r.by_record);
    file << ", \"encode_ns_per_sample\": " << r.encode_ns << ", \"decode_ns_per_sample\": " << r.decode_ns
         << "}";
  }
}

void write_json(const std::vector<Result>& recorded, const std::vector<Result>& synthetic,
                const std::string& path) {
  std::ofstream file(path);
  file << "{\"benchmark\": \"codec\", \"results\": [";
  write_results(file, recorded);
  file << "\n], \"synthetic\": [";
  write_results(file, synthetic);
  file << "\n]}\n";
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

int print_priors(std::size_t rows_per_record, const std::string& path) {
  const Recording recording = Recording::load(path);
  if (rows_per_record < 2 || rows_per_record > std::min(codec::kRowsMax, recording.rows.size()))
    throw std::runtime_error("ROWS is 2 to 1,024, and at most the rows of the recording");
  const auto priors = test::priors_for(recording.rows, rows_per_record);
  for (std::size_t c = 0; c < priors.size(); ++c)
    std::printf("%-24s 0x%016llX\n", recording.channels[c].c_str(),
                static_cast<unsigned long long>(priors[c]));
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc == 4 && std::string_view(argv[1]) == "--priors")
    return print_priors(static_cast<std::size_t>(std::strtoul(argv[2], nullptr, 10)), argv[3]);
  std::string json;
  std::vector<std::string> paths;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--json" && i + 1 < argc) {
      json = argv[++i];
    } else {
      paths.emplace_back(argument);
    }
  }
  if (paths.empty()) {
    for (const char* name : {"host", "host_later", "host_later_unrounded"})
      paths.push_back(std::string(GODWIT_RECORDINGS_DIR "/") + name + ".csv");
  }
  const std::vector<Result> recorded =
      measure_recordings(paths, Recording::load(GODWIT_RECORDINGS_DIR "/host.csv"));
  const std::vector<Result> synthetic = measure_signals();
  print_table("Recordings; the codec was tuned on \"host\"", recorded);
  print_table("Synthetic signals", synthetic);
  print_notes();
  if (!json.empty()) write_json(recorded, synthetic, json);
} catch (const std::exception& error) {
  std::fprintf(stderr, "codec_bench: %s\n", error.what());
  return 1;
}
