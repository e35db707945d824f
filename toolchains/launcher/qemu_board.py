# SPDX-License-Identifier: Apache-2.0
"""ARM boards of the demo, played by QEMU, and the clock that they ask for the time."""

import re
import shutil
import socket
import struct
import threading
import time

HOST = "10.0.2.2"  # how a board in QEMU's user network calls this machine's loopback
MIB = 1 << 20


class Model:
    def __init__(self, machine, nic, storage_bytes, storage_arguments):
        self.machine = machine
        self.nic = nic
        self.storage_bytes = storage_bytes  # QEMU takes powers of two only
        self._storage_arguments = storage_arguments

    def command(self, image, storage, number):
        network = f"nic,netdev=n0,model={self.nic},macaddr=52:54:00:67:77:{number:02x}"
        storage_arguments = [word.format(file=storage, size=self.storage_bytes) for word in self._storage_arguments]
        return ["qemu-system-arm", "-kernel", image, "-display", "none", "-nodefaults", "-serial", "stdio",
                "-netdev", "user,id=n0,ipv6=off", "-net", network,
                "-semihosting-config", "enable=on,target=native", "-M", self.machine, *storage_arguments]


# By the name of the board's folder and image.
MODELS = {
    "qemu_lm3s6965": Model("lm3s6965evb", "stellaris", 4 * MIB, ["-drive", "if=sd,format=raw,file={file}"]),
    "qemu_mps2_an385": Model("mps2-an385", "lan9118", 16 * MIB, [
        "-object", "memory-backend-file,id=storage,share=on,mem-path={file},size={size}",
        "-machine", "memory-backend=storage"]),
}


def is_installed():
    return shutil.which("qemu-system-arm") is not None


def device_name(model, number):
    return f"{model.removeprefix('qemu_').replace('_', '-')}-{number}"


def trouble(program):
    """What keeps a board from starting, as its console says; None: nothing that it knows of."""
    found = re.search(r'event=not_started cause="?([^"\r\n]+)', program.output.read_text(errors="replace"))
    return found[1] if found else None


def recorded(program, seconds_max=5):
    """How many records a board has made since it started, as its console says; None: it does not say."""
    seen = len(program.output.read_text(errors="replace"))
    program.process.stdin.write(b"status\n")
    program.process.stdin.flush()
    deadline = time.monotonic() + seconds_max
    while time.monotonic() < deadline:
        if answer := re.search(r"^recorded=(\d+)\r?$", program.output.read_text(errors="replace")[seen:], re.MULTILINE):
            return int(answer[1])
        time.sleep(0.05)
    return None


class TimeServer(threading.Thread):
    """Answers SNTP (RFC 4330) on a free UDP port of the loopback with this machine's time."""

    def __init__(self):
        super().__init__(daemon=True)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.start()

    def run(self):
        seconds_from_1900_to_1970 = 2_208_988_800
        while True:
            request, sender = self._socket.recvfrom(128)
            if len(request) < 48:
                continue
            now = time.time() + seconds_from_1900_to_1970
            stamp = struct.pack("!II", int(now), int(now % 1 * 2**32))
            version_and_mode = (request[0] & 0x38) | 4  # their version, a server
            head = struct.pack("!BBBb", version_and_mode, 1, 6, -20) + bytes(12)
            self._socket.sendto(head + stamp + request[40:48] + stamp + stamp, sender)
