# SPDX-License-Identifier: MIT
"""What kmemleak reports counts, except for what others are known to lose."""

from vnpu.klog.leaks import known, unknown

HEAD = """\
unreferenced object 0xffff888004a2c300 (size 128):
  comm "init", pid 1, jiffies 4294940808
  hex dump (first 32 bytes):
    00 88 b7 0a 80 88 ff ff 00 88 b7 0a 80 88 ff ff  ................
  backtrace (crc c4f9262e):
    kmemleak_alloc+0x28/0x30
    __kmalloc_cache_noprof+0x2f0/0x560
"""


def leak(*functions):
    calls = [*functions, "pci_device_probe"]
    return HEAD + "".join(f"    {name}+0x47/0x250 [some]\n" for name in calls)


OURS = leak("vnpu_bo_create", "vnpu_ioctl_bo_create")


def test_every_object_of_the_driver_counts():
    assert unknown(OURS) == OURS
    assert unknown(OURS * 2) == OURS * 2


def test_known_ones_are_taken_out():
    for chain, reason in known().items():
        theirs = leak(*chain)
        assert unknown(theirs) == ""
        assert unknown(theirs + OURS + theirs) == OURS
        assert len(reason.split()) > 5


def test_only_the_whole_chain_explains_anything():
    """Else a driver could lose what it has of the same helpers by its own fault."""
    for chain in known():
        assert len(chain) > 1
        for at, name in enumerate(chain):
            others = [*chain[:at], f"{name}_other", *chain[at + 1 :]]
            assert unknown(leak(*others))
        assert unknown(leak(chain[0], "between", *chain[1:]))
        assert unknown(leak(*chain[1:]))
        assert unknown(leak(*reversed(chain)))


def test_no_report():
    assert unknown("") == ""
