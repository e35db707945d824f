// SPDX-License-Identifier: Apache-2.0
// Measured rows to code: how small they could be, and the priors that somebody who knows them would announce.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace godwit::test {

using Row = std::vector<std::int64_t>;
using Rows = std::span<const Row>;  // of the same width

struct Recording {
  std::string name;
  std::vector<std::string> channels;
  std::vector<int> exponents;
  std::vector<Row> rows;

  // Reads a CSV file (sim/data/README.md). Throws std::runtime_error.
  static Recording load(const std::string& path);
};

// Per channel, how often each delta from row to row occurs.
using Histogram = std::map<std::int64_t, std::size_t>;
std::vector<Histogram> histograms(Rows rows);
// The bits that the deltas of `rows` take in a code that is ideal for the frequencies in `model`, which has
// all of them.
double entropy_bits(Rows rows, const std::vector<Histogram>& model);

// For each channel the prior (see samples.cc) with which records of so many rows become smallest, as far as a
// search finds it: one number after the other, twice. Takes about 0.1 s a channel for 1,000 rows.
std::vector<std::uint64_t> priors_for(Rows rows, std::size_t rows_per_record);

// The bytes of the samples of a record; `priors`: one for each channel, or none.
std::size_t coded_size(Rows rows, std::span<const std::uint64_t> priors);

}  // namespace godwit::test
