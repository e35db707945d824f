// SPDX-License-Identifier: Apache-2.0
// godwit-mqtt: the MQTT client and TLS of the firmware as a command-line tool.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "boards/host/mqtt/commands.h"

namespace {

using godwit::boards::ConnectArguments;

constexpr int kWrongUsage = 2;

void add_connect_options(CLI::App& command, ConnectArguments& to) {
  command.add_option("-h,--host", to.host, "Host name or address of the broker")->capture_default_str();
  command.add_option("-p,--port", to.port, "Port; by default 8883 with --cafile, otherwise 1883");
  command.add_option("--cafile", to.ca, "Authority of the broker's certificate (PEM): use TLS");
  command.add_option("--cert", to.certificate, "Certificate of this client (PEM)");
  command.add_option("--key", to.key, "Key of the certificate (PEM)");
  command.add_option("--server-name", to.server_name, "The name in the broker's certificate, if not HOST");
  command.add_option("--tls-version", to.tls_version, "The highest version to use: 1.2 or 1.3")
      ->check(CLI::IsMember({"1.2", "1.3"}))
      ->capture_default_str();
  command.add_option("-i,--id", to.client_id, "Client id; by default a random one");
  command.add_option("-u,--username", to.user_name, "User name");
  command.add_option("-P,--pw", to.password, "Password");
  command.add_option("-q,--qos", to.qos, "QoS: 0, 1 or 2")->check(CLI::Range(0, 2))->capture_default_str();
  command.add_option("-k,--keepalive", to.keep_alive_s, "Keep-alive in seconds; 0: off")
      ->capture_default_str();
  command
      .add_option("-x,--session-expiry", to.session_expiry_s,
                  "How many seconds the broker keeps the session while the connection is lost")
      ->capture_default_str();
  command.add_flag("--resume", to.resume, "Go on with the session of an earlier run of this client id");
  command.add_flag("-v,--verbose", to.verbose, "Say more: with sub, the topic before each message");
}

void take_help_from_h(CLI::App& app) {
  // -h is the host, as in mosquitto_pub.
  app.set_help_flag("--help", "Print this help and end");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"The MQTT 5 client of the Godwit firmware as a command.", "godwit-mqtt"};
  app.footer(
      "Examples:\n"
      "  godwit-mqtt sub -h broker -t 'sensors/#' -q 1 -v\n"
      "  godwit-mqtt pub -h broker -t sensors/door -m open -q 2\n"
      "  godwit-mqtt pub -h broker --cafile ca.crt --cert me.crt --key me.key -t log -l < file\n"
      "COMMAND --help tells the options of each.\n\n"
      "Exit status: 0 all is acknowledged or received, 1 it is not (the reason is on stderr), 2 wrong "
      "usage.");
  take_help_from_h(app);
  app.require_subcommand(1);

  ConnectArguments connect;
  godwit::boards::PublishArguments pub;
  CLI::App* const publish =
      app.add_subcommand("pub", "Publish, and end with 0 once everything is acknowledged");
  take_help_from_h(*publish);
  add_connect_options(*publish, connect);
  publish->add_option("-t,--topic", pub.topic, "Topic")->required();
  CLI::Option_group* const what = publish->add_option_group("message", "What to send");
  what->add_option("-m,--message", pub.message, "This text");
  what->add_option("-f,--file", pub.file, "The content of this file");
  what->add_flag("-l,--lines", pub.lines, "Each line of standard input as a message of its own");
  what->require_option(1);
  publish->add_option("-c,--count", pub.count, "Send it so many times")->capture_default_str();
  publish->add_flag("-r,--retain", pub.retain, "Let the broker keep it for later subscribers");
  publish->add_flag("--topic-alias", pub.topic_alias,
                    "Send the topic once and a number afterwards, if the broker agrees");

  godwit::boards::SubscribeArguments sub;
  CLI::App* const subscribe = app.add_subcommand("sub", "Subscribe, and print each message on a line");
  take_help_from_h(*subscribe);
  add_connect_options(*subscribe, connect);
  subscribe->add_option("-t,--topic", sub.topics, "Topic filter; may be given several times")->required();
  subscribe->add_option("-C,--count", sub.count, "End with 0 after so many messages");

  CLI::App* const conformance = app.add_subcommand(
      "conformance",
      "For test programs: for each line 'PORT VERSION CLEAN [publish-1|publish-2|unsubscribe]' of "
      "standard input, one connection to 127.0.0.1");
  take_help_from_h(*conformance);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {  // asking for help is one
    return app.exit(error) == 0 ? 0 : kWrongUsage;
  }
  ::signal(SIGPIPE, SIG_IGN);
  if (publish->parsed()) return godwit::boards::publish(connect, pub);
  if (subscribe->parsed()) return godwit::boards::subscribe(connect, sub);
  return godwit::boards::conformance(std::cin, std::cout);
}
