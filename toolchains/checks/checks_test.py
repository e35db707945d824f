#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The checks find what they are there for."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
import banned_symbols
import layering
import purity
import schema
import tree


class LayeringTest(unittest.TestCase):
    def test_refuses_what_crosses_a_layer(self):
        for path, header in [
            ("gateway/store/a.cc", "firmware/mqtt/session.h"),
            ("firmware/agent/a.cc", "gateway/domain/event.h"),
            ("sim/cli/a.cc", "gateway/domain/event.h"),
            ("gateway/http/a.cc", "gateway/store/store.h"),
            ("firmware/outbox/a.h", "firmware/telemetry/recorder.h"),
            ("boards/common/a.cc", "boards/host/clock.h"),
            ("proto/base/a.h", "proto/codec/messages.h"),
            ("gateway/app/a.cc", "tests/support/process.h"),
            ("gateway/http/a.cc", "sqlite3.h"),
            ("gateway/domain/a.cc", "mqtt/async_client.h"),
            ("gateway/store/a.cc", "gateway/pipeline/writer.h"),
            ("gateway/pipeline/a.cc", "gateway/mqtt/consumer.h"),
            ("sim/disk/a.cc", "gateway/store/store.h"),
            ("firmware/agent/a.cc", "mbedtls/ssl.h"),
            ("firmware/agent/a.cc", "vector"),
            ("proto/base/a.h", "sys/socket.h"),
            ("elsewhere/a.cc", "cstdint"),
        ]:
            with self.subTest(path=path, header=header):
                self.assertIsNotNone(layering.why_not(path, header))

    def test_allows_what_points_down(self):
        for path, header in [
            ("gateway/app/main.cc", "gateway/store/store.h"),
            ("firmware/agent/device.h", "firmware/outbox/outbox.h"),
            ("sim/fleet/member.h", "boards/common/tls/tls_client.h"),
            ("gateway/store/a.cc", "sqlite3.h"),
            ("tests/unit/firmware/mqtt/a.cc", "gateway/domain/event.h"),
            ("firmware/mqtt/a.cc", "span"),
            ("gateway/store/a.cc", "vector"),
        ]:
            with self.subTest(path=path, header=header):
                self.assertIsNone(layering.why_not(path, header))

    def test_names_the_line(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            subprocess.run(["git", "init", "--quiet", root], check=True)
            (root / "firmware/mqtt").mkdir(parents=True)
            (root / "firmware/mqtt/a.cc").write_text('// hello\n#include "gateway/domain/event.h"\n')
            found = list(layering.problems(root, layering.sources(root)))
        self.assertEqual(len(found), 1)
        self.assertTrue(found[0].startswith('firmware/mqtt/a.cc:2: #include "gateway/domain/event.h"'), found[0])


class PurityTest(unittest.TestCase):
    def found(self, line, unordered=()):
        return list(purity.problems_of("gateway/domain/a.cc", line, set(unordered)))

    def test_refuses_clocks_threads_chance_and_waiting(self):
        for line in ["const auto now = std::chrono::steady_clock::now();", "std::chrono::system_clock::time_point t;",
                     "std::jthread thread_;", "std::this_thread::yield();", "changed_.wait_for(lock, pause);",
                     "std::random_device device;", "const int x = rand();", "time(nullptr);"]:
            with self.subTest(line=line):
                self.assertEqual(len(self.found(line)), 1)

    def test_refuses_a_walk_through_a_hash_table(self):
        header = "  std::unordered_map<DeviceId, DeviceState, IdHash> devices_;"
        self.assertEqual(purity.unordered_names(header), {"devices_"})
        self.assertEqual(purity.unordered_names("void f(const std::unordered_set<int>& known, int x)"), {"known"})
        for line in ["for (auto& [id, device] : devices_) {", "for (auto& device : this->devices_) {",
                     "for (auto& device : impl_->devices_) {", "auto it = devices_.begin();",
                     "std::vector<int> all(impl.devices_.cbegin(), impl.devices_.cend());",
                     "auto it = std::begin(devices_);", "std::ranges::sort(devices_);",
                     "const auto found = std::ranges::find_if(devices_, fits);",
                     "std::ranges::copy(this->devices_, out);", "for (auto x : devices_ | std::views::keys) {",
                     "auto keys = std::views::keys(devices_);"]:
            with self.subTest(line=line):
                self.assertEqual(len(self.found(line, {"devices_"})), 1)
        for line in ["for (auto& device : sorted_) {", "const auto known = devices_.find(id);",
                     "if (known != devices_.end()) return;", "std::erase_if(devices_, old);",
                     "std::ranges::sort(sorted_);", "auto it = my_devices_.begin();"]:
            with self.subTest(line=line):
                self.assertEqual(self.found(line, {"devices_"}), [])

    def test_refuses_keys_that_are_addresses(self):
        for line in ["std::set<Follower*> followers_;", "std::map<const Device*, int> seen_;",
                     "std::unordered_map<gateway::Device*, int> seen_;", "std::set<std::shared_ptr<Block>> blocks_;",
                     "std::multimap<Device const*, int> seen_;", "std::set<Queue<int>*> queues_;"]:
            with self.subTest(line=line):
                self.assertEqual(len(self.found(line)), 1)
        for line in ["std::map<int, Device*> by_id_;", "std::unordered_map<DeviceId, Device*, IdHash> by_id_;",
                     "std::deque<Queue*> turns_;", "bitset<8> a; int* b;", "std::set<int> x; f(a * b);"]:
            with self.subTest(line=line):
                self.assertEqual(self.found(line), [])

    def test_allows_what_only_looks_alike(self):
        for line in ["// the steady_clock is read elsewhere", 'log_("std::thread");', "const Millis time(0);",
                     "Status operand(int x);", "std::chrono::milliseconds pause;"]:
            with self.subTest(line=line):
                self.assertEqual(self.found(line), [])


class BannedSymbolsTest(unittest.TestCase):
    def test_refuses_heap_exceptions_and_printing(self):
        for symbol in ["malloc", "free", "operator new(unsigned long)", "operator delete(void*, unsigned long)",
                       "__cxa_throw", "std::__throw_length_error(char const*)", "snprintf", "__snprintf_chk",
                       "vfprintf", "std::basic_ostream<char, std::char_traits<char> >::flush()", "write"]:
            with self.subTest(symbol=symbol):
                self.assertIsNotNone(banned_symbols.reason(symbol))

    def test_allows_memory_functions_and_our_own(self):
        for symbol in ["memcpy", "memset", "strlen", "__cxa_pure_virtual", "godwit::mqtt::Session::write()",
                       "std::to_chars(char*, char*, unsigned int, int)", "godwit::assert_failed(char const*, int)"]:
            with self.subTest(symbol=symbol):
                self.assertIsNone(banned_symbols.reason(symbol))

    def test_reads_a_real_object(self):
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder) / "a.c"
            source.write_text("#include <stdlib.h>\nvoid *f(void); void *f(void) { return malloc(1); }\n")
            subprocess.run(["cc", "-c", source, "-o", source.with_suffix(".o")], check=True)
            listed = subprocess.run(["nm", "--demangle", "--undefined-only", "--print-file-name",
                                     source.with_suffix(".o")], capture_output=True, text=True, check=True).stdout
        self.assertEqual(len(list(banned_symbols.problems(listed))), 1)


class SchemaTest(unittest.TestCase):
    PROTO = """syntax = "proto3"; package godwit.v1;
enum Reason { REASON_UNSPECIFIED = 0; REASON_FULL = 1; }
message Loss { uint64 count = 1; Reason reason = 2; }
message Record { fixed32 try_id = 1; oneof entry { bytes batch = 2; Loss loss = 3; } repeated Loss more = 4; }
"""
    OPTIONS = "godwit.v1.Record.more max_count:8  # a bound\n"

    def described(self, proto=PROTO, options=OPTIONS):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder)
            (path / "godwit.proto").write_text(proto)
            (path / "godwit.options").write_text(options)
            return schema.described(path)

    def test_says_number_type_and_bounds(self):
        lines, _ = self.described()
        for line in [
            "Reason.REASON_FULL = 1",
            "Loss.reason = 2 Reason",
            "Record.batch = 2 bytes oneof:entry",
            "Record.more = 4 repeated Loss max_count:8",
        ]:
            self.assertIn(line, lines)

    def test_refuses_what_changes_a_frozen_line(self):
        frozen, _ = self.described()
        for old, new in [
            ("REASON_FULL = 1", "REASON_FULL = 2"),
            ("count = 1", "count = 7"),
            ("uint64 count", "uint32 count"),
            ("bytes batch", "string batch"),
            ("repeated Loss more", "Loss more"),
            ("uint64 count = 1;", ""),
            ("uint64 count = 1;", "reserved 1;"),
            ("oneof entry { bytes batch = 2;", "bytes batch = 2; oneof entry {"),
        ]:
            with self.subTest(new=new):
                self.assertEqual(len(list(schema.broken(frozen, *self.described(self.PROTO.replace(old, new))))), 1)
        shorter = self.described(options=self.OPTIONS.replace("8", "7"))
        self.assertEqual(len(list(schema.broken(frozen, *shorter))), 1)

    def test_refuses_other_golden_bytes(self):
        with tempfile.TemporaryDirectory() as folder:
            vector = pathlib.Path(folder) / "v1" / "ack.hex"
            vector.parent.mkdir()
            vector.write_text("08 01\n")
            frozen = list(schema.golden(pathlib.Path(folder)))
            self.assertEqual(len(frozen), 1)
            self.assertEqual(list(schema.broken(frozen, list(schema.golden(pathlib.Path(folder))), set())), [])
            vector.write_text("08 02\n")
            self.assertEqual(len(list(schema.broken(frozen, list(schema.golden(pathlib.Path(folder))), set()))), 1)

    def test_lets_it_grow_and_reserve(self):
        frozen, _ = self.described()
        grown = self.PROTO.replace("Reason reason = 2;", "Reason reason = 2; bool late = 3;")
        self.assertEqual(list(schema.broken(frozen, *self.described(grown))), [])
        less = self.PROTO.replace("uint64 count = 1;", 'reserved 1; reserved "count";')
        self.assertEqual(list(schema.broken(frozen, *self.described(less))), [])


class TreeTest(unittest.TestCase):
    def found(self, files):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for path, content in files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(content)
            return list(tree.problems(root, sorted(files)))

    def test_finds_a_folder_without_readme(self):
        self.assertEqual(len(self.found({"proto/base/a.txt": ""})), 1)
        self.assertEqual(self.found({"proto/base/a.txt": "", "proto/base/README.md": ""}), [])

    def test_finds_files_that_are_too_long_or_large_or_have_no_licence(self):
        licence = "// SPDX-License-Identifier: Apache-2.0\n"
        self.assertEqual(self.found({"a.cc": licence + "\n" * 799}), [])
        self.assertEqual(len(self.found({"a.cc": licence + "\n" * 800})), 1)
        self.assertEqual(len(self.found({"a.bin": "x" * 500_001})), 1)
        self.assertEqual(len(self.found({"a.cc": "int a;\n"})), 1)

    def test_finds_links_that_lead_nowhere(self):
        self.assertEqual(self.found({"a.md": "[b](b.md) [c](b.md#the-heading)", "b.md": "# The heading"}), [])
        self.assertEqual(len(self.found({"a.md": "[b](c.md)"})), 1)
        self.assertEqual(len(self.found({"a.md": "[b](b.md#other)", "b.md": "# The heading"})), 1)
        self.assertEqual(self.found({"a.md": "[b](https://example.org/nowhere)"}), [])

    def test_finds_guarantees_without_their_tests(self):
        test = {"tests/unit/a_test.cc": "// SPDX-License-Identifier: Apache-2.0\nTEST_F(Suite, Holds) {}\n", "tests/unit/README.md": ""}
        page = "docs/reference/guarantees.md"
        self.assertEqual(self.found(test | {page: "`Suite.Holds`"}), [])
        self.assertEqual(self.found(test | {page: "`Suite.Gone`"}), [f"{page}: there is no test Suite.Gone"])

    def test_finds_decisions_with_the_same_number_or_that_are_not_listed(self):
        index = {"docs/adr/README.md": "[1](0001-a.md) [2](0002-b.md)"}
        records = {"docs/adr/0001-a.md": "", "docs/adr/0002-b.md": ""}
        self.assertEqual(self.found(index | records), [])
        self.assertEqual(self.found(index | records | {"docs/adr/0003-c.md": ""}),
                         ["docs/adr/0003-c.md: not listed in docs/adr/README.md"])
        again = {"docs/adr/README.md": "[1](0001-a.md) [2](0002-b.md) [3](0002-c.md)", "docs/adr/0002-c.md": ""}
        self.assertEqual(self.found(records | again), ["docs/adr/0002-c.md: the number is that of 0002-b.md"])
        self.assertEqual(self.found({"docs/adr/README.md": "[a](a.md)", "docs/adr/a.md": ""}),
                         ["docs/adr/a.md: the name of a decision record is NNNN-title.md"])


if __name__ == "__main__":
    unittest.main()
