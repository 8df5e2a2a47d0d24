# SPDX-License-Identifier: MIT
"""Reading a header: a small one with everything that the rules forbid."""

import pytest

from vnpu.base.errors import BuildError
from vnpu.uapi.gen import cheader, promise
from vnpu.uapi.gen.extract import Abi, Member, Wanted, extract

HEADER = """\
#include <linux/types.h>
#include <linux/ioctl.h>
/**
 * enum demo_kind - Kinds
 */
enum demo_kind {
	/** @DEMO_A: First. */
	DEMO_A,
	DEMO_B = 0x80000000,
};
#define DEMO_FLAG (1u << 3) /* a bit */
#define DEMO_BIG 0x100000000ull
#define DEMO_GUARD
#define DEMO_CALL(x) (x)
/**
 * struct demo_inner - Inside
 */
struct demo_inner {
	/** @a: First
	of two. */
	__u32 a;
	__u64 b;
};
struct demo {
	__u8 first;
	long word;
	char name[5];
	struct demo_inner inner[2];
	void *pointer;
	__s16 sign;
	__u32 tail[];
};
#define DEMO_IOCTL _IOWR('x', 7, struct demo_inner)
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "demo.h").write_text(HEADER)
    return tmp_path


WANTED = Wanted(
    includes=['"demo.h"'],
    structs=["demo_inner", "demo"],
    enums=["demo_kind"],
    constants=["DEMO_FLAG", "DEMO_BIG"],
    ioctls=["DEMO_IOCTL"],
)


def test_names():
    header = cheader.parse(HEADER)
    assert header.structs == ["demo_inner", "demo"]
    assert header.enums == ["demo_kind"]
    assert header.macros == ["DEMO_FLAG", "DEMO_BIG", "DEMO_IOCTL"]


def test_documentation():
    docs = cheader.parse(HEADER).docs
    assert docs["demo_inner"].title == "Inside"
    assert docs["demo_inner"].members == {"a": "First of two."}
    assert docs["demo_kind"].members == {"DEMO_A": "First."}


def test_hole_is_seen(folder):
    layout = extract(WANTED, [folder]).structs["demo_inner"]
    assert layout.size == 16
    assert layout.members[1] == Member("b", 8, 8, "u64")


def test_word_sizes_differ(folder):
    wide, narrow = (extract(WANTED, [folder], bits).structs for bits in (64, 32))
    assert wide["demo_inner"].size == 16 and narrow["demo_inner"].size == 12
    assert wide["demo"].members[1] == Member("word", 8, 8, "s64")
    assert narrow["demo"].members[1] == Member("word", 4, 4, "s32")


def test_kinds(folder):
    members = {m.name: m for m in extract(WANTED, [folder]).structs["demo"].members}
    assert members["first"].kind == "u8"
    assert (members["name"].kind, members["name"].count) == ("char", 5)
    assert (members["inner"].struct, members["inner"].count) == ("demo_inner", 2)
    assert members["inner"].size == 32
    assert members["pointer"].kind == "ptr"
    assert members["sign"].kind == "s16"
    assert members["tail"].kind == "flexible"


def test_values(folder):
    abi = extract(WANTED, [folder])
    assert abi.enums == {"demo_kind": {"DEMO_A": 0, "DEMO_B": 0x80000000}}
    assert abi.constants == {"DEMO_FLAG": 8, "DEMO_BIG": 1 << 32}
    ioctl = abi.ioctls["DEMO_IOCTL"]
    assert (ioctl.nr, ioctl.struct) == (0xC0107807, "demo_inner")


def test_cache_saves_the_compilation(folder, tmp_path, monkeypatch):
    first = extract(WANTED, [folder], cache=tmp_path / "cache")
    monkeypatch.setattr("vnpu.uapi.gen.extract._compile", lambda *_: pytest.fail("compiled"))
    assert extract(WANTED, [folder], cache=tmp_path / "cache") == first


def test_cache_follows_the_header(folder, tmp_path):
    extract(WANTED, [folder], cache=tmp_path / "cache")
    (folder / "demo.h").write_text(HEADER.replace("1u << 3", "1u << 4"))
    assert extract(WANTED, [folder], cache=tmp_path / "cache").constants["DEMO_FLAG"] == 16


def test_json_round_trip(folder):
    abi = extract(WANTED, [folder])
    assert Abi.from_json(abi.to_json()) == abi


def test_header_that_does_not_compile(folder):
    (folder / "demo.h").write_text("struct demo_inner { nonsense x; };")
    with pytest.raises(BuildError, match="nonsense"):
        extract(Wanted(['"demo.h"'], structs=["demo_inner"]), [folder])


def test_changed_offset_shows_in_the_golden_text(folder):
    before = promise.text(extract(WANTED, [folder])).splitlines()
    (folder / "demo.h").write_text(HEADER.replace("__u32 a;", "__u32 a, pad;"))
    after = promise.text(extract(WANTED, [folder])).splitlines()
    assert set(after) - set(before) == {"struct demo_inner +4 u32 pad"}
