#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plants the bugs of tests/planted, one at a time, and says within how many seeds the engine finds each.

usage: planted.py --check                          do all rules apply to this tree?
       planted.py [--seeds N] [--jobs N] [NAME...] build a copy with the bugs, and look for them (default: all)

The copy, with its build, is in build/planted. Exit codes: 0 all applied (and were found), 1 not.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
COPY = ROOT / "build" / "planted"
DECLARATION = "namespace godwit { bool planted(int bug); }\n"
# In a library that everything links; the copy alone has it.
DEFINITION = """
#include <cstdlib>
namespace godwit {
bool planted(int bug) {
  static const int chosen = std::getenv("GODWIT_PLANTED") != nullptr ? std::atoi(std::getenv("GODWIT_PLANTED")) : 0;
  return bug == chosen;
}
}  // namespace godwit
"""
ROUND = 50  # seeds at once


class Rule:
    def __init__(self, path):
        self.name = path.stem
        text = path.read_text()
        found = re.fullmatch(r"(?:#.*\n)+file (\S+)\nold\n(.*)\nnew\n(.*)\n", text, re.S)
        if not found:
            sys.exit(f"{path}: a rule is comments, 'file PATH', 'old', its text, 'new', its text")
        self.file, self.old, self.new = found.groups()

    def why_not(self, root):
        """The reason that the rule does not apply to the tree, or None."""
        path = root / self.file
        if not path.is_file():
            return f"{self.file} is not there"
        count = path.read_text().count(self.old)
        return None if count == 1 else f"its old text stands {count} times in {self.file}, not once"

    def applied(self, text, number):
        if self.old.endswith(";"):
            with_both = f"if (::godwit::planted({number})) {{ {self.new} }} else {{ {self.old} }}"
            # An `if (` that goes on behind the text is not a statement of its own.
        else:
            with_both = f"(::godwit::planted({number}) ? ({self.new}) : ({self.old}))"
        return text.replace(self.old, with_both)


def all_rules():
    return [Rule(path) for path in sorted((ROOT / "tests" / "planted").glob("*.rule"))]


def check(rules, root):
    wrong = [(rule, why) for rule in rules if (why := rule.why_not(root))]
    for rule, why in wrong:
        print(f"tests/planted/{rule.name}.rule: {why}")
    return not wrong


def make_copy(rules):
    """The tree as git sees it, with all bugs in; files keep their time unless they differ, so that builds are quick."""
    command = ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    texts = {}
    for number, rule in enumerate(rules, 1):
        texts.setdefault(rule.file, (ROOT / rule.file).read_text())
        texts[rule.file] = rule.applied(texts[rule.file], number)
    texts = {file: DECLARATION + text for file, text in texts.items()}
    anchor = "proto/base/ids.cc"
    texts[anchor] = texts.get(anchor, (ROOT / anchor).read_text()) + DEFINITION
    for file in listed:
        source, target = ROOT / file, COPY / file
        if not source.is_file():
            continue
        content = texts[file].encode() if file in texts else source.read_bytes()
        if target.is_file() and target.read_bytes() == content:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        shutil.copymode(source, target)
    deps = COPY / ".deps"
    if not deps.exists():
        deps.symlink_to(ROOT / ".deps")


def build():
    folder = COPY / "build"
    environment = {**os.environ}
    if shutil.which("ccache"):
        environment.update(CMAKE_C_COMPILER_LAUNCHER="ccache", CMAKE_CXX_COMPILER_LAUNCHER="ccache")
    configure = ["cmake", "--preset", "dev", "-B", folder, "-DGODWIT_TESTS=OFF", "-DGODWIT_BENCHMARKS=OFF"]
    for command in (configure, ["cmake", "--build", folder, "--target", "godwit-sim"]):
        done = subprocess.run(command, cwd=COPY, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"the copy with the planted bugs does not build:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return folder / "sim" / "cli" / "godwit-sim"


def failures(program, bug, first, last, jobs):
    """Seed: kind, of those that break the promise."""
    command = [program, "explore", "--seeds", f"{first}..{last}", "--jobs", str(jobs), "--show", "100000"]
    done = subprocess.run(command, env={**os.environ, "GODWIT_PLANTED": str(bug)}, capture_output=True, text=True,
                          check=False)
    if done.returncode not in (0, 1):
        sys.exit(f"{done.stdout}{done.stderr}")
    return {int(seed): kind for seed, kind in re.findall(r"^seed (\d+): (\w+)", done.stdout, re.M)}


def find(program, bug, healthy, seeds, jobs):
    """The first seed that shows the bug, and how; a seed that fails without it does not count."""
    for first in range(1, seeds + 1, ROUND):
        last = min(first + ROUND - 1, seeds)
        if last not in healthy:
            healthy[last] = failures(program, 0, first, last, jobs)
        shown = {seed: kind for seed, kind in failures(program, bug, first, last, jobs).items()
                 if seed not in healthy[last]}
        if shown:
            seed = min(shown)
            return seed, shown[seed]
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    rules = all_rules()
    if not check(rules, ROOT):
        return 1
    if options.check:
        print(f"{len(rules)} rules apply")
        return 0
    unknown = set(options.names) - {rule.name for rule in rules}
    if unknown:
        sys.exit(f"tests/planted has no rule {', '.join(sorted(unknown))}")
    make_copy(rules)
    program = build()
    healthy, missed, late = {}, 0, 0
    print(f"{'bug':<28} {'seed':>6}  seen as")
    for number, rule in enumerate(rules, 1):
        if options.names and rule.name not in options.names:
            continue
        found = find(program, number, healthy, options.seeds, options.jobs)
        missed += found is None
        late += found is not None and found[0] > 200
        print(f"{rule.name:<28} {found[0] if found else '-':>6}  {found[1] if found else 'not found'}", flush=True)
    played = len(options.names) or len(rules)
    print(f"{played - missed} of {played} found within {options.seeds} seeds, {played - missed - late} within 200")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
