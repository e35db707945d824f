// SPDX-License-Identifier: Apache-2.0
// godwit-gateway: the command line. Exit status 0: done; 1: could not; 2: wrong use.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <exception>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "gateway/app/check.h"
#include "gateway/app/config.h"
#include "gateway/app/devices.h"
#include "gateway/app/image.h"
#include "gateway/app/init.h"
#include "gateway/app/layout.h"
#include "gateway/app/run.h"
#include "gateway/store/backup.h"

namespace godwit::app {
namespace {

constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;

pki::Seconds now() { return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()); }

std::string date(pki::Seconds time) {
  const std::time_t seconds = time.time_since_epoch().count();
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[16];
  std::strftime(text, sizeof text, "%Y-%m-%d", &parts);
  return text;
}

CLI::Option* add_dir(CLI::App& command, std::filesystem::path& dir) {
  return command.add_option("DIR", dir, "The installation's folder")->required();
}

void add_init(CLI::App& app) {
  auto* const command =
      app.add_subcommand("init", "Make an installation: certificates, configuration, API key");
  command->footer("Nothing that exists is overwritten: run it again to complete what is missing.");
  const auto options = std::make_shared<InitOptions>();
  add_dir(*command, options->dir);
  command->add_option(
      "--host", options->hosts,
      "A name or address that devices and users connect to; may be repeated. Always included: "
      "localhost and this machine's name");
  command->add_option("--listen", options->mqtt_listen, "The broker's address; 0.0.0.0 for all networks")
      ->capture_default_str();
  command->add_option("--mqtt-port", options->mqtt_port, "The broker's port")
      ->check(CLI::Range(1, 65535))
      ->capture_default_str();
  command->add_option("--http-listen", options->http_listen, "The REST API's address")->capture_default_str();
  command->add_option("--http-port", options->http_port, "The REST API's port; 0 for any free one")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  command->add_flag("--renew", options->renew,
                    "New dates for the certificates of broker, gateway and REST API");
  command->callback([options] { init(*options, now(), std::cout); });
}

// Options of the commands that write a board's storage.
void add_image_options(CLI::App& command, ImageOptions& options, CLI::Option* file) {
  command.add_option("--image-size", options.size, "Of a new FILE, filled up as erased flash: 4194304, 4M")
      ->transform(CLI::AsSizeValue(false))
      ->needs(file);
  command
      .add_option("--board-broker", options.broker,
                  "HOST[:PORT] as the board reaches the broker; default: as its certificate names it")
      ->needs(file);
  command
      .add_option("--server-name", options.server_name,
                  "What the board expects in the broker's certificate; default: HOST, if it is there")
      ->needs(file);
  command.add_option("--sntp", options.sntp, "HOST[:PORT] of a time server for the board")->needs(file);
  command.add_option("--period", options.sample_period_ms, "Milliseconds between samples")
      ->check(CLI::Range(1, 86'400'000))
      ->needs(file);
  command.add_option("--rows", options.rows_per_record, "Samples in a record")
      ->check(CLI::Range(1, 1024))
      ->needs(file);
}

struct AddOptions {
  IssueOptions issue;
  std::string id;
  std::string prefix = "sim-";
  unsigned count = 0;
  std::string out;
  ImageOptions image;
};

void add_devices(const AddOptions& options) {
  IssueOptions issue = options.issue;
  if (!options.out.empty()) issue.out = options.out;
  const auto devices = options.count > 0 ? numbered_devices(options.prefix, options.count)
                                         : std::vector{parse_device(options.id)};
  const IssueResult result = issue_devices(devices, issue, now());
  const auto folder = issue.out.value_or(issue.dir / kDevices);
  if (options.count == 0) {
    const auto* const what = result.made > 0 ? "made"
                             : result.renewed > 0
                                 ? "renewed"
                                 : "exists, nothing changed (--renew makes a new certificate):";
    std::cout << what << ' ' << (result.made + result.renewed > 0 ? folder : issue.dir / kDevices).string()
              << '/' << options.id << '\n';
    if (!options.image.file.empty()) {
      write_image(issue.dir, devices.front(), folder / options.id, options.image, now(), std::cout);
    }
    return;
  }
  std::cout << folder.string() << ": " << result.made << " devices made, " << result.renewed << " renewed, "
            << result.kept << " existed and were left alone\n";
}

void add_image_command(CLI::App& device) {
  auto* const command = device.add_subcommand(
      "image", "Write a device's credentials, and where its broker is, to the storage of a board");
  command->footer(
      "Makes FILE, or replaces its first 4096 bytes: what the board has recorded stays. FILE may be an SD "
      "card.");
  struct Options {
    std::filesystem::path dir;
    std::string id;
    std::filesystem::path credentials;
    ImageOptions image;
  };
  const auto options = std::make_shared<Options>();
  add_dir(*command, options->dir);
  command->add_option("ID", options->id, "The device's name")->required();
  auto* const file = command->add_option("FILE", options->image.file, "The storage")->required();
  command->add_option("--credentials", options->credentials,
                      "The folder of device.crt, device.key and ca.crt; default: DIR/devices/ID");
  add_image_options(*command, options->image, file);
  command->callback([options] {
    const DeviceId id = parse_device(options->id);
    const auto folder =
        options->credentials.empty() ? options->dir / kDevices / options->id : options->credentials;
    write_image(options->dir, id, folder, options->image, now(), std::cout);
  });
}

void add_device_commands(CLI::App& app) {
  auto* const device = app.add_subcommand("device", "Issue and list the credentials of devices");
  device->require_subcommand(1);

  auto* const add =
      device->add_subcommand("add", "Issue a device's credentials: device.crt, device.key, ca.crt");
  const auto options = std::make_shared<AddOptions>();
  add_dir(*add, options->issue.dir);
  auto* const id =
      add->add_option("ID", options->id, "The device's name: a-z, 0-9, '.', '_', '-', at most 32");
  auto* const count =
      add->add_option("--count", options->count, "Issue for this many devices, numbered from 1")
          ->check(CLI::Range(1, 100'000));
  add->add_option("--prefix", options->prefix, "With --count: what the numbers follow")
      ->needs(count)
      ->capture_default_str();
  add->add_option("--out", options->out,
                  "Write to OUT/ID/ instead of DIR/devices/ID/; the key is then nowhere else");
  add->add_flag("--renew", options->issue.renew,
                "A new certificate, for the same key, for devices that have one");
  auto* const image =
      add->add_option("--image", options->image.file,
                      "Write them to FILE too, as the storage of a board (see `device image`)");
  image->excludes(count);
  add_image_options(*add, options->image, image);
  count->excludes(id);
  add->callback([options, id, count] {
    if (id->empty() && count->empty()) throw CLI::RequiredError("ID or --count");
    add_devices(*options);
  });

  add_image_command(*device);

  auto* const list = device->add_subcommand("list", "List the devices that credentials were issued to");
  const auto dir = std::make_shared<std::filesystem::path>();
  add_dir(*list, *dir);
  list->callback([dir] {
    for (const IssuedDevice& issued : list_devices(*dir)) {
      std::cout << issued.id << "  valid until " << date(issued.not_after) << "  serial " << issued.serial
                << '\n';
    }
  });
}

struct RunOptions {
  std::filesystem::path dir;
  std::filesystem::path config;

  [[nodiscard]] std::filesystem::path config_file() const { return config.empty() ? dir / kConfig : config; }
};

std::shared_ptr<RunOptions> add_run_options(CLI::App& command) {
  auto options = std::make_shared<RunOptions>();
  add_dir(command, options->dir);
  command.add_option("--config", options->config, "Another file than DIR/gateway.toml");
  return options;
}

void add_run_commands(CLI::App& app) {
  auto* const run_command = app.add_subcommand("run", "Run the gateway until SIGTERM or Ctrl-C");
  run_command->footer("Writes one line to stdout when it serves, and its log to stderr.");
  const auto run_options = add_run_options(*run_command);
  run_command->callback([run_options] { run(read_config(run_options->config_file()), std::cout); });

  auto* const check_command =
      app.add_subcommand("check", "Say what is wrong with an installation, or soon will be");
  const auto check_options = add_run_options(*check_command);
  check_command->callback([check_options] {
    const auto warnings = check(read_config(check_options->config_file()), now());
    for (const std::string& warning : warnings) std::cout << "warning: " << warning << '\n';
    if (warnings.empty()) std::cout << "ok\n";
  });
}

void add_backup(CLI::App& app) {
  auto* const command = app.add_subcommand("backup", "Copy the database, also while the gateway runs");
  command->footer(
      "To restore: stop the gateway, remove godwit.db, godwit.db-wal and godwit.db-shm from its data folder, "
      "copy FILE there as godwit.db, start it.");
  const auto options = add_run_options(*command);
  const auto file = std::make_shared<std::filesystem::path>();
  command->add_option("FILE", *file, "The copy; must not exist")->required();
  const auto unchecked = std::make_shared<bool>(false);
  command->add_flag(
      "--unchecked", *unchecked,
      "Believe pages without a right checksum: only if another program has written to godwit.db");
  command->callback([options, file, unchecked] {
    const Config config = read_config(options->config_file());
    const auto checksums = *unchecked ? gateway::Checksums::kIgnored : gateway::Checksums::kChecked;
    const std::int64_t last = gateway::backup(config.store_directory, *file, checksums);
    std::cout << "copied the log up to event " << last << " to " << file->string() << '\n';
  });
}

int main(int argc, char** argv) {
  CLI::App app("Godwit's gateway: stores what devices record, and serves it over REST.", "godwit-gateway");
  app.set_version_flag("--version", "godwit-gateway " GODWIT_VERSION);
  app.require_subcommand(1);
  app.footer("Exit status: 0 done, 1 could not (the reason is on stderr), 2 wrong use.");
  add_init(app);
  add_device_commands(app);
  add_run_commands(app);
  add_backup(app);
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  } catch (const std::exception& error) {
    std::cerr << "godwit-gateway: " << error.what() << '\n';
    return kExitFailure;
  }
}

}  // namespace
}  // namespace godwit::app

int main(int argc, char** argv) { return godwit::app::main(argc, argv); }
