#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Device code uses no heap, exceptions, formatted printing or streams. Reads what its archives ask the linker for.

usage: banned_symbols.py ARCHIVE...
"""

import re
import subprocess
import sys

BANNED = [
    (r"(malloc|calloc|realloc|reallocarray|free|aligned_alloc|posix_memalign|strdup)$", "heap"),
    (r"operator (new|delete)", "heap"),
    (r"__cxa_(throw|rethrow|allocate_exception|begin_catch|end_catch|throw_bad_array_new_length)", "exceptions"),
    (r"_Unwind_|__gxx_personality", "exceptions"),
    (r"std::__throw_|std::terminate", "exceptions"),
    (r"__cxa_guard_|__cxa_atexit|atexit$", "statics that are made at run time"),
    (r"__dynamic_cast|typeinfo for", "RTTI"),
    (r"(__)?v?(s|sn|f|d|as)?printf(_chk)?$|__v?(sn|s|f)printf_chk$", "printf"),
    (r"(v?(s|f)?scanf|strtod|strtof|puts|fputs|fwrite|putchar)$", "stdio"),
    (r"std::.*(basic_[io]?stream|ios_base|locale|basic_string<|__cxx11)", "streams, strings or locales"),
    (r"std::to_chars\(char\*, char\*, (float|double|long double)", "floating-point printing"),
    (r"std::chrono::.*clock::now", "a clock"),
    (r"(time|gettimeofday|clock_gettime|nanosleep|usleep|sleep|open|read|write|close|socket|pthread_\w+)$",
     "the operating system"),
]


def reason(symbol):
    """What is wrong with a symbol, or None."""
    for pattern, what in BANNED:
        if re.match(pattern, symbol):
            return what
    return None


def problems(nm_output):
    """nm_output: of `nm --demangle --undefined-only --print-file-name`."""
    for line in nm_output.splitlines():
        found = re.match(r"(.*?): +[Uwv] (.*)$", line)
        if not found:
            continue
        what = reason(found.group(2).split("@")[0])
        if what:
            yield f"{found.group(1)}: {found.group(2)}: {what}"


def main():
    command = ["nm", "--demangle", "--undefined-only", "--print-file-name", *sys.argv[1:]]
    found = list(problems(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    print("\n".join(found) or f"{len(sys.argv) - 1} archives ask for nothing that a device does not have")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
