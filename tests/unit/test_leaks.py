# SPDX-License-Identifier: MIT
"""What kmemleak reports counts, except for what others are known to lose."""

from vnpu.klog.leaks import known, unknown

LEAK = """\
unreferenced object 0xffff888004a2c300 (size 128):
  comm "init", pid 1, jiffies 4294940808
  hex dump (first 32 bytes):
    00 88 b7 0a 80 88 ff ff 00 88 b7 0a 80 88 ff ff  ................
  backtrace (crc c4f9262e):
    kmemleak_alloc+0x28/0x30
    __kmalloc_cache_noprof+0x2f0/0x560
    {}+0x47/0x250{}
    pci_device_probe+0x1dd/0x470
"""


def test_every_object_of_the_driver_counts():
    report = LEAK.format("vnpu_bo_create", " [vnpu]")
    assert unknown(report) == report
    assert unknown(report * 2) == report * 2


def test_known_ones_are_taken_out():
    ours = LEAK.format("vnpu_bo_create", " [vnpu]")
    for function, reason in known().items():
        theirs = LEAK.format(function, " [ttm]")
        assert unknown(theirs) == ""
        assert unknown(theirs + ours + theirs) == ours
        assert len(reason.split()) > 5


def test_a_part_of_a_name_explains_nothing():
    function = next(iter(known()))
    assert unknown(LEAK.format(f"{function}_other", ""))
    assert unknown(LEAK.format(f"my_{function}", ""))


def test_no_report():
    assert unknown("") == ""
