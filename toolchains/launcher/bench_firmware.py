#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the firmware images take, against toolchains/budgets: flash, RAM, stack, instructions, bytes on the wire.

usage: bench_firmware.py BUILD_FOLDER FILE

Each board is played by QEMU with `-icount shift=0`: an instruction takes a nanosecond of its time, whatever this
machine does meanwhile. The board counts its own cycles, without those in which it waits. It talks through a counting
proxy to a real mosquitto and godwit-gateway. The figures: docs/reference/performance.md says what each includes.
Ends with status 1 if a limit is exceeded or a board could not be measured.
"""

import datetime
import json
import os
import pathlib
import platform
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import demo
import qemu_board

BUDGETS = pathlib.Path(__file__).resolve().parents[1] / "budgets"
sys.path.append(str(BUDGETS))
from image_size import compare

CLOCK_HZ = {"qemu_lm3s6965": 50_000_000, "qemu_mps2_an385": 25_000_000}
# (image, board, what the broker insists on)
RUNS = [
    ("qemu_lm3s6965", "qemu_lm3s6965", "1.2"),
    ("qemu_lm3s6965", "qemu_lm3s6965", "1.3"),
    ("qemu_lm3s6965_tls12", "qemu_lm3s6965", "1.2"),
    ("qemu_mps2_an385", "qemu_mps2_an385", "1.2"),
    ("qemu_mps2_an385", "qemu_mps2_an385", "1.3"),
]
ROWS = 5
PERIOD_MS = 10
RECORDS = 100  # that an average is taken of
SECONDS_MAX = 90
CHANGE_CIPHER_SPEC, APPLICATION_DATA = 20, 23


class Wire(threading.Thread):
    """Stands between board and broker, and counts what TCP carries."""

    def __init__(self, broker_port):
        super().__init__(daemon=True)
        self._broker_port = broker_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections = []
        self.start()

    def run(self):
        while True:
            board, _ = self._listener.accept()
            try:
                broker = socket.create_connection(("127.0.0.1", self._broker_port))
            except OSError:
                board.close()
                continue
            connection = Connection()
            self.connections.append(connection)
            for source, sink, up in ((board, broker, True), (broker, board, False)):
                threading.Thread(target=connection.carry, args=(source, sink, up), daemon=True).start()


class Connection:
    def __init__(self):
        self.bytes = 0
        self.records = []  # (from the board, type, bytes with the header), in the order in which they passed
        self._lock = threading.Lock()

    def carry(self, source, sink, up):
        rest = b""
        try:
            while data := source.recv(65536):
                rest += data
                with self._lock:
                    self.bytes += len(data)
                    while len(rest) >= 5 and len(rest) >= (size := 5 + int.from_bytes(rest[3:5], "big")):
                        self.records.append((up, rest[0], size))
                        rest = rest[size:]
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def handshake_bytes(self, version, resumed):
        """Both directions. TLS 1.3 hides what is handshake: there the board's last flight is Certificate,
        CertificateVerify and Finished, or Finished alone, and the broker's ends before it; tickets come later."""
        with self._lock:
            records = list(self.records)
        if version == "1.2":
            return sum(size for _, kind, size in records if kind != APPLICATION_DATA)
        finish_at = next(i for i, (up, kind, _) in enumerate(records) if up and kind == APPLICATION_DATA)
        last_flight = [size for up, kind, size in records[finish_at:] if up and kind == APPLICATION_DATA]
        return sum(size for _, _, size in records[:finish_at]) + sum(last_flight[:1 if resumed else 3])


def free_ports(count):
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in servers]
    for server in servers:
        server.close()
    return ports


class Site:
    """Broker and gateway in a scratch folder."""

    def __init__(self, build, folder, version):
        demo.RUN = folder
        demo.GATEWAY = folder / "gateway"
        self.gateway_program = build / "gateway/app/godwit-gateway"
        self.mqtt_port, http_port = free_ports(2)
        demo.run_once(self.gateway_program, "init", demo.GATEWAY, "--mqtt-port", self.mqtt_port, "--http-port", http_port)
        # Mosquitto's own tls_version is the lowest that it takes.
        self._openssl_conf = folder / "openssl.cnf"
        self._openssl_conf.write_text("openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = versions\n"
                                      f"[versions]\nMinProtocol = TLSv{version}\nMaxProtocol = TLSv{version}\n")
        self.programs = []
        self.broker = None
        self.start_broker()
        gateway = demo.Program("gateway", self.gateway_program, "run", demo.GATEWAY)
        self.programs.append(gateway)
        gateway.wait_until(lambda: "godwit-gateway ready" in gateway.output.read_text(errors="replace"), "get ready")

    def start_broker(self):
        self.broker = demo.Program("mosquitto", "env", f"OPENSSL_CONF={self._openssl_conf}", demo.find_mosquitto(),
                                   "-c", demo.GATEWAY / "mosquitto.conf")
        self.programs.append(self.broker)
        self.broker.wait_until(lambda: demo.accepts(self.mqtt_port), "listen")

    def stop(self):
        for program in reversed(self.programs):
            program.stop()


class Board:
    def __init__(self, site, image, model, broker_port, time_port):
        self._clock_hz = CLOCK_HZ[model]
        machine = qemu_board.MODELS[model]
        storage = demo.RUN / "board.img"
        demo.run_once(site.gateway_program, "device", "add", demo.GATEWAY, "board", "--image", storage,
                      "--image-size", machine.storage_bytes, "--board-broker", f"{qemu_board.HOST}:{broker_port}",
                      "--server-name", "localhost", "--sntp", f"{qemu_board.HOST}:{time_port}",
                      "--period", PERIOD_MS, "--rows", ROWS)
        self.program = demo.Board("board", *machine.command(image, storage, 1), "-icount", "shift=0",
                                  stdin=subprocess.PIPE)
        site.programs.append(self.program)

    def type(self, line):
        self.program.process.stdin.write(line.encode() + b"\n")
        self.program.process.stdin.flush()

    def status(self):
        """What the console's status says, numbers as such; {} if it did not answer in time."""
        seen = len(self.program.output.read_bytes())
        self.type("status")
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            self.program.check()
            text = self.program.output.read_bytes()[seen:].decode(errors="replace")
            if re.search(r"^net_heap_used=\d+\r?$", text, re.MULTILINE):
                return {key: int(value) if re.fullmatch(r"-?\d+", value) else value
                        for key, value in re.findall(r"^(\w+)=(.*?)\r?$", text, re.MULTILINE)}
            time.sleep(0.02)
        return {}

    def wait_until(self, ready, what):
        deadline = time.monotonic() + SECONDS_MAX
        while time.monotonic() < deadline:
            status = self.status()
            if status and ready(status):
                return status
            time.sleep(0.2)
        raise demo.Failure(f"the board did not {what} within {SECONDS_MAX} s:\n{self.program.output.read_text()[-2000:]}")

    def instructions(self, cycles):
        return round(cycles * 1_000_000_000 / self._clock_hz)


def measure(build, image, model, version, time_port):
    with tempfile.TemporaryDirectory(prefix="godwit-bench-") as scratch:
        site = Site(build, pathlib.Path(scratch), version)
        try:
            wire = Wire(site.mqtt_port)
            board = Board(site, build / "images" / image / "firmware.elf", model, wire.port, time_port)
            first = board.wait_until(lambda s: s["online"] and s["acked_seq"] > 3, "store its first records")
            full_bytes = wire.connections[-1].handshake_bytes(version, resumed=False)
            publish = between(board, wire, lambda s: s["published"])
            after = board.status()
            board.type("reset")
            again = board.wait_until(lambda s: s["boot"] > first["boot"] and s["online"] and s["acked_seq"] > 3,
                                     "connect again")
            second = "resumed handshake" if again["resumed"] else "second, full handshake"
            second_bytes = wire.connections[-1].handshake_bytes(version, resumed=again["resumed"])
            site.broker.stop()
            offline = board.wait_until(lambda s: not s["link"], "notice that the broker is gone")
            append = between(board, wire, lambda s: s["recorded"])
        finally:
            site.stop()
    seen = (first, after, again, offline)
    return {
        "instructions": {
            "full handshake": board.instructions(first["connecting_cycles"]),
            second: board.instructions(again["connecting_cycles"]),
            "record appended": append["device"],
            "record published, acked": publish["device"] + publish["network"] - append["device"]},
        "bytes on the wire": {
            "full handshake": full_bytes, second: second_bytes, "record published, acked": publish["bytes"]},
        "bytes of RAM": {
            "TLS arena": max(s["heap_used"] for s in seen), "stack": max(s["stack_used"] for s in seen)},
        "allocations": {"steady state": publish["allocations"]},
    }


def between(board, wire, count):
    """Averages for one record, over the next ones; allocations for all of them."""
    start = board.status()
    bytes_before = wire.connections[-1].bytes
    end = board.wait_until(lambda s: count(s) >= count(start) + RECORDS, "make records")
    bytes_after = wire.connections[-1].bytes
    records = count(end) - count(start)
    return {"device": board.instructions(end["device_cycles"] - start["device_cycles"]) // records,
            "network": board.instructions(end["network_cycles"] - start["network_cycles"]) // records,
            "bytes": round((bytes_after - bytes_before) / records),
            "allocations": end["heap_allocations"] - start["heap_allocations"]}


def check(title, figures, budget):
    """Prints them and returns those that are above their limits."""
    lines, exceeded = compare(figures, budget)
    print(f"\n{title}", *lines, sep="\n  ", flush=True)
    return [f"{title}: {line}" for line in exceeded]


def main():
    build, out = pathlib.Path(sys.argv[1]).absolute(), pathlib.Path(sys.argv[2])
    figures = {"machine": {"cores": os.cpu_count(), "architecture": platform.machine(), "system": platform.platform()},
               "date": datetime.date.today().isoformat(), "sizes": {}, "runs": {}}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    budgets = {file.stem: json.loads(file.read_text()) for file in BUDGETS.glob("*.json")}
    problems = []
    for image in sorted(path.parent.name for path in build.glob("images/*/firmware_size.json")):
        figures["sizes"][image] = json.loads((build / "images" / image / "firmware_size.json").read_text())
        problems += check(f"{image}, bytes", figures["sizes"][image], budgets[image])
    if not qemu_board.is_installed():
        sys.exit("godwit: qemu-system-arm is not installed: run ./godwit setup --for board")
    time_server = qemu_board.TimeServer()
    for image, model, version in RUNS:
        if not (build / "images" / image / "firmware.elf").exists():
            continue
        try:
            run = measure(build, image, model, version, time_server.port)
        except demo.Failure as failure:
            problems.append(f"{image}, TLS {version}: {failure}")
            continue
        figures["runs"][f"{image}, TLS {version}"] = run
        limits = budgets[image]["runs"][f"TLS {version}"]
        problems += check(f"{image}, TLS {version}, records of {ROWS} rows", run, limits)
    out.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"\nThe figures are in {out}", flush=True)
    for problem in problems:
        print(f"godwit: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
