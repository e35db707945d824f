#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a firmware image takes of flash and RAM, module by module, against its budget.

usage: image_size.py MAP [--elf FILE --nm PROGRAM] [--budget FILE [--only-warn WHY]] [--json FILE]

MAP is the linker's map (-Wl,-Map). An image that was optimised as a whole (-flto) has no object files any more that
could be told apart; its symbols name their sources then, so the image and the toolchain's nm are needed. Ends with
status 1 if a limit of the budget is exceeded; with --only-warn it says so and why that is no failure.
"""

import argparse
import collections
import json
import pathlib
import re
import subprocess
import sys

# The first that matches the path of an object file or of a source; or else, of a variable, its name.
MODULES = [
    ("mbedTLS", r"mbedtls|mbedcrypto|mbedx509|\bpsa_|^(oid_|[FR]T\d|[FR]Sb|K$|gcm_|aes_|ciphersuite|ecp_|secp|ssl_)"),
    ("lwIP", r"lwip|^(memp_|dhcp|ram_heap|arp_table|ip_data|inseg|udp_|tcp_|netif_|dns_|sntp_)"),
    ("proto", r"proto/|nanopb|libgodwit_(base|codec|proto)|godwit::codec|godwit_v1|^pb_"),
    ("firmware/mqtt", r"firmware/mqtt/|godwit::mqtt::"),
    ("firmware/outbox", r"firmware/outbox/|godwit::outbox::"),
    ("firmware/telemetry", r"firmware/telemetry/|godwit::telemetry::"),
    ("firmware/agent", r"firmware/agent/|godwit::agent::"),
    ("firmware/ports", r"firmware/ports/|libgodwit_ports"),
    ("boards/common", r"boards/common/|godwit::boards::|6boards"),
    ("pico-sdk, TinyUSB", r"pico-sdk|pico_sdk|tinyusb"),
    ("board", r"boards/|firmware\.elf\.dir"),
    ("libc, libgcc", r"libgcc|newlib|/libc|libstdc|c\+\+/|gcc-arm|/gcc/|crt[0in]|\bstd::"),
]
OTHER = "constants, padding"

Row = collections.namedtuple("Row", "section address size path")


def module_of(path):
    return next((name for name, pattern in MODULES if re.search(pattern, path)), OTHER)


def parse_map(text):
    """(rows, {memory: (origin, length)}, {output section: address it is loaded from})."""
    head, _, body = text.partition("\nLinker script and memory map\n")
    regions = {}
    for name, origin, length in re.findall(r"^(\w+) +(0x[0-9a-f]+) +(0x[0-9a-f]+) ", head, re.MULTILINE):
        regions[name] = (int(origin, 16), int(length, 16))
    # A name that is too long for its column stands in a line of its own.
    body = re.sub(r"^( ?[.*\w]\S*)\n +(?=0x)", r"\1 ", body, flags=re.MULTILINE)
    rows, loads, section = [], {}, None
    for line in body.splitlines():
        if match := re.match(r"(\.\S+) +0x([0-9a-f]+) +0x([0-9a-f]+)(?: load address 0x([0-9a-f]+))?", line):
            section = match[1]
            rows.append(Row(section, int(match[2], 16), int(match[3], 16), None))
            if match[4]:
                loads[section] = int(match[4], 16)
        elif section and (match := re.match(r" [.\w]\S* +0x([0-9a-f]+) +0x([0-9a-f]+) (\S.*)", line)):
            rows.append(Row(section, int(match[1], 16), int(match[2], 16), match[3]))
    return rows, regions, loads


def symbols(elf, nm):
    """{address: (size, source file, or name if that is not known)}."""
    out = subprocess.run([nm, "--print-size", "--line-numbers", "--demangle", elf], capture_output=True, text=True,
                         check=True).stdout
    return {int(address, 16): (int(size, 16), source or name) for address, size, name, source in re.findall(
        r"^([0-9a-f]+) ([0-9a-f]+) \w ([^\t\n]+)(?:\t(.*):\d+)?$", out, re.MULTILINE)}


def measure(text, sources=None):
    """{"flash": {module: bytes}, "ram": {module: bytes}}, each with its "total"."""
    rows, regions, loads = parse_map(text)
    in_flash = lambda address: any(
        origin <= address < origin + length for name, (origin, length) in regions.items() if name.startswith("FLASH"))
    in_memory = lambda address: any(origin <= address < origin + length for origin, length in regions.values())
    sizes = {"flash": collections.Counter(), "ram": collections.Counter()}
    for row in rows:
        if row.size == 0 or row.section.startswith((".debug", ".comment", ".ARM.attributes")):
            continue
        if not in_memory(row.address):
            continue
        # Initial values stand in flash too; what is only cleared or left alone does not.
        memories = ["flash"] if in_flash(row.address) else ["ram"]
        if memories == ["ram"] and row.section in loads and re.match(r"\.(data|ram_vector|igot|tdata)", row.section):
            memories.append("flash")
        for memory in memories:
            if row.path is None:
                sizes[memory]["total"] += row.size
            elif "stack" in row.section or "heap" in row.section:
                sizes[memory]["stack"] += row.size
            elif ".ltrans" in row.path and sources:
                for module, size in divide(row, sources):
                    sizes[memory][module] += size
            else:
                sizes[memory][module_of(row.path)] += row.size
    for counter in sizes.values():
        counter[OTHER] += 2 * counter["total"] - sum(counter.values())
    return {memory: dict(counter) for memory, counter in sizes.items()}


def divide(row, sources):
    """A piece of an image that was optimised as a whole, by the sources of the symbols in it."""
    at, end = row.address, row.address + row.size
    while at < end:
        size, source = sources.get(at, (0, ""))
        size = min(size, end - at)
        if size == 0:
            following = min((start for start in range(at + 1, end) if start in sources), default=end)
            size, source = following - at, ""
        yield module_of(source), size
        at += size


def compare(figures, budget):
    """(lines of a table, what is above its limit), for figures of several kinds: {kind: {name: figure}}."""
    lines, exceeded = [], []
    for kind in figures:
        lines.append(f"{kind:<26}{'used':>12}{'budget':>12}{'left':>12}")
        names = sorted(figures[kind], key=lambda name: (name == "total", -figures[kind][name]))
        for name in names:
            used, limit = figures[kind][name], budget.get(kind, {}).get(name)
            if used == 0 and limit is None:
                continue
            left = "" if limit is None else f"{limit:>12,}{limit - used:>12,}"
            lines.append(f"  {name:<24}{used:>12,}{left}")
            if limit is not None and used > limit:
                exceeded.append(f"{kind}, {name}: {used:,}, at most {limit:,}")
        for name in sorted(set(budget.get(kind, {})) - set(figures[kind])):
            exceeded.append(f"{kind}, {name}: in the budget, but not there")
    return lines, exceeded


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("map", type=pathlib.Path)
    parser.add_argument("--elf")
    parser.add_argument("--nm", default="arm-none-eabi-nm")
    parser.add_argument("--budget", type=pathlib.Path)
    parser.add_argument("--only-warn", metavar="WHY")
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    text = arguments.map.read_text()
    sources = symbols(arguments.elf, arguments.nm) if arguments.elf and ".ltrans" in text else None
    sizes = measure(text, sources)
    budget = json.loads(arguments.budget.read_text()) if arguments.budget else {}
    lines, exceeded = compare(sizes, budget)
    print("\n".join(lines))
    if arguments.json:
        arguments.json.write_text(json.dumps(sizes, indent=2) + "\n")
    for line in exceeded:
        print(f"over budget: {line}", file=sys.stderr)
    if exceeded and arguments.only_warn:
        print(f"only a warning: {arguments.only_warn}", file=sys.stderr)
        return 0
    if exceeded:
        print(f"{arguments.budget} sets the limits; raising one is a decision to be argued for", file=sys.stderr)
    return 1 if exceeded else 0


if __name__ == "__main__":
    sys.exit(main())
