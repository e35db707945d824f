// SPDX-License-Identifier: Apache-2.0
#include "tests/support/recording.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "proto/base/bytes.h"
#include "proto/codec/samples.h"

namespace godwit::test {
namespace {

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

std::int64_t difference(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}

// All records of a channel, in eighths of a byte: a record of eight such channels is eight times as long, so
// that one bit makes a difference.
std::size_t channel_size(Rows rows, std::size_t channel, std::size_t rows_per_record, std::uint64_t prior) {
  constexpr std::size_t kCopies = 8;
  std::array<codec::ChannelModel, kCopies> models;
  std::vector<std::uint8_t> buffer(rows_per_record * kCopies * 40);
  codec::SampleEncoder encoder(models, buffer);
  std::array<std::int64_t, kCopies> row{};
  std::size_t size = 0;
  for (std::size_t at = 0; at + rows_per_record <= rows.size(); at += rows_per_record) {
    models.fill(codec::ChannelModel(prior));
    encoder.reset();
    for (const Row& each : rows.subspan(at, rows_per_record)) {
      row.fill(each[channel]);
      if (encoder.add(row) != Status::kOk) throw std::runtime_error("a record of that many rows is too long");
    }
    size += encoder.finish();
  }
  return size;
}

}  // namespace

Recording Recording::load(const std::string& path) {
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

std::vector<Histogram> histograms(Rows rows) {
  std::vector<Histogram> all(rows[0].size());
  for (std::size_t r = 1; r < rows.size(); ++r) {
    for (std::size_t c = 0; c < all.size(); ++c) ++all[c][difference(rows[r][c], rows[r - 1][c])];
  }
  return all;
}

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

std::vector<std::uint64_t> priors_for(Rows rows, std::size_t rows_per_record) {
  constexpr int kPasses = 2;
  std::vector<std::uint64_t> priors(rows[0].size(), 0);
  for (std::size_t c = 0; c < priors.size(); ++c) {
    std::size_t least = channel_size(rows, c, rows_per_record, 0);
    for (int pass = 0; pass < kPasses; ++pass) {
      for (unsigned shift = 0; shift < 64; shift += 4) {
        const std::uint64_t others = priors[c] & ~(std::uint64_t{0xF} << shift);
        for (std::uint64_t sixteenths = 0; sixteenths < 16; ++sixteenths) {
          const std::uint64_t candidate = others | sixteenths << shift;
          const std::size_t size = channel_size(rows, c, rows_per_record, candidate);
          if (size >= least) continue;
          least = size;
          priors[c] = candidate;
        }
      }
    }
  }
  return priors;
}

std::size_t coded_size(Rows rows, std::span<const std::uint64_t> priors) {
  const std::size_t channels = rows[0].size();
  std::vector<codec::ChannelModel> models(channels);
  for (std::size_t c = 0; c < priors.size(); ++c) models[c] = codec::ChannelModel(priors[c]);
  std::vector<std::uint8_t> buffer(codec::SampleEncoder::first_row_size_max(channels) * rows.size() * 4);
  codec::SampleEncoder encoder(models, buffer);
  for (const Row& row : rows) {
    if (encoder.add(row) != Status::kOk) throw std::runtime_error("a row does not fit");
  }
  return encoder.finish();
}

}  // namespace godwit::test
