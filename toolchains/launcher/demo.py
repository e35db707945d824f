#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo: mosquitto, gateway, this machine as a device, ARM boards and a simulated fleet; started by ./godwit demo.

Everything lives in .run/demo (or GODWIT_DEMO_FOLDER), made afresh each time. Whatever way the demo ends, it ends the
programs it started.
"""

import argparse
import ctypes
import fcntl
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

import live
import qemu_board

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUN = pathlib.Path(os.environ.get("GODWIT_DEMO_FOLDER", ROOT / ".run" / "demo"))
GATEWAY = RUN / "gateway"  # what `godwit-gateway init` makes
THIS_MACHINE = "this-machine"
FLEET_PREFIX = "sim-"
START_SECONDS_MAX = 30
# Until the last sample is acknowledged, stored and counted.
FLEET_STOP_SECONDS_MAX = 120
BOARD_STOP_SECONDS_MAX = 30
STOP_SECONDS_MAX = 10


class Failure(Exception):
    """What went wrong and what to do, in one line."""


class Stop(Exception):
    """Ctrl-C, or asked to end."""


class Program:
    """A child process: what it prints is in NAME.txt, its errors and progress in NAME.log."""

    def __init__(self, name, *command, stdin=subprocess.DEVNULL):
        self.name = name
        self.output = RUN / f"{name}.txt"
        self.log = RUN / f"{name}.log"
        libc = ctypes.CDLL(None)
        pr_set_pdeathsig = 1  # if this script is killed, the child is asked to end
        with self.output.open("wb") as output, self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(word) for word in command], stdin=stdin, stdout=output, stderr=log, cwd=RUN,
                start_new_session=True,  # Ctrl-C reaches this script only, which ends the children in order
                preexec_fn=lambda: libc.prctl(pr_set_pdeathsig, signal.SIGTERM))

    def tail(self):
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"  | {line}" for line in lines[-15:])

    def check(self):
        status = self.process.poll()
        if status is not None:
            raise Failure(f"{self.name} ended by itself with status {status}; its log is {self.log}:\n{self.tail()}")

    def wait_until(self, ready, what):
        deadline = time.monotonic() + START_SECONDS_MAX
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise Failure(f"{self.name} did not {what} within {START_SECONDS_MAX} s; its log is {self.log}:\n"
                              f"{self.tail()}")
            time.sleep(0.05)

    def stop(self, seconds_max=STOP_SECONDS_MAX):
        """Asks it to end and waits; returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds_max)
            except subprocess.TimeoutExpired:
                print(f"godwit: {self.name} did not end within {seconds_max} s and was killed; its log is {self.log}",
                      file=sys.stderr)
                self.process.kill()
                self.process.wait()
        return self.process.returncode


class Board(Program):
    def check(self):
        super().check()
        if cause := qemu_board.trouble(self):
            raise Failure(f"{self.name} does not start: {cause}; its console is in {self.output}")


def free_port(wanted, what):
    """`wanted` if nobody listens there, else one that the system picks."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError:
                continue
            chosen = probe.getsockname()[1]
            if chosen != wanted:
                print(f"  port {wanted} is busy: {what} takes {chosen} instead")
            return chosen
    raise Failure("no free port is left on this machine: end some servers (ss -ltnp lists them)")


def accepts(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def run_once(*command):
    result = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            check=False)
    if result.returncode != 0:
        raise Failure(f"{shlex.join(str(word) for word in command)} failed: {(result.stderr or result.stdout).strip()}")


def find_mosquitto():
    # Debian keeps it where only root's PATH looks.
    found = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not found:
        raise Failure("mosquitto is not installed: run ./godwit setup --for demo")
    return found


class Demo:
    def __init__(self, options):
        self.options = options
        self.programs = []
        self.fleet = None
        self.boards = []
        self.time_server = None
        self.url = ""
        self.authorization = RUN / "authorization.txt"  # a header line, so that curl can read it with -H @FILE

    def start(self, name, *command, **options):
        program = Program(name, *command, **options)
        self.programs.append(program)
        return program

    def start_all(self):
        gateway_program = self.options.build / "gateway/app/godwit-gateway"
        mqtt_port = free_port(8883, "the broker")
        http_port = free_port(8443, "the gateway")

        print("  certificates for the broker, the gateway, this machine and "
              f"{self.options.devices} simulated devices")
        run_once(gateway_program, "init", GATEWAY, "--mqtt-port", mqtt_port, "--http-port", http_port)
        run_once(gateway_program, "device", "add", GATEWAY, THIS_MACHINE)
        run_once(gateway_program, "device", "add", GATEWAY, "--count", self.options.devices, "--prefix", FLEET_PREFIX)
        key = (GATEWAY / "api-key").read_text().strip()
        self.authorization.touch(0o600)
        self.authorization.write_text(f"Authorization: Bearer {key}\n")

        print("  mosquitto")
        broker = self.start("mosquitto", find_mosquitto(), "-c", GATEWAY / "mosquitto.conf")
        broker.wait_until(lambda: accepts(mqtt_port), f"listen on port {mqtt_port}")

        print("  gateway")
        gateway = self.start("gateway", gateway_program, "run", GATEWAY)
        gateway.wait_until(lambda: "godwit-gateway ready" in gateway.output.read_text(errors="replace"), "get ready")
        self.url = f"https://127.0.0.1:{http_port}"

        print("  this machine as a device (load, memory, temperatures, disk, network)")
        credentials = GATEWAY / "devices" / THIS_MACHINE
        self.start(THIS_MACHINE, self.options.build / "boards/host/godwit-device", "--id", THIS_MACHINE,
                   "--broker", f"127.0.0.1:{mqtt_port}", "--ca", credentials / "ca.crt",
                   "--cert", credentials / "device.crt", "--key", credentials / "device.key",
                   "--data", RUN / THIS_MACHINE, "--log", "info", "--rows", 5)  # a record every 5 s is something to watch

        for number, model in enumerate(self.options.board, 1):
            self.start_board(model, number, mqtt_port)

        print(f"  {self.options.devices} simulated devices")
        until_asked = 0
        self.fleet = self.start("fleet", self.options.build / "sim/cli/godwit-sim", "run", "--gateway-dir", GATEWAY,
                                "--devices", self.options.devices, "--prefix", FLEET_PREFIX,
                                "--seconds", self.options.seconds or until_asked, "--report", RUN / "fleet.json")

    def start_board(self, model, number, mqtt_port):
        """What one does with a board on the desk: write its storage, put it in, connect it, switch it on."""
        device = qemu_board.device_name(model, number)
        print(f"  {device}: {model}, played by QEMU")
        self.time_server = self.time_server or qemu_board.TimeServer()
        board = qemu_board.MODELS[model]
        storage = RUN / f"{device}.img"
        run_once(self.options.build / "gateway/app/godwit-gateway", "device", "add", GATEWAY, device,
                 "--image", storage, "--image-size", board.storage_bytes,
                 "--board-broker", f"{qemu_board.HOST}:{mqtt_port}", "--server-name", "localhost",
                 "--sntp", f"{qemu_board.HOST}:{self.time_server.port}", "--rows", 5)
        image = self.options.build / "images" / model / "firmware.elf"
        self.boards.append(Board(device, *board.command(image, storage, number), stdin=subprocess.PIPE))
        self.programs.append(self.boards[-1])

    def get(self, path):
        name, value = self.authorization.read_text().strip().split(": ")
        request = urllib.request.Request(self.url + path, headers={name: value, "Accept": "application/json"})
        context = ssl.create_default_context(cafile=GATEWAY / "ca.crt")
        try:
            # This machine's own server is not to be asked for through a proxy.
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                                 urllib.request.HTTPSHandler(context=context))
            with opener.open(request, timeout=10) as response:
                return json.load(response)
        except (urllib.error.URLError, ValueError) as error:
            raise Failure(f"the gateway did not answer GET {path} as it should: {error}") from error

    def show_how_to_look(self):
        here = pathlib.Path.cwd()

        def shown(path):
            return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))

        curl = f"curl --noproxy '*' --cacert {shown(GATEWAY / 'ca.crt')} -H @{shown(self.authorization)}"
        print(f"\nThe gateway is at {self.url}. In another terminal, from {here}:\n"
              f"  {curl} {self.url}/api/v1/devices\n"
              f"  {curl} {self.url}/api/v1/devices/{THIS_MACHINE}/latest\n"
              f"  {curl} -N {self.url}/api/v1/events\n", flush=True)

    def watch(self):
        """Until the fleet has ended."""
        if self.options.headless:
            view = live.Forward(self.fleet.log)
        else:
            view = live.View(self.url, GATEWAY / "ca.crt", self.authorization,
                             [THIS_MACHINE, *(board.name for board in self.boards)])
        try:
            while self.fleet.process.poll() is None:
                for program in self.programs:
                    if program is not self.fleet:
                        program.check()
                view.show()
                try:
                    self.fleet.process.wait(view.period_s)
                except subprocess.TimeoutExpired:
                    pass
        finally:
            view.close()

    def finish(self):
        """Ends the devices in order, so that what they hold arrives; returns whether the promise held."""
        print("Ending: the devices send what they still hold, then all of it is counted ...", flush=True)
        fleet_status = self.fleet.stop(FLEET_STOP_SECONDS_MAX)
        this_machine = next(program for program in self.programs if program.name == THIS_MACHINE)
        this_machine.stop()
        try:
            report = json.loads((RUN / "fleet.json").read_text())
        except (OSError, ValueError) as error:
            raise Failure(f"the fleet left no report (status {fleet_status}, {error}); its log is {self.fleet.log}:\n"
                          f"{self.fleet.tail()}") from error
        machine = self.judge_this_machine(this_machine)
        boards = {board.name: self.judge_board(board) for board in self.boards}
        report["this_machine"] = machine
        report["boards"] = boards
        if self.options.report:
            self.options.report.write_text(json.dumps(report, indent=2) + "\n")
        held = (fleet_status == 0 and machine["stored"] == machine["recorded"]
                and all(promise_held(each) for each in (machine, *boards.values())))
        print(f"\nThe simulated devices:\n{self.fleet.output.read_text()}\n"
              + "".join(verdict(name, each) for name, each in {"This machine": machine, **boards}.items())
              + ("" if held else f"\nThe logs are in {RUN}\n"), flush=True)
        return held

    def judge_this_machine(self, program):
        """What it says that it recorded, against what the gateway has of it."""
        stopped = re.search(r"event=stopped .*recorded=(\d+)", program.log.read_text(errors="replace"))
        if not stopped:
            raise Failure(f"{THIS_MACHINE} did not end in order; its log is {program.log}:\n{program.tail()}")
        return self.judge(THIS_MACHINE, int(stopped[1]))

    def judge_board(self, program):
        """A board records until it is switched off: what it had recorded when it was asked has to be there."""
        deadline = time.monotonic() + BOARD_STOP_SECONDS_MAX
        recorded = qemu_board.recorded(program)
        while recorded == 0 and time.monotonic() < deadline:  # on a busy machine the first record takes a while
            time.sleep(0.2)
            recorded = qemu_board.recorded(program)
        if recorded is None:
            raise Failure(f"{program.name} does not answer on its console: {program.output}")
        deadline = time.monotonic() + BOARD_STOP_SECONDS_MAX
        while self.committed(program.name) < recorded and time.monotonic() < deadline:
            time.sleep(0.2)
        program.stop()
        return self.judge(program.name, recorded)

    def committed(self, device):
        """Records of the device that the gateway has."""
        try:
            stream = self.get(f"/api/v1/devices/{device}")["stream"]
        except Failure:  # it has never said hello
            return 0
        return stream["records"] if stream else 0

    def judge(self, device, recorded):
        """Each entry of its log has to be told of once, in order; the records among them are counted."""
        stored, due, in_order = 0, 1, True
        path = f"/api/v1/events?limit=500&device={device}&after=begin"
        while path:
            page = self.get(path)
            for event in page["items"]:
                if event["type"] not in ("telemetry", "epoch", "loss") or "seq" not in event:
                    continue
                is_range = event["type"] == "loss" and not event["reason"].startswith("refused_")
                in_order = in_order and event["seq"] == due
                due = event["seq"] + (event["count"] if is_range else 1)
                stored += event["type"] == "telemetry"
            cursor = page["next_cursor"]
            path = f"/api/v1/events?limit=500&device={device}&cursor={cursor}" if cursor else None
        return {"recorded": recorded, "stored": stored, "in_order": in_order}

    def stop_all(self):
        for program in reversed(self.programs):
            program.stop()


def promise_held(judged):
    return judged["in_order"] and judged["stored"] >= judged["recorded"] > 0


def verdict(name, judged):
    return (f"{name}: {judged['recorded']} records, {judged['stored']} stored"
            f"{', each once and in order' if judged['in_order'] else ', NOT EACH ONCE AND IN ORDER'}\n")


def fresh_run_folder():
    """Makes .run/demo afresh; the open lock file that is returned keeps a second demo out."""
    RUN.parent.mkdir(exist_ok=True)
    lock = (RUN.parent / "demo.lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise Failure(f"a demo is running from this folder already: end it first, or clone {ROOT} once more") from error
    shutil.rmtree(RUN, ignore_errors=True)
    RUN.mkdir(mode=0o700)
    return lock


def parse_arguments():
    def count(text):
        value = int(text)
        if value < 1:
            raise argparse.ArgumentTypeError("must be 1 or more")
        return value

    parser = argparse.ArgumentParser(prog="./godwit demo", add_help=True, allow_abbrev=False)
    parser.add_argument("--devices", type=count, default=20, metavar="N", help="simulated devices (default: 20)")
    parser.add_argument("--board", action="append", default=[], choices=sorted(qemu_board.MODELS), metavar="BOARD",
                        help="an ARM board that QEMU plays: " + " or ".join(sorted(qemu_board.MODELS)) +
                        "; may be repeated")
    parser.add_argument("--seconds", type=count, metavar="S", help="end by itself (headless: after 30)")
    parser.add_argument("--headless", action="store_true", help="no live view; exit status 0 only if the promise held")
    parser.add_argument("--report", type=pathlib.Path, metavar="FILE", help="the figures as JSON")
    parser.add_argument("--build", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)  # look at the arguments only
    options = parser.parse_args()
    if options.headless and not options.seconds:
        options.seconds = 30
    if options.report:
        options.report = options.report.absolute()
        if not options.report.parent.is_dir():
            parser.error(f"--report: there is no folder {options.report.parent}")
    return options


def main():
    options = parse_arguments()
    if options.check:
        return 0

    def stop(_signal, _frame):
        raise Stop

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    os.umask(0o077)
    demo = Demo(options)
    lock = None
    try:
        lock = fresh_run_folder()
        demo.start_all()
        demo.show_how_to_look()
        try:
            demo.watch()
        except Stop:
            print()
        return 0 if demo.finish() else 1
    except Stop:
        print("\nStopped before the figures were complete.")
        return 130
    except Failure as failure:
        print(f"godwit: {failure}", file=sys.stderr)
        return 1
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # nothing may interrupt the cleaning up
        demo.stop_all()
        if lock:
            lock.close()


if __name__ == "__main__":
    sys.exit(main())
