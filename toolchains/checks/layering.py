#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may include whom. Names every include line that breaks the tables below.

usage: layering.py [ROOT]
"""

import pathlib
import re
import subprocess
import sys

# A file may include its own folder and the folders in its row. The longest matching row counts. A folder without a
# row may not be in the tree: adding one means deciding here what it may see.
MAY_INCLUDE = {
    "proto/base": [],
    "proto/topics": ["proto/base"],
    "proto/codec": ["proto/base"],
    "firmware/ports": ["proto/base", "proto/codec"],
    "firmware/mqtt": ["proto/base"],
    "firmware/outbox": ["proto", "firmware/ports"],
    "firmware/telemetry": ["proto", "firmware/ports"],
    "firmware/agent": ["proto", "firmware"],
    "boards/common": ["proto", "firmware"],
    "boards/common/tls": ["proto", "firmware/ports", "boards/common/byte_stream.h"],
    "boards/common/storage": ["proto", "firmware/ports"],
    "boards/common/cortex_m": ["proto", "firmware/ports"],
    "boards/host": ["proto", "firmware", "boards/common"],
    "boards/qemu_lm3s6965": ["proto", "firmware", "boards/common"],
    "boards/qemu_mps2_an385": ["proto", "firmware", "boards/common"],
    "boards/pico": ["proto", "firmware", "boards/common"],
    "gateway/domain": ["proto"],
    "gateway/log": ["proto", "gateway/domain"],
    "gateway/store": ["proto", "gateway/domain"],
    "gateway/pipeline": ["proto", "gateway/domain", "gateway/store"],
    "gateway/mqtt": ["proto", "gateway/domain"],
    "gateway/http": ["proto", "gateway/domain", "gateway/log"],
    "gateway/pki": ["proto", "gateway/domain"],
    "gateway/app": ["proto", "gateway"],
    "sim": ["proto", "firmware", "sim", "boards/common", "boards/host"],
    "sim/disk": ["proto", "gateway/store/files.h"],
    "sim/engine": ["proto/base"],
    "sim/judge": ["proto"],
    # The one place that sees both ends.
    "sim/world": ["proto", "firmware", "gateway/domain", "gateway/log", "gateway/pipeline", "gateway/store", "sim"],
    "tests": ["proto", "firmware", "boards", "gateway", "sim", "tests"],
}

# Where headers of third parties may be included. The first matching row counts.
FENCES = [
    (r"(mbedtls|psa)/", ["boards"]),
    (r"lwip/", ["boards", "tests"]),
    (r"(pb|pb_\w+|.*\.pb)\.h$", ["proto/codec", "tests/unit/proto/codec"]),
    (r"(mqtt/.*|MQTT\w+\.h)$", ["gateway/mqtt", "tests"]),
    (r"sqlite3\.h$", ["gateway/store", "sim/disk", "tests"]),
    (r"boost/", ["gateway/http", "gateway/app", "tests"]),
    (r"openssl/", ["gateway/http", "gateway/pki", "tests"]),
    (r"(cjson/|cJSON)", ["gateway/http", "sim", "tests"]),
    (r"toml\+\+/", ["gateway/app", "sim"]),
    (r"curl/", ["sim", "tests"]),
    (r"CLI/", ["gateway/app", "sim", "boards/host", "tests"]),
    (r"(gtest|gmock|benchmark)/", ["tests"]),
]

# Code that runs on devices includes these of the standard library, and nothing of an operating system.
DEVICE = ("proto", "firmware")
DEVICE_HEADERS = set("""algorithm array bit cassert charconv chrono climits compare concepts cstddef cstdint cstring
expected initializer_list iterator limits new numeric optional span string_view tuple type_traits utility
variant""".split())
# Linked by programs that are processes, never by a board.
HOST_FILES = {"proto/base/assert_abort.cc"}

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')
OURS = ("proto/", "firmware/", "boards/", "gateway/", "sim/", "tests/")


def inside(path, folder):
    return path == folder or path.startswith(folder + "/")


def row_of(path):
    rows = [folder for folder in MAY_INCLUDE if inside(path, folder)]
    return max(rows, key=len, default=None)


def why_not(path, header):
    """The reason that `path` may not include `header`, or None."""
    row = row_of(path)
    if row is None:
        return "its folder has no row in toolchains/checks/layering.py: say there what it may include"
    if header.startswith(OURS):
        if any(inside(header, folder) for folder in [row, *MAY_INCLUDE[row]]):
            return None
        return f"{row} may include only {', '.join([row, *MAY_INCLUDE[row]])}"
    for pattern, folders in FENCES:
        if re.match(pattern, header):
            if any(inside(path, folder) for folder in folders):
                return None
            return f"<{header}> belongs in {', '.join(folders)} only"
    if path.startswith(DEVICE) and path not in HOST_FILES and header not in DEVICE_HEADERS:
        return f"device code may not include <{header}>"
    return None


def problems(root, paths):
    for path in paths:
        for number, line in enumerate((root / path).read_text(errors="replace").splitlines(), 1):
            found = INCLUDE.match(line)
            reason = why_not(path, found.group(1) or found.group(2)) if found else None
            if reason:
                yield f"{path}:{number}: {line.strip()}: {reason}"


def sources(root):
    """Tracked and new C and C++ files that are there."""
    command = ["git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard", "*.h", "*.cc", "*.c"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted(path for path in set(listed) if (root / path).is_file())


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    found = list(problems(root, sources(root)))
    print("\n".join(found) or "every include keeps to its layer")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
