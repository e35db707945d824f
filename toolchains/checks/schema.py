#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The wire contract only grows: each field and enumerator of proto/schema has the number, type and bounds for ever that
it was frozen with, as devices in the field speak it for years. A removed field stays reserved, number and name. The
golden bytes of a version (proto/vectors) stay as they are.

usage: schema.py [--freeze]
--freeze adds what is new to proto/schema/frozen.txt; it refuses to forget or to change a line.
"""

import hashlib
import pathlib
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2

SCHEMA = pathlib.Path("proto/schema")
FROZEN = SCHEMA / "frozen.txt"
VECTORS = pathlib.Path("proto/vectors")
HEAD = (
    "# Every field and enumerator that was ever released, with its number, type and bounds, and the SHA-256 of the golden\n"
    "# bytes. Lines are added by toolchains/checks/schema.py --freeze, and never changed or removed.\n"
)
Field = descriptor_pb2.FieldDescriptorProto


def compiled(folder):
    with tempfile.TemporaryDirectory() as out:
        described = pathlib.Path(out) / "schema"
        command = ["protoc", f"-I{folder}", f"--descriptor_set_out={described}", f"{folder}/godwit.proto"]
        subprocess.run(command, check=True)
        return descriptor_pb2.FileDescriptorSet.FromString(described.read_bytes()).file[0]


def bounds(folder):
    """What nanopb's options say, by the full name of the field."""
    lines = (line.split("#")[0].split() for line in (folder / "godwit.options").read_text().splitlines())
    return {words[0]: " ".join(sorted(words[1:])) for words in lines if words}


def field_line(package, message, field, options):
    kind = field.type_name.removeprefix(f".{package}.") or Field.Type.Name(field.type).removeprefix("TYPE_").lower()
    words = [f"{message.name}.{field.name} =", str(field.number)]
    if field.label == Field.LABEL_REPEATED:
        words.append("repeated")
    words.append(kind)
    if field.HasField("oneof_index"):
        words.append(f"oneof:{message.oneof_decl[field.oneof_index].name}")
    return " ".join(words + options.get(f"{package}.{message.name}.{field.name}", "").split())


def described(folder):
    """One line for each field and enumerator; and the names and numbers that are reserved, as (message, either)."""
    file = compiled(folder)
    options = bounds(folder)
    lines, reserved = [], set()
    for enum in file.enum_type:
        lines += [f"{enum.name}.{value.name} = {value.number}" for value in enum.value]
    for message in file.message_type:
        lines += [field_line(file.package, message, field, options) for field in message.field]
        reserved |= {(message.name, name) for name in message.reserved_name}
        for span in message.reserved_range:
            reserved |= {(message.name, str(number)) for number in range(span.start, span.end)}
    return lines, reserved


def golden(folder):
    for file in sorted(folder.glob("**/v[0-9]*/*.hex")) + sorted(folder.glob("**/v[0-9]*.hex")):
        yield f"{file.relative_to(folder)} = {hashlib.sha256(file.read_bytes()).hexdigest()}"


def broken(frozen, lines, reserved):
    """What was frozen and is no longer so."""
    for line in frozen:
        name, number = line.split(" = ")
        owner, _, field = name.partition(".")
        gone = {(owner, field), (owner, number.split()[0])} <= reserved
        if line not in lines and not gone:
            now = next((other for other in lines if other.startswith(f"{name} = ")), "nothing, and is not reserved")
            yield f"frozen: {line}\n   now: {now}"


def frozen_lines(file):
    return [line for line in file.read_text().splitlines() if line and not line.startswith("#")]


def main():
    lines, reserved = described(SCHEMA)
    lines += golden(VECTORS)
    frozen = frozen_lines(FROZEN) if FROZEN.exists() else []
    faults = list(broken(frozen, lines, reserved))
    new = [line for line in lines if line not in frozen]
    if not faults and sys.argv[1:] == ["--freeze"]:
        FROZEN.write_text(HEAD + "".join(f"{line}\n" for line in frozen + new))
        return 0
    for fault in faults:
        print(fault)
    if faults:
        print("A device in the field speaks what was frozen. Take the change back; what is new gets a new number.")
    elif new:
        print("New, and not frozen:", *new, "When it is as it shall stay: /usr/bin/python3 toolchains/checks/schema.py --freeze", sep="\n")
    return 1 if faults or new else 0


if __name__ == "__main__":
    sys.exit(main())
