#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""UF2 files as boards/pico/uf2.py makes them, of ELF files made here; with an argument, the folder of the images that
the build has made, those images instead.

usage: uf2_test.py [IMAGES]
"""

import pathlib
import stat
import struct
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[4]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "boards/pico"))
import uf2


def elf(*loads):
    """An ELF file with a program header for each (address, bytes)."""
    offset = 52 + 32 * len(loads)
    headers, body = b"", b""
    for address, content in loads:
        # The address to run at differs from that in flash: variables that are copied to RAM.
        headers += struct.pack("<8I", uf2.PT_LOAD, offset + len(body), 0x20000000, address, len(content), len(content), 5, 4)
        body += content
    ident = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    return ident + struct.pack("<2H5I6H", 2, 40, 1, 0, 52, 0, 0, 52, 32, len(loads), 0, 0, 0) + headers + body


def read(content):
    """{address: page}, and the family, of a UF2 file; asserts what a boot ROM wants of it."""
    blocks = [content[i : i + 512] for i in range(0, len(content), 512)]
    pages, families = {}, set()
    for number, block in enumerate(blocks):
        magic_0, magic_1, flags, address, size, this, count, family = struct.unpack_from("<8I", block)
        assert (magic_0, magic_1) == (0x0A324655, 0x9E5D5157) and block[508:] == struct.pack("<I", 0x0AB16F30)
        assert (flags, size, this, count) == (0x2000, 256, number, len(blocks)), "one file, in order, with a family"
        assert address % 256 == 0 and address not in pages
        pages[address] = block[32 : 32 + 256]
        families.add(family)
    assert len(families) == 1
    assert all(address & ~0xFFF | page in pages for address in pages for page in range(0, 4096, 256)), "whole sectors"
    return pages, families.pop()


class Uf2Test(unittest.TestCase):
    def make(self, what, board, content):
        with tempfile.TemporaryDirectory() as folder:
            source, target = pathlib.Path(folder, "source"), pathlib.Path(folder, "made.uf2")
            source.write_bytes(content)
            run = subprocess.run(
                [sys.executable, "-B", uf2.__file__, what, board, source, target], capture_output=True, text=True
            )
            made = target.read_bytes() if target.exists() else None
            mode = stat.S_IMODE(target.stat().st_mode) if made else None
            return run, made, mode

    def test_holds_the_firmware_where_it_belongs(self):
        code, data = bytes(range(256)) * 20, b"variables"
        image = elf((uf2.FLASH, code), (uf2.FLASH + 6000, data))
        for board, family in ("pico", 0xE48BFF56), ("pico2", 0xE48BFF59):
            run, made, _ = self.make("firmware", board, image)
            self.assertEqual(run.returncode, 0, run.stderr)
            pages, found = read(made)
            self.assertEqual(found, family)
            flash = b"".join(pages[address] for address in sorted(pages))
            self.assertEqual(min(pages), uf2.FLASH)
            self.assertEqual(flash, (code.ljust(6000, b"\xff") + data).ljust(8192, b"\xff"))

    def test_holds_a_provisioning_block_and_nothing_else_of_the_storage(self):
        block = b"GWPB" + b"secret" * 100
        outbox = b"\x55" * 100_000
        for board, family in ("pico", 0xE48BFF56), ("pico2", 0xE48BFF57):
            for image in block, block.ljust(4096, b"\xff") + outbox:
                run, made, mode = self.make("provisioning", board, image)
                self.assertEqual(run.returncode, 0, run.stderr)
                pages, found = read(made)
                self.assertEqual(found, family)
                self.assertEqual(sorted(pages), list(range(uf2.STORAGE, uf2.STORAGE + 4096, 256)))
                self.assertEqual(b"".join(pages[a] for a in sorted(pages)), block.ljust(4096, b"\xff"))
                self.assertEqual(mode, 0o600, "nobody else may read a private key")

    def test_takes_a_provisioning_block_from_others_in_a_file_that_is_there(self):
        with tempfile.TemporaryDirectory() as folder:
            source, target = pathlib.Path(folder, "source"), pathlib.Path(folder, "made.uf2")
            source.write_bytes(b"GWPB" + b"secret")
            target.write_bytes(b"of before")
            target.chmod(0o644)
            self.assertEqual(uf2.main(["provisioning", "pico", str(source), str(target)]), 0)
            self.assertEqual(stat.S_IMODE(target.stat().st_mode), 0o600)

    def test_refuses_what_would_not_run_or_would_overwrite_the_other_part(self):
        for what, content, reason in (
            ("firmware", b"GWPB", "not an ELF file"),
            ("firmware", elf(), "does not begin at"),
            ("firmware", elf((uf2.FLASH + 256, b"late")), "does not begin at"),
            ("firmware", elf((uf2.FLASH, b"x" * 0x100001)), "reach into the storage"),
            ("firmware", elf((uf2.FLASH, b"x" * 300), (uf2.FLASH + 256, b"y")), "overlap"),
            ("firmware", elf((uf2.FLASH, b"x"), (0x20000000, b"ram")), "reach into the storage"),
            ("provisioning", b"\xff" * 4096, "provisioning block"),
        ):
            with self.subTest(reason=reason):
                run, made, _ = self.make(what, "pico", content)
                self.assertEqual((run.returncode, made), (1, None))
                self.assertIn(reason, run.stderr)

    def test_knows_where_the_storage_is_as_the_firmware_does(self):
        limits = (ROOT / "boards/pico/board_limits.h").read_text()
        self.assertIn(f"#define BOARD_STORAGE_OFFSET {uf2.STORAGE - uf2.FLASH:#x}\n", limits)


class ImagesTest(unittest.TestCase):
    """That a boot ROM would start them; where they lie; that nothing but the image is overwritten."""

    folder = None

    def image(self, board):
        pages, family = read((self.folder / board / "firmware.uf2").read_bytes())
        self.assertEqual(family, uf2.FAMILIES[board][0])
        flash = b"".join(pages[address] for address in sorted(pages))
        self.assertEqual((min(pages), max(pages)), (uf2.FLASH, uf2.FLASH + len(flash) - uf2.PAGE), "without gaps")
        self.assertLess(max(pages), uf2.STORAGE)
        return flash

    def vectors(self, flash, offset, stack):
        self.assertEqual(struct.unpack_from("<I", flash, offset)[0], stack)
        for handler in struct.unpack_from("<3I", flash, offset + 4):  # reset, NMI, HardFault
            self.assertEqual(handler & 1, 1, "Thumb")
            self.assertTrue(uf2.FLASH < handler < uf2.FLASH + len(flash))

    def test_the_rp2040_finds_its_boot_stage_and_vectors(self):
        flash = self.image("pico")
        crc = 0xFFFFFFFF  # CRC-32/MPEG-2 of the first 252 bytes, in the next four: RP2040 data sheet, 2.8.1.3.1
        for byte in flash[:252]:
            crc ^= byte << 24
            for _ in range(8):
                crc = crc << 1 ^ (0x104C11DB7 if crc & 0x80000000 else 0)
        self.assertEqual(struct.unpack_from("<I", flash, 252)[0], crc)
        self.vectors(flash, 256, 0x20042000)

    def test_the_rp2350_finds_its_image_definition_and_vectors(self):
        flash = self.image("pico2")
        begin, end = struct.pack("<I", 0xFFFFDED3), struct.pack("<I", 0xAB123579)
        first = flash.index(begin)
        self.assertLess(first, 4096, "RP2350 data sheet, 5.9.5")
        # An image to run, Arm, secure, for the RP2350; then the place of the next block, relative to this one.
        item, _, second = struct.unpack_from("<IIi", flash, first + 4)
        self.assertEqual((item, flash[first + 16 : first + 20]), (0x10210142, end))
        self.assertEqual(flash[first + second : first + second + 4], begin)
        self.assertEqual(struct.unpack_from("<i", flash, first + second + 12)[0], -second, "the blocks are a ring")
        self.vectors(flash, 0, 0x20082000)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        ImagesTest.folder = pathlib.Path(sys.argv.pop())
    unittest.main(defaultTest="ImagesTest" if ImagesTest.folder else "Uf2Test")
