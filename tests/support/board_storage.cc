// SPDX-License-Identifier: Apache-2.0
#include "tests/support/board_storage.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <stdexcept>
#include <vector>

#include "boards/common/storage/layout.h"
#include "boards/common/storage/partition.h"
#include "firmware/outbox/outbox.h"
#include "tests/support/process.h"
#include "tests/support/seeded_entropy.h"

namespace godwit::test {
namespace {

// A storage file in memory.
class LoadedStorage final : public ports::Flash {
 public:
  LoadedStorage(const QemuModel& model, const std::filesystem::path& file)
      : Flash(model.storage), bytes_(read_file(file)) {
    if (bytes_.size() < size_bytes()) throw std::runtime_error(file.string() + " is too small");
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  Status do_read(std::uint64_t offset, MutableBytes out) override {
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
    return Status::kOk;
  }
  Status do_program(std::uint64_t offset, Bytes in) override {
    std::ranges::copy(in, bytes_.begin() + static_cast<std::ptrdiff_t>(offset));
    return Status::kOk;
  }
  Status do_erase(std::uint32_t sector) override {
    const std::size_t size = geometry().sector_size_bytes;
    std::fill_n(bytes_.begin() + static_cast<std::ptrdiff_t>(sector * size), size, '\xFF');
    return Status::kOk;
  }
  Status do_flush() override { return Status::kOk; }

  std::string bytes_;
};

// The outbox in a storage.
struct MountedOutbox {
  MountedOutbox(const QemuModel& model, const std::filesystem::path& file, outbox::FullPolicy policy)
      : storage(model, file),
        partition(storage, boards::storage_layout(storage.geometry()).value().outbox),
        outbox(partition, entropy, policy) {
    if (outbox.mount() != Status::kOk) throw std::runtime_error(file.string() + ": no outbox can be mounted");
  }

  LoadedStorage storage;
  boards::Partition partition;
  SeededEntropy entropy{1};
  outbox::Outbox outbox;
};

}  // namespace

StoredOutbox read_outbox(const QemuModel& model, const std::filesystem::path& storage) {
  MountedOutbox mounted(model, storage, outbox::FullPolicy::kDropOldest);
  outbox::Outbox& outbox = mounted.outbox;
  StoredOutbox stored{.oldest_seq = outbox.oldest_seq().value,
                      .next_seq = outbox.next_seq().value,
                      .dropped = outbox.stats().dropped_records};
  std::array<Mark, outbox::Outbox::kMarksKept> marks;
  for (Seq before = outbox.next_seq();;) {
    const auto count = outbox.marks_before(before, marks);
    if (!count) throw std::runtime_error(storage.string() + ": its marks cannot be read");
    if (*count == 0) break;
    for (const Mark& mark : std::span(marks).first(*count))
      stored.marks.emplace(mark.first_seq.value, mark.epoch.value);
    before = marks[*count - 1].first_seq;
  }
  std::vector<std::uint8_t> batch(outbox.record_size_max());
  for (Seq seq = outbox.oldest_seq(); seq < outbox.next_seq(); seq = seq + 1) {
    const auto entry = outbox.read(seq, batch);
    if (!entry)
      throw std::runtime_error(storage.string() + ": cannot read record " + std::to_string(seq.value));
    if (entry->kind == outbox::Entry::Kind::kData) {
      stored.records.emplace(
          seq.value,
          std::string(batch.begin(), batch.begin() + static_cast<std::ptrdiff_t>(entry->size_bytes)));
    } else if (entry->kind == outbox::Entry::Kind::kLoss) {
      stored.lost.insert(seq.value);
    }
  }
  return stored;
}

std::uint64_t fill_outbox(const QemuModel& model, const std::filesystem::path& storage) {
  MountedOutbox mounted(model, storage, outbox::FullPolicy::kRefuse);
  outbox::Outbox& outbox = mounted.outbox;
  std::vector<std::uint8_t> batch(outbox.record_size_max());
  Seq oldest = outbox.oldest_seq();
  auto entry = outbox.read(oldest, batch);
  for (; entry && entry->kind != outbox::Entry::Kind::kData; entry = outbox.read(oldest, batch))
    oldest = oldest + 1;
  if (!entry) throw std::runtime_error(storage.string() + " holds no record");
  batch.resize(entry->size_bytes);
  while (outbox.append(batch) == Status::kOk) continue;
  overwrite(storage, 0, mounted.storage.bytes());
  return outbox.next_seq().value;
}

void change_provisioning(const std::filesystem::path& storage,
                         const std::function<void(codec::Provisioning&)>& change) {
  const std::string file = read_file(storage);
  const Bytes block(reinterpret_cast<const std::uint8_t*>(file.data()), codec::kProvisioningBlockSize);
  auto provisioning = codec::decode_provisioning(block);
  if (!provisioning) throw std::runtime_error(storage.string() + ": no provisioning block");
  change(*provisioning);
  std::array<std::uint8_t, codec::kProvisioningBlockSize> changed{};
  if (codec::check(*provisioning) != Status::kOk || !codec::encode(*provisioning, changed)) {
    throw std::runtime_error("this provisioning cannot be encoded");
  }
  overwrite(storage, 0, std::string(changed.begin(), changed.end()));
}

void overwrite(const std::filesystem::path& storage, std::uint64_t offset, const std::string& bytes) {
  std::fstream file(storage, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(offset));
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file.flush()) throw std::runtime_error("cannot write " + storage.string());
}

}  // namespace godwit::test
