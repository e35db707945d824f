# SPDX-License-Identifier: Apache-2.0
"""What a person sees while the demo runs: a few lines made from the gateway's live feed, rewritten in place."""

import collections
import http.client
import json
import shutil
import ssl
import sys
import textwrap
import threading
import time
import urllib.parse

FIRST_DEVICE_LINES = 4
NAMED_DEVICE_LINES = 2
FLEET_LINES = 4


class Forward:
    """Headless: passes on the fleet's progress, a line every few seconds."""

    period_s = 5

    def __init__(self, log):
        self._log = log

    def show(self):
        lines = self._log.read_text(errors="replace").replace("\r", "\n").split("\n")
        newest = next((line for line in reversed(lines) if line.strip("\x1b[K ")), "")
        if newest:
            print("  " + newest.replace("\x1b[K", ""), flush=True)

    def close(self):
        self.show()


class Feed(threading.Thread):
    """Follows GET /api/v1/events from now on; resumes by itself, with the last id, when the connection is lost."""

    def __init__(self, url, ca_file, authorization):
        super().__init__(daemon=True)
        self._host = urllib.parse.urlsplit(url).netloc
        self._context = ssl.create_default_context(cafile=ca_file)
        name, value = authorization.read_text().strip().split(": ")
        self._headers = {name: value, "Accept": "text/event-stream"}
        self._lock = threading.Lock()
        self._events = 0
        self._last_id = ""
        self._newest = {}  # device -> its newest values by channel

    def state(self):
        with self._lock:
            return self._events, self._last_id, {device: dict(values) for device, values in self._newest.items()}

    def run(self):
        while True:
            try:
                self._follow()
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(1)

    def _follow(self):
        connection = http.client.HTTPSConnection(self._host, timeout=60, context=self._context)
        headers = dict(self._headers)
        if self._last_id:
            headers["Last-Event-ID"] = self._last_id
        connection.request("GET", "/api/v1/events", headers=headers)
        fields = {}
        for line in connection.getresponse():
            name, colon, value = line.decode(errors="replace").rstrip("\r\n").partition(":")
            if name:
                fields[name] = value.removeprefix(" ")
            elif not colon:  # an empty line ends a block; a line that begins with a colon is a comment
                self._take(fields)
                fields = {}

    def _take(self, fields):
        with self._lock:
            self._last_id = fields.get("id", self._last_id)  # also of a block without an event
            if "data" not in fields:
                return
            event = json.loads(fields["data"])
            self._events += 1
            if fields.get("event") == "telemetry":
                self._newest.setdefault(event["device"], {}).update(newest_values(event))


def newest_values(event):
    """Channel -> newest value of a telemetry event. No channels: the device has not announced their names yet."""
    return {name: values[-1] for name, values in (event.get("channels") or {}).items() if values}


class View:
    """A block of lines. On a terminal it is rewritten in place, in one write, so that it does not flicker."""

    def __init__(self, url, ca_file, authorization, named_devices):
        """The named ones are shown first, and the first of them with most lines."""
        self._named = dict.fromkeys(named_devices, NAMED_DEVICE_LINES)
        self._named[named_devices[0]] = FIRST_DEVICE_LINES
        self._feed = Feed(url, ca_file, authorization)
        self._feed.start()
        self._started = time.monotonic()
        self._history = collections.deque(maxlen=6)  # (time, events), for a rate over the last few seconds
        self._lines_shown = 0
        self._terminal = sys.stdout.isatty()
        self.period_s = 0.5 if self._terminal else 5

    def show(self):
        lines = self._lines()
        if not self._terminal:
            print("\n".join(line for line in lines if line), flush=True)
            return
        width = shutil.get_terminal_size().columns - 1
        up = f"\x1b[{self._lines_shown}A" if self._lines_shown else ""
        sys.stdout.write("\r" + up + "".join(f"{line[:width]}\x1b[K\n" for line in lines))
        sys.stdout.flush()
        self._lines_shown = len(lines)

    def close(self):
        pass

    def _lines(self):
        events, last_id, newest = self._feed.state()
        now = time.monotonic()
        self._history.append((now, events))
        (before, events_before) = self._history[0]
        rate = (events - events_before) / (now - before) if now > before else 0
        seconds = int(now - self._started)
        lines = [f"{seconds // 60:02}:{seconds % 60:02}  live feed: {events} records of {len(newest)} devices, "
                 f"{rate:.0f}/s, id {last_id or '-'}    (Ctrl-C ends)"]
        for device, lines_max in self._named.items():
            lines += device_lines(device, newest.pop(device, None), lines_max)
        for device, values in sorted(newest.items())[:FLEET_LINES]:
            lines += device_lines(device, values, 1)
        return lines + [""] * (1 + sum(self._named.values()) + FLEET_LINES - len(lines))


def device_lines(device, values, lines_max):
    if values is None:
        return [f"  {device:<14} waiting for its first record"]
    width = max(shutil.get_terminal_size().columns - 18, 20)
    text = "   ".join(f"{name}\N{NO-BREAK SPACE}{value}" for name, value in values.items())
    lines = textwrap.wrap(text, width, break_on_hyphens=False)[:lines_max]
    return [f"  {device if number == 0 else '':<14} {line}" for number, line in enumerate(lines)]
