// SPDX-License-Identifier: Apache-2.0
// LogReader over a small pool of read connections, which see what is committed and neither wait for the
// writer nor hold it up. Internal to gateway/store; others see LogReader through Store::reader().
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gateway/domain/reader.h"
#include "gateway/store/files.h"

namespace godwit::gateway {

class Reader : public LogReader {
 public:
  // The database must exist. `files` must outlive the reader.
  Reader(const Files& files, std::filesystem::path file);
  ~Reader() override;

  // Reads under way end with a StoreError, and so do all later ones. From any thread.
  void interrupt();

  [[nodiscard]] std::shared_ptr<const TableInfo> table(std::string_view device,
                                                       std::uint32_t hash) const override;
  [[nodiscard]] std::optional<BootTime> boot_time(std::string_view device, Epoch epoch) const override;
  [[nodiscard]] LogPage read(LogOffset after, const Filter& filter, const PageBounds& bounds) const override;
  [[nodiscard]] LogEnds ends() const override;
  [[nodiscard]] Resumption resume(LogId id) const override;
  [[nodiscard]] std::vector<DeviceInfo> devices_after(std::string_view after,
                                                      std::size_t limit) const override;
  [[nodiscard]] std::optional<DeviceInfo> device(std::string_view id) const override;
  [[nodiscard]] std::vector<Event> latest(std::string_view device) const override;

  // What the database says of this table has changed.
  void forget_table(std::string_view device, std::uint32_t hash);

 private:
  static constexpr std::size_t kSessionsMax = 8;  // reads at the same time; more wait
  static constexpr std::size_t kCachedTablesMax = 10'000;
  struct Session;  // a connection and its statements
  class Lease;
  class PageRead;

  const Files& files_;
  const std::filesystem::path file_;
  mutable std::mutex mutex_;
  mutable std::condition_variable returned_;
  mutable std::vector<std::unique_ptr<Session>> idle_;
  mutable std::size_t sessions_ = 0;
  std::atomic<bool> interrupted_ = false;
  // A table never changes, as its hash is that of its content, until it is forgotten or found in conflict.
  mutable std::map<std::pair<std::string, std::uint32_t>, std::shared_ptr<const TableInfo>> tables_;
  mutable std::uint64_t tables_forgotten_ = 0;  // what was read before one was forgotten is not kept
};

}  // namespace godwit::gateway
