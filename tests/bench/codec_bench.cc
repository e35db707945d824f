// SPDX-License-Identifier: Apache-2.0
// What a sample costs on the wire and in flash: records of 16, 64 and 256 rows of the recordings in sim/data,
// as Godwit stores them, beside JSON, packed varints, delta + adaptive Rice, and the order-0 entropy of the
// deltas. Decision and figures: docs/adr/0006-sample-codec.md.
//
//   codec_bench [--json FILE] [RECORDING.csv ...]
#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <limits>
#include <map>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

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
  Recording recording{.name = path.substr(path.rfind('/') + 1), .channels = {}, .exponents = {}, .rows = {}};
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

// The time of `work` in nanoseconds: the shortest of some runs, since whatever else the machine does only
// adds.
template <typename Work>
double shortest_ns(Work work) {
  double shortest = std::numeric_limits<double>::infinity();
  for (int run = 0; run < 25; ++run) {
    const auto start = std::chrono::steady_clock::now();
    work();
    shortest = std::min(
        shortest, std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count());
  }
  return shortest;
}

Coded code(Rows rows) {
  const std::size_t channels = rows[0].size();
  const auto samples = static_cast<double>(rows.size() * channels);
  std::vector<codec::ChannelModel> models(channels);
  std::vector<std::uint8_t> buffer(rows.size() * channels * 10 + 16);
  Coded coded;
  coded.encode_ns = shortest_ns([&] {
                      codec::SampleEncoder encoder(models, buffer);
                      for (const Row& row : rows) {
                        if (encoder.add(row) != Status::kOk) throw std::runtime_error("encoder is full");
                      }
                      coded.size = encoder.finish();
                    }) /
                    samples;
  Row out(channels);
  coded.decode_ns = shortest_ns([&] {
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

struct Result {
  std::string recording;
  std::size_t rows = 0;
  std::size_t records = 0;
  // Bytes per sample; all but JSON with the header of the batch.
  double json = 0;
  double varints = 0;
  double rice = 0;
  double godwit = 0;
  double entropy = 0;         // of the deltas, by their frequencies in the whole recording
  double entropy_record = 0;  // the same, by those in each record alone
  double budget = 0;          // what godwit may cost, by `entropy`
  double within_budget = 0;   // share of the records that keep to it one by one
  double encode_ns = 0;       // per sample
  double decode_ns = 0;
};

Result measure(const Recording& recording, std::size_t rows_per_record) {
  Result result{.recording = recording.name, .rows = rows_per_record};
  const auto whole = histograms(recording.rows);
  double samples = 0;
  for (std::size_t at = 0; at + rows_per_record <= recording.rows.size(); at += rows_per_record) {
    const Rows rows = Rows(recording.rows).subspan(at, rows_per_record);
    const Coded coded = code(rows);
    const auto size = static_cast<double>(batch_size(rows.size(), coded.size));
    const double entropy = entropy_bits(rows, whole) / 8;
    const double budget = kBudgetBytes + kBudgetFactor * entropy;
    ++result.records;
    samples += static_cast<double>(rows.size() * recording.channels.size());
    result.json += static_cast<double>(json_size(recording, rows));
    result.varints += static_cast<double>(batch_size(rows.size(), varints_size(rows)));
    result.rice += static_cast<double>(batch_size(rows.size(), rice_size(rows)));
    result.godwit += size;
    result.entropy += entropy;
    result.entropy_record += entropy_bits(rows, histograms(rows)) / 8;
    result.budget += budget;
    result.within_budget += size <= budget ? 1 : 0;
    result.encode_ns += coded.encode_ns;
    result.decode_ns += coded.decode_ns;
  }
  for (double* sum : {&result.json, &result.varints, &result.rice, &result.godwit, &result.entropy,
                      &result.entropy_record, &result.budget}) {
    *sum /= samples;
  }
  for (double* sum : {&result.within_budget, &result.encode_ns, &result.decode_ns}) {
    *sum /= static_cast<double>(result.records);
  }
  return result;
}

void print_table(const std::vector<Result>& results) {
  std::printf(
      "Bytes per sample, headers included. budget: %zu bytes a record + %.2f x entropy of its deltas.\n\n",
      kBudgetBytes, kBudgetFactor);
  std::printf("%-12s %4s %7s  %6s %7s %6s %6s  %6s %7s %7s  %6s %6s\n", "recording", "rows", "records",
              "JSON", "varints", "Rice", "Godwit", "budget", "entropy", "records", "enc ns", "dec ns");
  for (const Result& r : results) {
    std::printf("%-12s %4zu %7zu  %6.2f %7.3f %6.3f %6.3f  %6.3f %7.3f %6.0f%%  %6.1f %6.1f\n",
                r.recording.c_str(), r.rows, r.records, r.json, r.varints, r.rice, r.godwit, r.budget,
                r.entropy, 100 * r.within_budget, r.encode_ns, r.decode_ns);
  }
  std::printf("\nrecords: the share that keeps to the budget one by one. ns: per sample.\n");
}

void write_json(const std::vector<Result>& results, const std::string& path) {
  std::ofstream file(path);
  file << "{\"benchmark\": \"codec\", \"results\": [";
  for (const Result& r : results) {
    file << (&r == results.data() ? "\n" : ",\n") << "  {\"recording\": \"" << r.recording
         << "\", \"rows\": " << r.rows << ", \"records\": " << r.records
         << ", \"bytes_per_sample\": {\"json\": " << r.json << ", \"varints\": " << r.varints
         << ", \"rice\": " << r.rice << ", \"godwit\": " << r.godwit << ", \"budget\": " << r.budget
         << ", \"entropy\": " << r.entropy << ", \"entropy_of_each_record\": " << r.entropy_record
         << "}, \"records_within_budget\": " << r.within_budget
         << ", \"encode_ns_per_sample\": " << r.encode_ns << ", \"decode_ns_per_sample\": " << r.decode_ns
         << "}";
  }
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
  if (paths.empty()) paths.emplace_back(GODWIT_RECORDINGS_DIR "/host.csv");
  std::vector<Result> results;
  for (const std::string& path : paths) {
    const Recording recording = load(path);
    for (const std::size_t rows : {16U, 64U, 256U}) {
      if (rows <= recording.rows.size()) results.push_back(measure(recording, rows));
    }
  }
  print_table(results);
  if (!json.empty()) write_json(results, json);
} catch (const std::exception& error) {
  std::fprintf(stderr, "codec_bench: %s\n", error.what());
  return 1;
}
