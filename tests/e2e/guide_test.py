#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The commands of docs/guides/gateway.md work as they are printed. Types the `sh` blocks into one shell.

usage: guide_test.py ROOT BUILD_FOLDER
"""

import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile

SECONDS_MAX = 100
# What a user of Debian has, without what root and this test's own environment have.
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"


def free_ports(count):
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def replace(text, old, new):
    if old not in text:
        sys.exit(f"guide_test: the guide does not say {old!r} any more: this test replaces it")
    return text.replace(old, str(new))


def script_of(markdown, build, folder):
    """The commands in order; only what others on this machine would notice is changed."""
    text = "".join(re.findall(r"^```sh\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL))
    mqtt_port, http_port = free_ports(2)
    text = replace(text, "./godwit build\n", "")
    text = replace(text, "$PWD/build/dev", build)
    text = replace(text, "--listen 0.0.0.0", f"--mqtt-port {mqtt_port} --http-port {http_port}")
    text = replace(text, "localhost:8443", f"localhost:{http_port}")
    text = replace(text, "/srv/godwit", folder / "godwit")
    text = replace(text, "/media/usb", folder / "usb")
    text = replace(text, "sudo ", "")
    # A person is slower than this shell.
    ready = f'for _ in $(seq 300); do grep -q "godwit-gateway ready" {folder}/ready && break; sleep 0.1; done\n'
    run = re.search(r"^godwit-gateway run .*&\n", text, re.MULTILINE)
    if not run:
        sys.exit("guide_test: the guide does not start the gateway any more")
    return (text[:run.start()] + run[0].replace(" &\n", f" > {folder}/ready &\n") + ready
            + text[run.end():].replace("curl ", "curl --fail --silent --show-error --noproxy '*' "))


def main():
    root, build = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        script = script_of((root / "docs/guides/gateway.md").read_text(), build, folder)
        environment = {"PATH": PATH, "HOME": name, "USER": subprocess.run(
            ["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()}
        end = "trap 'kill $(jobs -p) && wait' EXIT\n"
        with tempfile.TemporaryFile("w+") as output:
            shell = subprocess.run(["bash", "-euxc", end + script], cwd=root, env=environment, timeout=SECONDS_MAX,
                                   stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False)
            output.seek(0)
            print(output.read())
        if shell.returncode != 0:
            sys.exit(f"guide_test: a command of the guide failed, the last one that is shown; status {shell.returncode}")


if __name__ == "__main__":
    main()
