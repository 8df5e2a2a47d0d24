# SPDX-License-Identifier: MIT
"""QEMU's command line, by what it has to say."""

import pytest

from vnpu.machine import MachineConfig, cmdline
from vnpu.machine.cmdline import Backing


def guest(config, backing=Backing.TEMPLATE, kvm=False):
    return cmdline.guest(config, 2, backing, kvm)


def values(words, option):
    return [words[i + 1] for i, word in enumerate(words) if word == option]


def test_template_and_clone_differ_in_their_memory_only():
    """And in the kernel, which a clone has in that memory."""
    template, clone = guest(MachineConfig()), guest(MachineConfig(), Backing.CLONE)
    at = template.index("-kernel")
    assert template[at + 2 : at + 6 : 2] == ["-initrd", "-append"]
    del template[at : at + 6]
    differing = [(a, b) for a, b in zip(template, clone, strict=True) if a != b]
    assert len(differing) == 2
    for ours, theirs in differing:
        assert ours.endswith("share=on")
        assert theirs.endswith("share=off,readonly=on,rom=off")


def test_npu_sits_under_a_root_port_with_its_memory():
    words = guest(MachineConfig(vram=64 << 20, aperture=16 << 20, queues=8, device="sync=on"))
    devices = values(words, "-device")
    npu = next(device for device in devices if device.startswith("vnpu,"))
    assert npu == f"vnpu,id=npu0,bus=rp0,memdev=vram,aperture={16 << 20},queues=8,sync=on"
    assert any(device.startswith("pcie-root-port,id=rp0") for device in devices)
    assert any(f"id=vram,size={64 << 20}" in item for item in values(words, "-object"))


def test_machine_without_npu_has_no_trace_of_it():
    assert not any("vnpu," in word or "vram" in word for word in guest(MachineConfig(tested=False)))


def test_iommu_comes_before_what_it_is_for():
    words = guest(MachineConfig(iommu=True))
    devices = values(words, "-device")
    assert devices[0].startswith("intel-iommu")
    assert "intel_iommu=on" in values(words, "-append")[0]


def test_accelerators():
    assert values(guest(MachineConfig()), "-accel") == ["tcg,thread=multi,tb-size=256"]
    assert values(guest(MachineConfig(), kvm=True), "-accel") == ["kvm"]


def test_panics_end_the_machine():
    words = guest(MachineConfig())
    assert "-no-reboot" in words
    line = values(words, "-append")[0].split()
    assert "panic=-1" in line and "oops=panic" in line


def test_extra_words_are_passed_on():
    words = guest(MachineConfig(extra=["-device", "edu"], append="vnpu.job_timeout_ms=100"))
    assert "edu" in words
    assert values(words, "-append")[0].endswith("vnpu.job_timeout_ms=100")


def test_kmemleak_gets_what_it_needs():
    def line(append):
        return values(guest(MachineConfig(append=append)), "-append")[0].split()

    assert "kmemleak=off" in line("") and "slab_debug=U" not in line("")
    followed = line("kmemleak=on")
    assert "kmemleak=on" in followed and "slab_debug=U" in followed
    assert "kmemleak=off" not in followed


def test_config_can_name_a_template():
    assert hash(MachineConfig(extra=["a"])) == hash(MachineConfig(extra=("a",)))
    assert MachineConfig() != MachineConfig(smp=2)


def test_odd_sizes_are_refused():
    with pytest.raises(ValueError, match="2 MiB"):
        MachineConfig(vram=12345)


def test_interactive_guest_runs_a_shell_on_the_terminal():
    words = cmdline.interactive(MachineConfig(), 2)
    assert "vnpu.shell" in values(words, "-append")[0].split()
    assert any(item.startswith("stdio") for item in values(words, "-chardev"))
