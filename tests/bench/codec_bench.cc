// SPDX-License-Identifier: Apache-2.0
// What a sample costs in flash: records of 16, 64 and 256 rows, as Godwit stores them, beside JSON, packed
// varints, a simple delta + adaptive Rice, and the order-0 entropy of the deltas. Of the recording that the
// codec was tuned on (sim/data/host.csv), and of recordings and synthetic signals that it was not. Decision
// and figures: docs/adr/0006-sample-codec.md.
//
//   codec_bench [--json FILE] [RECORDING.csv ...]
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

namespace {

using namespace godwit;
using Row = std::vector<std::int64_t>;
using Rows = std::span<const Row>;

constexpr std::size_t kBudgetBytes = 24;  // a record: at most this ...
constexpr double kBudgetFactor = 1.25;    // ... plus this times the entropy of its deltas

struct Recording {
  std::string name;
  std::vector<std::string> channels;
  std::vector<int> exponents;
  std::vector<Row> rows;
};

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

// The format is described in sim/data/README.md.
Recording load(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  Recording recording{
      .name = std::filesystem::path(path).stem(), .channels = {}, .exponents = {}, .rows = {}};
  std::string line;
  std::getline(file, line);
  for (const std::string& head : split(line, ','))
    recording.channels.push_back(head.substr(0, head.find('[')));
  std::vector<std::vector<std::string>> lines;
  recording.exponents.resize(recording.channels.size());
  while (std::getline(file, line)) {
    lines.push_back(split(line, ','));
    if (lines.back().size() != recording.channels.size())
      throw std::runtime_error(path + ": a row of another width");
    for (std::size_t c = 0; c < recording.exponents.size(); ++c) {
      const std::string& text = lines.back()[c];
      const auto point = text.find('.');
      const int decimals = point == std::string::npos ? 0 : static_cast<int>(text.size() - point - 1);
      recording.exponents[c] = std::min(recording.exponents[c], -decimals);
    }
  }
  for (const auto& cells : lines) {
    Row row;
    for (std::size_t c = 0; c < cells.size(); ++c) {
      row.push_back(std::llround(std::stod(cells[c]) * std::pow(10.0, -recording.exponents[c])));
    }
    recording.rows.push_back(row);
  }
  return recording;
}

std::uint64_t zigzag(std::int64_t value) {
  return (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
}
std::int64_t difference(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}
std::size_t varint_size(std::uint64_t value) {
  return std::max<std::size_t>(1, (static_cast<std::size_t>(std::bit_width(value)) + 6) / 7);
}

std::size_t batch_size(std::size_t rows, std::size_t samples_size) {
  std::array<std::uint8_t, codec::kBatchHeaderMax> header;
  const codec::Batch batch{.table = 0xC0DEC0DE,
                           .unix_time = UnixMillis{1'700'000'000'000},
                           .rows = static_cast<std::uint32_t>(rows)};
  return samples_size + codec::encode_batch_header(batch, samples_size, header).value();
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

Coded code(Rows rows, int timing_runs) {
  const std::size_t channels = rows[0].size();
  const auto samples = static_cast<double>(rows.size() * channels);
  std::vector<codec::ChannelModel> models(channels);
  std::vector<std::uint8_t> buffer(rows.size() * channels * 10 + 16);
  Coded coded;
  coded.encode_ns = shortest_ns(timing_runs,
                                [&] {
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
                    codec::SampleDecoder decoder(models, Bytes(buffer).first(coded.size), rows.size());
                    for (const Row& row : rows) {
                      if (decoder.next(out) != Status::kOk || out != row)
                        throw std::runtime_error("not what was encoded");
                    }
                  }) /
      samples;
  return coded;
}

using Histogram = std::map<std::int64_t, std::size_t>;

// Per channel, how often each delta occurs.
std::vector<Histogram> histograms(Rows rows) {
  std::vector<Histogram> all(rows[0].size());
  for (std::size_t r = 1; r < rows.size(); ++r) {
    for (std::size_t c = 0; c < all.size(); ++c) ++all[c][difference(rows[r][c], rows[r - 1][c])];
  }
  return all;
}

// The bits that the deltas of `rows` take in a code that is ideal for the frequencies in `model`.
double entropy_bits(Rows rows, const std::vector<Histogram>& model) {
  double bits = 0;
  for (std::size_t c = 0; c < model.size(); ++c) {
    double total = 0;
    for (const auto& [delta, count] : model[c]) total += static_cast<double>(count);
    for (std::size_t r = 1; r < rows.size(); ++r) {
      bits -= std::log2(static_cast<double>(model[c].at(difference(rows[r][c], rows[r - 1][c]))) / total);
    }
  }
  return bits;
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
  Budget by_whole;       // entropy by the frequencies of the deltas in the whole recording
  Budget by_record;      // entropy by those in each record alone
  double encode_ns = 0;  // per sample
  double decode_ns = 0;
};

struct Effort {
  std::size_t records_max;  // of each recording; frequencies are always those of the whole
  int timing_runs;
};

// Of the records of all `recordings`, which have the same number of channels.
Result measure(const std::string& signal, std::span<const Recording> recordings, std::size_t rows_per_record,
               Effort effort) {
  Result result;
  result.signal = signal;
  result.channels = recordings[0].channels.size();
  result.rows = rows_per_record;
  for (const Recording& recording : recordings) {
    const auto whole = histograms(recording.rows);
    const std::size_t records = std::min(effort.records_max, recording.rows.size() / rows_per_record);
    for (std::size_t i = 0; i < records; ++i) {
      const Rows rows = Rows(recording.rows).subspan(i * rows_per_record, rows_per_record);
      const Coded coded = code(rows, effort.timing_runs);
      const auto size = static_cast<double>(batch_size(rows.size(), coded.size));
      ++result.records;
      result.json += static_cast<double>(json_size(recording, rows));
      result.varints += static_cast<double>(batch_size(rows.size(), varints_size(rows)));
      result.rice += static_cast<double>(batch_size(rows.size(), rice_size(rows)));
      result.godwit += size;
      result.by_whole.add(size, entropy_bits(rows, whole) / 8);
      result.by_record.add(size, entropy_bits(rows, histograms(rows)) / 8);
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

std::vector<Result> measure_recordings(const std::vector<std::string>& paths) {
  constexpr Effort kEffort{.records_max = std::numeric_limits<std::size_t>::max(), .timing_runs = 25};
  std::vector<Result> results;
  for (const std::string& path : paths) {
    const Recording recording = load(path);
    const std::vector<Recording> each = one_channel_each(recording);
    for (const auto& recordings : {std::span(&recording, 1), std::span<const Recording>(each)}) {
      for (const std::size_t rows : kRowsPerRecord) {
        if (rows <= recording.rows.size())
          results.push_back(measure(recording.name, recordings, rows, kEffort));
      }
    }
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
        results.push_back(measure(signal.name, std::span(&recording, 1), rows, kEffort));
    }
  }
  return results;
}

void print_table(const char* title, const std::vector<Result>& results) {
  std::printf("%s\n\n%58s  %-31s  %-31s\n%-20s %3s %4s %6s %6s %7s %6s %6s", title, "",
              "| by the whole recording", "| by each record alone", "signal", "ch", "rows", "records", "JSON",
              "varints", "Rice", "Godwit");
  for (int i = 0; i < 2; ++i) std::printf("  | %7s %6s %6s %6s", "entropy", "budget", "within", "excess");
  std::printf("  | %6s %6s\n", "enc ns", "dec ns");
  for (const Result& r : results) {
    std::printf("%-20s %3zu %4zu %6zu %6.2f %7.3f %6.3f %6.3f", r.signal.c_str(), r.channels, r.rows,
                r.records, r.json, r.varints, r.rice, r.godwit);
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

}  // namespace

int main(int argc, char** argv) try {
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
  const std::vector<Result> recorded = measure_recordings(paths);
  const std::vector<Result> synthetic = measure_signals();
  print_table("Recordings; the codec was tuned on \"host\"", recorded);
  print_table("Synthetic signals", synthetic);
  print_notes();
  if (!json.empty()) write_json(recorded, synthetic, json);
} catch (const std::exception& error) {
  std::fprintf(stderr, "codec_bench: %s\n", error.what());
  return 1;
}
