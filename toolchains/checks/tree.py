#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The tree keeps its shape: a README.md in every second-level folder of code, no file of over 800 lines, no large
blobs, a licence line in every source, links in the documentation that lead somewhere, guarantees that name tests which
exist, and decision records of which each has a number of its own and a line in their index.

usage: tree.py [ROOT]
"""

import pathlib
import re
import subprocess
import sys
import urllib.parse

LINES_MAX = 800
BYTES_MAX = 500_000
CODE = (".h", ".cc", ".c", ".py", ".sh", ".cmake")
FOLDERS_WITH_README = ("proto", "firmware", "boards", "gateway", "sim", "tests")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+\s+(.*)$", re.MULTILINE)
GUARANTEES = "docs/reference/guarantees.md"
TEST_NAME = re.compile(r"`([A-Z]\w+)\.([A-Z]\w+)`")
TEST = re.compile(r"^TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", re.MULTILINE)
DECISIONS = "docs/adr"
DECISION = re.compile(r"(\d{4})-[a-z0-9-]+\.md$")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(markdown):
    """The fragments that a Markdown text can be linked with."""
    for heading in HEADING.findall(FENCED.sub("", markdown)):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def readmes(paths):
    folders = {tuple(path.split("/")[:2]) for path in paths if path.count("/") >= 2}
    for top, second in sorted(folders):
        if top in FOLDERS_WITH_README and f"{top}/{second}/README.md" not in paths:
            yield f"{top}/{second}: has no README.md"


def sizes(root, path):
    content = (root / path).read_bytes()
    if len(content) > BYTES_MAX:
        yield f"{path}: {len(content)} bytes, at most {BYTES_MAX}"
    if path.endswith(CODE):
        lines = content.count(b"\n")
        if lines > LINES_MAX:
            yield f"{path}: {lines} lines, at most {LINES_MAX}"
        if b"SPDX-License-Identifier: Apache-2.0" not in b"\n".join(content.split(b"\n", 3)[:3]):
            yield f"{path}: no SPDX-License-Identifier line at its top"


def links(root, path):
    for link in LINK.findall(FENCED.sub("", (root / path).read_text())):
        target, _, fragment = urllib.parse.unquote(link).partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        file = (root / path).parent / target if target else root / path
        if not file.exists():
            yield f"{path}: the link {link} leads nowhere"
        elif fragment and file.suffix == ".md" and fragment not in anchors(file.read_text()):
            yield f"{path}: the link {link} names a heading that {file.name} does not have"


def decisions(root, paths):
    """Of docs/adr/NNNN-title.md, which README.md there lists."""
    index = root / DECISIONS / "README.md"
    listed = LINK.findall(index.read_text()) if index.exists() else []
    first_of = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        if folder != DECISIONS or name == "README.md" or not name.endswith(".md"):
            continue
        number = DECISION.match(name)
        if not number:
            yield f"{path}: the name of a decision record is NNNN-title.md"
        elif number[1] in first_of:
            yield f"{path}: the number is that of {first_of[number[1]]}"
        else:
            first_of[number[1]] = name
        if name not in listed:
            yield f"{path}: not listed in {DECISIONS}/README.md"


def guarantees(root, paths):
    """Each test that they rest on is there."""
    if GUARANTEES not in paths:
        return
    sources = [path for path in paths if path.startswith("tests/") and path.endswith(".cc")]
    there = {test for path in sources for test in TEST.findall((root / path).read_text())}
    for suite, name in TEST_NAME.findall((root / GUARANTEES).read_text()):
        if (suite, name) not in there:
            yield f"{GUARANTEES}: there is no test {suite}.{name}"


def problems(root, paths):
    yield from readmes(paths)
    yield from decisions(root, paths)
    yield from guarantees(root, paths)
    for path in paths:
        yield from sizes(root, path)
        if path.endswith(".md"):
            yield from links(root, path)


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    command = ["git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found = list(problems(root, sorted(path for path in set(listed) if (root / path).is_file())))
    print("\n".join(found) or "the tree keeps its shape")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
