# SPDX-License-Identifier: MIT
"""The specification as Python: against the generated C header, and round trips."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.packet import Raw, fuzz

from vnpu.hw import codes, const, packets, pte, regs
from vnpu.hw.spec import camel, load

ROOT = Path(__file__).resolve().parents[2]
HEADER = ROOT / "qemu-device" / "vnpu_hw.h"
COMMANDS = [*packets.RING_LAYERS.values(), *packets.PACKET_LAYERS.values()]
RECORDS = [packets.FenceRecord, packets.Event]

#: a busy machine is no fault of the code
untimed = settings(deadline=None)

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)


@pytest.fixture(scope="module")
def c_defines() -> dict[str, str]:
    return dict(re.findall(r"^#define (VNPU_\w+)\s+(\S+)$", HEADER.read_text(), re.M))


@pytest.fixture(scope="module")
def c_layouts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """sizeof of each struct and offsetof of each field, as the compiler sees the header."""
    out = tmp_path_factory.mktemp("hw")
    shim = out / "standard-headers" / "linux"
    shim.mkdir(parents=True)
    (shim / "types.h").write_text("#include <linux/types.h>\n")
    lines = []
    structs = re.findall(r"^struct (vnpu_\w+) \{(.*?)^\};", HEADER.read_text(), re.M | re.S)
    for struct, body in structs:
        lines.append(f'printf("{struct} %zu\\n", sizeof(struct {struct}));')
        for name in re.findall(r"(\w+)(?:\[\d+\])?;", body):
            lines.append(f'printf("{struct}.{name} %zu\\n", offsetof(struct {struct}, {name}));')
    source = out / "layout.c"
    source.write_text(
        f'#include <stdio.h>\n#include <stddef.h>\n#include "{HEADER}"\n'
        f"int main(void)\n{{\n{chr(10).join(lines)}\nreturn 0;\n}}\n"
    )
    program = out / "layout"
    cc = os.environ.get("CC", "cc")
    subprocess.run([cc, f"-I{out}", "-o", str(program), str(source)], check=True)
    text = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout
    return {name: int(value) for name, value in (line.split() for line in text.splitlines())}


def struct_name(layer: type) -> str:
    kind = "rec" if issubclass(layer, packets.Record) else "pkt"
    return f"vnpu_{kind}_{layer().name.lower()}"


@pytest.mark.parametrize("layer", [*COMMANDS, *RECORDS], ids=lambda x: x.__name__)
def test_layer_matches_c_struct(c_layouts, layer):
    struct = struct_name(layer)
    assert packets.sizeof(layer) == c_layouts[struct]
    offset = 0
    pkt = layer()
    for f in pkt.fields_desc:
        if f.name not in ("opcode", "flags", "dwords", "data"):
            assert c_layouts[f"{struct}.{f.name}"] == offset, f.name
        offset += len(f.addfield(pkt, b"", f.i2m(pkt, getattr(pkt, f.name))))


def test_every_spec_entry_has_a_layer():
    names = {p["name"] for p in load()["packets"] + load()["ring_entries"]}
    assert {layer().name for layer in COMMANDS} == names
    for name in names:
        assert getattr(packets, camel(name))().name == name


@pytest.mark.parametrize("name", [c["name"] for c in load()["constants"]])
def test_constant_matches_c(c_defines, name):
    assert int(c_defines[f"VNPU_{name}"], 0) == getattr(const, name)


@pytest.mark.parametrize("key", sorted(regs.REGISTERS))
def test_register_matches_c(c_defines, key):
    reg = regs.REGISTERS[key]
    stem = f"VNPU_{reg.block}_REG_{reg.name}" if reg.block else f"VNPU_REG_{reg.name}"
    assert int(c_defines[stem], 0) == reg.offset
    owner = f"VNPU_{reg.block}_{reg.name}" if reg.block else f"VNPU_{reg.name}"
    for field in reg.fields.values():
        assert int(c_defines[f"{owner}_{field.name}_MASK"].rstrip("u"), 0) == field.mask
        assert int(c_defines[f"{owner}_{field.name}_SHIFT"], 0) == field.lo


def test_wide_registers_have_a_short_name():
    assert regs.Reg.VRAM_SIZE == regs.Reg.VRAM_SIZE_LO == regs.Reg.VRAM_SIZE_HI - 4
    assert regs.QueueReg.FENCE == regs.QueueReg.FENCE_LO


def test_blocks_do_not_overlap():
    spans = sorted((b.base, b.base + b.stride * b.count) for b in regs.BLOCKS.values())
    spans.append((const.DOORBELL_BASE, regs.doorbell(const.MAX_QUEUES - 1) + const.DOORBELL_STRIDE))
    assert all(end <= start for (_, end), (start, _) in zip(spans, spans[1:], strict=False))
    assert spans[-1][1] <= const.BAR_REGS_SIZE


def test_block_index_is_checked():
    with pytest.raises(IndexError):
        regs.queue(const.MAX_QUEUES)
    with pytest.raises(IndexError):
        regs.doorbell(-1)


def test_pack_and_unpack():
    value = regs.pack("QUEUE.CONFIG", LOG2=6, VRAM=1, ENGINE=3, PRIORITY=2)
    assert value == 6 | 1 << 8 | 3 << 16 | 2 << 24
    assert regs.unpack("QUEUE.CONFIG", value) == {"LOG2": 6, "VRAM": 1, "ENGINE": 3, "PRIORITY": 2}
    with pytest.raises(ValueError, match="PRIORITY"):
        regs.pack("QUEUE.CONFIG", PRIORITY=4)


@pytest.mark.parametrize("name", sorted(codes.ENUMS))
def test_enum_matches_c(name):
    text = HEADER.read_text()
    body = re.search(rf"enum vnpu_{name} \{{(.*?)\}};", text, re.S)[1]
    values = dict(re.findall(rf"VNPU_{name.upper()}_(\w+) = (\d+)", body))
    assert {m.name: int(m) for m in codes.ENUMS[name]} == {k: int(v) for k, v in values.items()}
    assert getattr(codes, camel(name)) is codes.ENUMS[name]


@pytest.mark.parametrize("layer", COMMANDS, ids=lambda x: x.__name__)
def test_header_is_filled_in(layer):
    raw = bytes(layer(flags=3))
    assert raw[0] == layer().opcode
    assert raw[1] == 3
    assert int.from_bytes(raw[2:4], "little") * 4 == len(raw)


def test_header_can_be_forged():
    assert bytes(packets.Copy(dwords=3))[2:4] == b"\x03\x00"
    assert bytes(packets.Copy(opcode=0xEE))[0] == 0xEE


def test_length_is_another_name_of_size():
    assert bytes(packets.Copy(src=1, dst=2, length=5)) == bytes(packets.Copy(src=1, dst=2, size=5))
    with pytest.raises(AttributeError):
        packets.Gemm(length=5)


def test_flags_by_name():
    assert bytes(packets.Gemm(flags="BIAS+ACCUMULATE"))[1] == 5
    assert bytes(packets.Gemm(flags=codes.GemmFlags.TRANS_B))[1] == 2


@untimed
@given(src=u64, dst=u64, size=u64)
def test_copy_round_trip(src, dst, size):
    (pkt,) = packets.parse_commands(bytes(packets.Copy(src=src, dst=dst, size=size)))
    assert (pkt.src, pkt.dst, pkt.size) == (src, dst, size)


@untimed
@given(data=st.data())
def test_any_layer_round_trips(data):
    layer = data.draw(st.sampled_from(COMMANDS))
    pkt = layer()
    for f in pkt.fields_desc:
        if f.name not in ("opcode", "dwords", "data"):
            value = getattr(pkt, f.name)
            if isinstance(value, bytes):
                drawn = data.draw(st.binary(min_size=len(value), max_size=len(value)))
            else:
                width = len(f.addfield(pkt, b"", f.i2m(pkt, value)))
                drawn = data.draw(st.integers(0, 2 ** (8 * width) - 1))
            setattr(pkt, f.name, drawn)
    raw = bytes(pkt)
    assert bytes(layer(raw)) == raw


@pytest.mark.parametrize("layer", [*COMMANDS, *RECORDS], ids=lambda x: x.__name__)
def test_fuzz_builds(layer):
    for _ in range(20):
        assert len(bytes(fuzz(layer()))) >= packets.sizeof(layer)


def test_nop_of_any_length():
    stream = bytes(packets.Nop(data=bytes(range(16)))) + bytes(packets.Nop())
    long, short = packets.parse_commands(stream)
    assert (long.dwords, bytes(long.data), short.dwords) == (6, bytes(range(16)), 2)


@untimed
@given(st.binary(max_size=400))
def test_parser_takes_anything(data):
    assert b"".join(map(bytes, packets.parse_commands(data))) == data


def test_parser_stops_at_what_is_no_packet():
    good = bytes(packets.Fill(pattern=7, dst=0x1000, size=64))
    for bad in (b"\xff" * 8, b"\x20\x00\x00\x00" * 2, b"\x20\x00\xff\xff" * 2):
        first, rest = packets.parse_commands(good + bad)
        assert first.pattern == 7
        assert isinstance(rest, Raw) and bytes(rest) == bad


def test_ring_and_event_parsing():
    ring = bytes(packets.RingIndirect(size=8, addr=0x4000)) + bytes(packets.RingFence(value=9))
    indirect, fence = packets.parse_ring(ring)
    assert (indirect.addr, fence.value) == (0x4000, 9)
    (event,) = packets.parse_events(bytes(packets.Event(type=1, queue=3, code=codes.Fault.DMA)))
    assert (event.type, event.queue, event.code) == (1, 3, codes.Fault.DMA)
    assert "DMA" in event.show(dump=True)


@untimed
@given(page=st.integers(0, 2**40 - 1), vram=st.booleans(), write=st.booleans())
def test_pte_round_trip(page, vram, write):
    value = pte.leaf(page << 12, vram=vram, write=write)
    entry = pte.decode(value)
    assert entry == pte.Pte(True, write, True, vram, page << 12)
    assert int(entry) == value and not entry.reserved


def test_pte_refuses_offsets():
    with pytest.raises(ValueError):
        pte.leaf(0x123, vram=True)
    with pytest.raises(ValueError):
        pte.table(1 << 52)


@untimed
@given(u64)
def test_pte_decodes_anything(value):
    assert int(pte.decode(value)) == value


@untimed
@given(st.integers(0, 2**48 - 1))
def test_indices_make_up_the_address(va):
    parts = sum(pte.index(va, n) * pte.level_size(n) for n in range(const.PT_LEVELS))
    assert parts == va & ~(const.PAGE_SIZE - 1)


def test_properties_are_those_of_the_device():
    source = (ROOT / "qemu-device" / "vnpu-pci.c").read_text()
    kinds = {"SIZE": "size", "LINK": "link", "UINT32": "number", "BOOL": "bool"}
    found = re.findall(r'DEFINE_PROP_(\w+)\("([^"]+)"', source)
    assert [(name, kinds[kind]) for kind, name in found] == [
        (entry["name"], entry["type"]) for entry in load()["properties"]
    ]
