#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a UF2 file, which a Pico takes when it is copied onto the drive that the board shows while BOOTSEL is held at
power-on: of the firmware (the build does that), or of a provisioning block as `godwit-gateway device add --image`
writes it. Each leaves the part of the flash alone that is the other's.

usage: uf2.py firmware pico|pico2 firmware.elf firmware.uf2
       uf2.py provisioning pico|pico2 IMAGE provisioning.uf2
"""

import os
import struct
import sys

FLASH = 0x10000000
STORAGE = FLASH + 0x100000  # BOARD_STORAGE_OFFSET of board_limits.h
SECTOR = 4096
PAGE = 256  # of flash in a block of UF2

# Family ids: of an image, and of data that belongs at its address. The RP2040 knows one for both.
FAMILIES = {"pico": (0xE48BFF56, 0xE48BFF56), "pico2": (0xE48BFF59, 0xE48BFF57)}

PROVISIONING_MAGIC = b"GWPB"
PT_LOAD = 1


class Error(Exception):
    pass


def segments(elf):
    """(address in flash, bytes) of what a program loader would load."""
    if elf[:6] != b"\x7fELF\x01\x01":
        raise Error("not an ELF file of 32 bits, little-endian")
    (table,) = struct.unpack_from("<I", elf, 28)
    entry_size, count = struct.unpack_from("<HH", elf, 42)
    for index in range(count):
        kind, offset, _, address, size = struct.unpack_from("<5I", elf, table + index * entry_size)
        if kind == PT_LOAD and size > 0:
            yield address, elf[offset : offset + size]


def firmware(elf):
    """The flash from its start to the end of the image, in whole sectors."""
    loaded = sorted(segments(elf))
    if not loaded or loaded[0][0] != FLASH:
        raise Error(f"the image does not begin at {FLASH:#x}")
    flash = bytearray()
    for address, content in loaded:
        if address < FLASH + len(flash) or address + len(content) > STORAGE:
            raise Error(f"{len(content)} bytes at {address:#x}: overlap, or reach into the storage at {STORAGE:#x}")
        flash += b"\xff" * (address - FLASH - len(flash)) + content
    return pad(flash)


def provisioning(image):
    """The first sector of the storage."""
    if image[:4] != PROVISIONING_MAGIC:
        raise Error("does not begin with a provisioning block")
    return pad(image[:SECTOR])


def pad(content):
    # Boot ROMs erase whole sectors; that of the RP2040 counts blocks to tell which (erratum RP2040-E14).
    return bytes(content) + b"\xff" * (-len(content) % SECTOR)


def uf2(address, content, family):
    """https://github.com/microsoft/uf2"""
    count = len(content) // PAGE
    blocks = []
    for number in range(count):
        page = content[number * PAGE : (number + 1) * PAGE]
        header = struct.pack("<8I", 0x0A324655, 0x9E5D5157, 0x2000, address + number * PAGE, PAGE, number, count, family)
        blocks.append(header + page.ljust(476, b"\0") + struct.pack("<I", 0x0AB16F30))
    return b"".join(blocks)


def main(arguments):
    if len(arguments) != 4 or arguments[0] not in ("firmware", "provisioning") or arguments[1] not in FAMILIES:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    what, board, source, target = arguments
    of_image, of_data = FAMILIES[board]
    try:
        with open(source, "rb") as file:
            content = file.read()
        made = uf2(FLASH, firmware(content), of_image) if what == "firmware" else uf2(STORAGE, provisioning(content), of_data)
        # A provisioning block has a private key in it.
        mode = 0o600 if what == "provisioning" else 0o666
        with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            if what == "provisioning":
                os.fchmod(file.fileno(), mode)  # open() leaves that of a file which is there
            file.write(made)
    except (Error, OSError) as error:
        print(f"uf2.py: {source}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
