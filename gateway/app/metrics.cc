// SPDX-License-Identifier: Apache-2.0
#include "gateway/app/metrics.h"

#include <chrono>
#include <string_view>

namespace godwit::app {
namespace {

class Text {
 public:
  void counter(std::string_view name, std::string_view help, std::uint64_t value) {
    head(name, help, "counter");
    line(name, "", std::to_string(value));
  }
  void gauge(std::string_view name, std::string_view help, std::uint64_t value) {
    head(name, help, "gauge");
    line(name, "", std::to_string(value));
  }
  // Without quantiles: a mean over any time is a difference of sums over one of counts.
  void summary(std::string_view name, std::string_view help, std::chrono::duration<double> sum,
               std::uint64_t count) {
    head(name, help, "summary");
    line(name, "_sum", std::to_string(sum.count()));
    line(name, "_count", std::to_string(count));
  }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  void head(std::string_view name, std::string_view help, std::string_view type) {
    text_.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ").append(name);
    text_.append(" ").append(type).append("\n");
  }
  void line(std::string_view name, std::string_view suffix, std::string_view value) {
    text_.append(name).append(suffix).append(" ").append(value).append("\n");
  }
  std::string text_;
};

}  // namespace

std::string metrics(const Figures& figures) {
  const auto& [consumer, dropped, load, writer, store, http, feed_lag] = figures;
  const gateway::IngestCounters& ingest = writer.ingest;
  Text text;
  text.gauge("godwit_broker_connected", "1 while connected and subscribed.", consumer.connected ? 1 : 0);
  text.counter("godwit_broker_sessions_total", "Connections made to the broker.", consumer.sessions);
  text.counter("godwit_messages_received_total", "Messages from devices.", consumer.messages);
  text.counter("godwit_messages_foreign_total", "Messages on topics that are not ours.", consumer.foreign);
  text.counter("godwit_messages_dropped_total",
               "Messages that were not taken in; devices send records again.", dropped.messages);
  text.counter("godwit_messages_throttled_total", "Of these: for a limit of their device.",
               dropped.throttled);
  text.gauge("godwit_intake_messages", "Messages that wait for the writer.", load.messages);
  text.gauge("godwit_intake_bytes", "What they count as, in memory.", load.bytes);
  text.counter("godwit_acks_sent_total", "Acknowledgements to devices.", consumer.acks);
  text.counter("godwit_acks_dropped_total", "Acknowledgements given up; devices ask again.",
               consumer.dropped_acks);
  text.counter("godwit_records_total", "Records taken.", ingest.records);
  text.counter("godwit_lost_records_total", "Records that devices reported as lost.", ingest.lost_records);
  text.counter("godwit_live_batches_total", "Batches of live samples taken.", ingest.live);
  text.counter("godwit_duplicates_total", "Records that were stored already.", ingest.duplicates);
  text.counter("godwit_gaps_total", "Records that came too early; their devices were told to go back.",
               ingest.gaps);
  text.counter("godwit_malformed_total", "Messages that do not decode.", ingest.malformed);
  text.counter("godwit_refused_total", "Messages beyond a limit.", ingest.refused);
  text.counter("godwit_foreign_total", "Records under another hello than the last one heard.",
               ingest.foreign);
  text.counter("godwit_histories_replaced_total",
               "Devices that came back with another copy of their storage.", ingest.replaced);
  text.counter("godwit_epochs_forgotten_total", "Epochs beyond the limit of a device.",
               ingest.forgotten_epochs);
  text.counter("godwit_table_conflicts_total", "Tables announced with the hash of another one.",
               ingest.table_conflicts);
  text.counter("godwit_events_total", "Events appended to the log.", writer.events);
  text.counter("godwit_commits_total", "Transactions, each with one sync of the disk.", writer.commits);
  text.counter("godwit_commits_failed_total", "Transactions that failed and were tried again.",
               writer.failed_commits);
  text.summary("godwit_commit_seconds", "How long commits took, with all that belongs to them.",
               load.commit_time, writer.commits);
  text.gauge("godwit_database_bytes", "Size of the database.", store.database_bytes);
  text.gauge("godwit_database_wal_bytes", "Size of the write-ahead log beside it.", store.wal_bytes);
  if (store.disk_free_bytes)
    text.gauge("godwit_disk_free_bytes", "Free on the disk of the database.", *store.disk_free_bytes);
  text.counter("godwit_quarantined_total", "Records that the database refused; they are kept beside the log.",
               writer.quarantined);
  text.gauge("godwit_disk_low", "1 while less is free than the reserve.", writer.disk_low ? 1 : 0);
  text.gauge("godwit_database_writable", "0 while commits fail.", writer.writable ? 1 : 0);
  text.counter("godwit_http_connections_total", "Connections accepted.", http.connections);
  text.counter("godwit_http_connections_refused_total", "Connections closed at once: one of the limits.",
               http.connections_refused);
  text.gauge("godwit_http_connections_open", "Connections at present.", http.connections_open);
  text.counter("godwit_http_requests_total", "Requests answered.", http.requests);
  text.gauge("godwit_http_subscribers", "Event streams at present.", http.subscribers);
  text.gauge("godwit_http_subscribers_lag", "Events in front of the event stream that is furthest behind.",
             static_cast<std::uint64_t>(feed_lag));
  text.counter("godwit_http_slow_subscribers_total", "Event streams ended: their clients read nothing.",
               http.slow_subscribers);
  return text.take();
}

const char* database_state(const gateway::WriterStats& writer) {
  if (writer.writable) return "writable";
  switch (writer.trouble) {
    case gateway::StoreTrouble::kFull:
      return "cannot be written: the disk is full";
    case gateway::StoreTrouble::kDisk:
      return "cannot be written: the disk reports errors, see the gateway's log";
    case gateway::StoreTrouble::kDamaged:
      return "cannot be written: it is damaged, see the gateway's log";
    case gateway::StoreTrouble::kOther:
      break;
  }
  return "cannot be written, see the gateway's log";
}

}  // namespace godwit::app
