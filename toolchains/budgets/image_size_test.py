#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of image_size.py with small maps."""

import json
import pathlib
import unittest

from image_size import compare, measure, module_of, parse_map

MAP = """
Archive member included to satisfy reference by file (symbol)

Memory Configuration

Name             Origin             Length             Attributes
FLASH            0x00000000         0x00040000         xr
RAM              0x20000000         0x00010000         xrw
*default*        0x00000000         0xffffffff

Linker script and memory map

LOAD firmware/mqtt/libgodwit_mqtt.a

.text           0x00000000      0x100
 *(.vectors)
 .vectors       0x00000000       0x40 boards/common/cortex_m/libgodwit_cortex_m_bare.a(startup.cc.obj)
 .text._ZN6godwit4mqtt7Session7link_upENSt6chrono10time_pointE
                0x00000040       0x80 firmware/mqtt/libgodwit_mqtt.a(session.cc.obj)
                0x00000040                godwit::mqtt::Session::link_up()
 *fill*         0x000000c0        0x2
 .rodata        0x000000c4       0x3c {lto}

.stack          0x20000000     0x1000
 .stack         0x20000000     0x1000 boards/common/cortex_m/libgodwit_cortex_m_bare.a(startup.cc.obj)

.data           0x20001000       0x10 load address 0x00000100
 .data          0x20001000       0x10 boards/qemu_lm3s6965/CMakeFiles/firmware.elf.dir/board.cc.obj

.bss            0x20001010       0x20 load address 0x00000110
 .bss.memory    0x20001010       0x20 boards/common/net/liblwip.a(memp.c.obj)

.debug_info     0x00000000     0x4000
 .debug_info    0x00000000     0x4000 firmware/mqtt/libgodwit_mqtt.a(session.cc.obj)
"""
WITHOUT_LTO = MAP.replace("{lto}", "/usr/lib/gcc/arm-none-eabi/12.2.1/thumb/libgcc.a(_divdi3.o)")
WITH_LTO = MAP.replace("{lto}", "/tmp/cc123.ltrans0.ltrans.o")


class Map(unittest.TestCase):
    def test_is_taken_apart_also_where_a_name_fills_its_line(self):
        rows, regions, loads = parse_map(WITHOUT_LTO)
        self.assertEqual(regions["RAM"], (0x20000000, 0x10000))
        self.assertEqual(loads[".data"], 0x100)
        self.assertIn((".text", 0x40, 0x80, "firmware/mqtt/libgodwit_mqtt.a(session.cc.obj)"), rows)


class Sizes(unittest.TestCase):
    def test_of_modules_add_up_to_the_total(self):
        sizes = measure(WITHOUT_LTO)
        self.assertEqual(sizes["flash"]["firmware/mqtt"], 0x80)
        self.assertEqual(sizes["flash"]["boards/common"], 0x40)
        self.assertEqual(sizes["flash"]["libc, libgcc"], 0x3C)
        self.assertEqual(sizes["ram"]["lwIP"], 0x20)
        self.assertEqual(sizes["ram"]["stack"], 0x1000)
        for memory, total in (("flash", 0x110), ("ram", 0x1030)):
            self.assertEqual(sizes[memory]["total"], total)
            self.assertEqual(sum(sizes[memory].values()), 2 * total)

    def test_of_initial_values_count_in_flash_too(self):
        sizes = measure(WITHOUT_LTO)
        self.assertEqual((sizes["flash"]["board"], sizes["ram"]["board"]), (0x10, 0x10))

    def test_of_an_image_optimised_as_a_whole_follow_the_sources_of_its_symbols(self):
        sources = {0xC4: (0x10, "/root/firmware/outbox/outbox.cc"), 0xE0: (0x10, "mbedtls_table")}
        sizes = measure(WITH_LTO, sources)["flash"]
        self.assertEqual((sizes["firmware/outbox"], sizes["mbedTLS"]), (0x10, 0x10))
        self.assertEqual(sizes["constants, padding"], 0x3C - 0x20 + 4)


class Modules(unittest.TestCase):
    def test_are_found_by_archive_source_and_name(self):
        for path, module in (("firmware/mqtt/libgodwit_mqtt.a(codec.cc.obj)", "firmware/mqtt"),
                             ("/x/.deps/src/mbedtls-3.6.7/library/aes.c", "mbedTLS"),
                             ("godwit::boards::(anonymous namespace)::node_memory", "boards/common"),
                             ("/x/boards/qemu_lm3s6965/board.cc", "board"), ("", "constants, padding")):
            self.assertEqual(module_of(path), module, path)


class Budget(unittest.TestCase):
    def test_names_what_is_above_its_limit_and_what_is_missing(self):
        sizes = {"flash": {"total": 300, "a": 200, "b": 100}, "ram": {"total": 10}}
        budget = {"flash": {"total": 300, "a": 199, "gone": 1}, "ram": {"total": 10}}
        lines, exceeded = compare(sizes, budget)
        self.assertEqual(exceeded, ["flash, a: 200, at most 199", "flash, gone: in the budget, but not there"])
        self.assertTrue(any("-1" in line for line in lines))

    def test_holds_for_what_a_run_measures_and_lets_no_allocation_pass(self):
        budget = {"instructions": {"full handshake": 110, "resumed handshake": 4}, "allocations": {"steady state": 0}}
        self.assertEqual(compare(budget, budget)[1], [])
        over = {"instructions": {"full handshake": 111, "second, full": 111}, "allocations": {"steady state": 1}}
        self.assertEqual(compare(over, budget)[1], ["instructions, full handshake: 111, at most 110",
                                                    "instructions, resumed handshake: in the budget, but not there",
                                                    "allocations, steady state: 1, at most 0"])

    def test_leaves_the_limits_of_runs_alone_when_a_link_is_measured(self):
        sizes = {"flash": {"total": 300}, "ram": {"total": 10}}
        budget = {"flash": {"total": 300}, "ram": {"total": 10}, "runs": {"TLS 1.2": {"instructions": {"x": 1}}}}
        self.assertEqual(compare(sizes, budget)[1], [])

    def test_limits_each_kind_of_figure_of_a_run_of_every_image_that_qemu_plays(self):
        kinds = ["instructions", "bytes on the wire", "bytes of RAM", "allocations"]
        for file in pathlib.Path(__file__).parent.glob("qemu_*.json"):
            for name, limits in json.loads(file.read_text())["runs"].items():
                self.assertEqual(list(limits), kinds, f"{file.name}, {name}")


if __name__ == "__main__":
    unittest.main()
