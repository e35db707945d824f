#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The commands of README.md do what it says. Runs every line of its `sh` blocks.

usage: readme_test.py ROOT BUILD_FOLDER
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

# Not run: this test is a part of it.
SKIPPED = {"./godwit test"}
INTERACTIVE = "./godwit demo"
SECONDS_MAX = 240


def commands(markdown):
    for block in re.findall(r"^```sh\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.strip() and not line.startswith("#"):
                yield line.strip()


def fail(message, output=""):
    sys.exit(f"readme_test: {message}\n{output}")


def run(command, folder, environment):
    result = subprocess.run(command, shell=True, cwd=folder, env=environment, text=True, timeout=SECONDS_MAX,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if result.returncode != 0:
        fail(f"{command}: exit status {result.returncode}", result.stdout)
    return result.stdout


def follow_a_person(command, folder, environment):
    """Starts the demo, waits for the curl lines, runs them as they are, and presses Ctrl-C."""
    with tempfile.TemporaryFile("w+") as output:
        demo = subprocess.Popen(command.split(), cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                                stderr=subprocess.STDOUT, start_new_session=True)

        def shown():
            output.seek(0)
            return output.read()

        try:
            wait_until(lambda: len(re.findall(r"^ +curl .*$", shown(), re.MULTILINE)) >= 3, demo, shown)
            wait_until(lambda: re.search(r"^ +this-machine +(?!waiting)\S", shown(), re.MULTILINE), demo, shown)
            for line in re.findall(r"^ +(curl .*)$", shown(), re.MULTILINE):
                try_curl(line, folder)
            demo.send_signal(signal.SIGINT)
            if demo.wait(SECONDS_MAX) != 0:
                fail(f"{command}: exit status {demo.returncode} after Ctrl-C", shown())
        finally:
            if demo.poll() is None:
                demo.terminate()
                demo.wait(SECONDS_MAX)
        if "The promise held" not in shown():
            fail(f"{command}: does not say that the promise held", shown())


def wait_until(condition, demo, shown):
    deadline = time.monotonic() + SECONDS_MAX
    while not condition():
        if demo.poll() is not None:
            fail(f"the demo ended by itself with exit status {demo.returncode}", shown())
        if time.monotonic() > deadline:
            fail("the demo did not show what it should", shown())
        time.sleep(0.2)


def try_curl(line, folder):
    stream = " -N " in line
    result = subprocess.run(f"{line} --silent --show-error --fail --max-time {5 if stream else 30}", shell=True,
                            cwd=folder, text=True, capture_output=True, check=False)
    timed_out = 28
    if stream:
        if result.returncode != timed_out or not re.search(r"^data: ?\{", result.stdout, re.MULTILINE):
            fail(f"{line}: no events (status {result.returncode})", result.stdout + result.stderr)
    elif result.returncode != 0:
        fail(f"{line}: exit status {result.returncode}", result.stdout + result.stderr)
    else:
        json.loads(result.stdout)


def main():
    root, build = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    environment = dict(os.environ, GODWIT_BUILD=str(build), GODWIT_NO_PACKAGES="1")
    found = list(commands((root / "README.md").read_text()))
    if INTERACTIVE not in found or not any("--headless" in command for command in found):
        fail("README.md does not show the commands that it should", "\n".join(found))
    with tempfile.TemporaryDirectory() as folder:
        # The commands are typed in a clone; what they write should not land in this one.
        (pathlib.Path(folder) / "godwit").symlink_to(root / "godwit")
        for command in found:
            if command in SKIPPED:
                continue
            print(f"$ {command}", flush=True)
            if command == INTERACTIVE:
                follow_a_person(command, folder, environment)
            else:
                print(run(command, folder, environment))


if __name__ == "__main__":
    main()
