# SPDX-License-Identifier: MIT
"""The PCI function: identity, BARs, capabilities, MSI-X, properties."""

from __future__ import annotations

import pytest

from vnpu.base.errors import RigError
from vnpu.hw import const
from vnpu.hw.codes import EngineType, Fault
from vnpu.hw.packets import Copy, Fill, Nop, RingNop
from vnpu.hw.regs import Reg
from vnpu.qtest import VnpuQtest, pci
from vnpu.qtest.machine import failing_start
from vnpu.qtest.npu import PHYS_VRAM, VRAM, device


def test_identity(npu):
    assert npu.pci.read(0x00) == const.PCI_DEVICE << 16 | const.PCI_VENDOR
    assert npu.pci.read(0x08) == const.PCI_CLASS << 16 | const.PCI_REVISION


def test_bars(npu):
    assert npu.pci.bar_size(const.BAR_REGS) == const.BAR_REGS_SIZE
    assert npu.pci.bar_size(const.BAR_MSIX) == const.BAR_MSIX_SIZE
    assert npu.pci.bar_is_64bit_prefetchable(const.BAR_VRAM)
    assert not npu.pci.bar_is_64bit_prefetchable(const.BAR_REGS)


@pytest.mark.parametrize("capability", [pci.CAP_PM, pci.CAP_EXPRESS, pci.CAP_MSIX])
def test_capabilities(npu, capability):
    assert npu.pci.capability(capability)


def test_flr_and_aer_are_offered(npu):
    express = npu.pci.capability(pci.CAP_EXPRESS)
    assert npu.pci.read(express + pci.EXPRESS_DEVCAP) & pci.DEVCAP_FLR
    assert npu.pci.extended_capability(pci.EXT_CAP_AER)


def test_msix_table_has_a_vector_for_each_queue(npu):
    control = npu.pci.read(npu.pci.capability(pci.CAP_MSIX)) >> 16
    assert (control & 0x7FF) + 1 == npu.read32(Reg.VECTORS)
    assert npu.read32(Reg.VECTORS) > npu.read32(Reg.QUEUES)


def test_record_and_replay_is_refused(tmp_path):
    """Results come from threads of the host when they are ready: no run is like another."""
    record = ["-icount", f"shift=7,rr=record,rrfile={tmp_path / 'record'}"]
    assert "vnpu" in failing_start([device()], record, accel="tcg")
    with pytest.raises(RigError, match="accepted"):
        failing_start([], record, accel="tcg")


def test_masked_vector_is_pending_until_unmasked(npu):
    queue = npu.queue(2)
    npu.mask_vector(queue.vector, True)
    queue.run(Nop())
    npu.until(lambda: npu.vector_pending(queue.vector), "the pending bit")
    assert not npu.interrupted(queue.vector)
    npu.mask_vector(queue.vector, False)
    assert npu.interrupted(queue.vector)
    assert not npu.vector_pending(queue.vector)


def test_interrupt_from_before_a_reset_is_not_delivered(npu):
    queue = npu.queue(2)
    npu.mask_vector(queue.vector, True)
    queue.run(Nop())
    npu.until(lambda: npu.vector_pending(queue.vector), "the pending bit")
    npu.reset()
    assert not npu.vector_pending(queue.vector)
    npu.mask_vector(queue.vector, False)
    assert not npu.interrupted(queue.vector)


def test_masked_function(npu):
    queue = npu.queue(2)
    cap = npu.pci.capability(pci.CAP_MSIX)
    control = npu.pci.read(cap)
    npu.pci.write(cap, control | pci.MSIX_MASK_ALL)
    queue.run(Nop())
    npu.until(lambda: npu.vector_pending(queue.vector), "the pending bit")
    assert not npu.interrupted(queue.vector)
    npu.pci.write(cap, control)
    assert npu.interrupted(queue.vector)


def test_no_interrupt_while_msix_is_off(npu):
    queue = npu.queue(2)
    cap = npu.pci.capability(pci.CAP_MSIX)
    control = npu.pci.read(cap)
    npu.pci.write(cap, control & ~pci.MSIX_ENABLE)
    queue.run(Nop())
    npu.pci.write(cap, control)
    npu.queue(3).run(Nop())
    npu.until(lambda: npu.interrupted(4), "the other queue's interrupt")
    assert not npu.interrupted(queue.vector)


# Memory


@pytest.mark.device(vram="32M", aperture="1M")
def test_small_aperture(npu):
    """The CPU sees the first megabyte only; the engines all of it."""
    assert npu.pci.bar_size(const.BAR_VRAM) == 1 << 20
    assert (npu.read64(Reg.VRAM_SIZE), npu.read64(Reg.APERTURE_SIZE)) == (32 << 20, 1 << 20)
    queue = npu.queue(2)
    hidden, out = PHYS_VRAM | 20 << 20, npu.alloc(4096, vram=False)
    queue.run(Fill(pattern=0xABCD, dst=hidden, size=4096), Copy(src=hidden, dst=out, size=4096))
    assert npu.load(False, out, 4096) == b"\xcd\xab\0\0" * 1024
    assert npu.load(True, 0, 4096) == bytes(4096)
    event = queue.faults(Copy(src=PHYS_VRAM | (32 << 20) - 1, dst=out, size=2))
    assert event.code == Fault.VRAM_RANGE


@pytest.mark.device(vram="96M", aperture="64M")
def test_vram_of_an_odd_size(npu):
    assert npu.read64(Reg.VRAM_SIZE) == 96 << 20
    queue = npu.queue(2)
    queue.run(Fill(pattern=1, dst=PHYS_VRAM | (96 << 20) - 64, size=64))
    assert queue.faults(Fill(pattern=1, dst=PHYS_VRAM | 96 << 20, size=4)).code == Fault.VRAM_RANGE


def test_memdev_is_the_vram(mapped):
    npu, vram = mapped
    assert npu.read64(Reg.VRAM_SIZE) == VRAM
    npu.queue(2).run(Fill(pattern=0x04030201, dst=PHYS_VRAM | 0x5000, size=64))
    assert bytes(vram[0x5000:0x5040]) == b"\x01\x02\x03\x04" * 16
    vram[0x6000:0x6004] = 7
    assert npu.load(True, 0x6000, 4) == b"\x07" * 4


@pytest.mark.device(vram=None)
def test_default_vram(npu):
    assert npu.read64(Reg.VRAM_SIZE) == 256 << 20


def test_two_devices(launch):
    """Same queue, same addresses, different contents."""
    machine = launch([device(), device(addr="0x5", id="other", vram="16M", queues=4)])
    devices = [VnpuQtest(machine), VnpuQtest(machine, 5, number=1)]
    assert [npu.read32(Reg.QUEUES) for npu in devices] == [64, 4]
    for n, npu in enumerate(devices, 1):
        queue = npu.queue(2, kind=EngineType.COPY)
        queue.submit(Fill(pattern=n, dst=PHYS_VRAM | 0x80000, size=64))
        queue.wait()
        npu.until(lambda npu=npu, queue=queue: npu.interrupted(queue.vector), "the interrupt")
    assert [npu.load(True, 0x80000, 1) for npu in devices] == [b"\x01", b"\x02"]
    devices[0].reset()
    devices[1].queue(1).run_entries(RingNop())


# Properties


@pytest.mark.parametrize(
    ("properties", "complaint"),
    [
        ({"vram": "3M"}, "VRAM"),
        ({"vram": "1"}, "VRAM"),
        ({"vram": "17592186044414M", "aperture": "1M"}, "VRAM"),
        ({"vram": "4097"}, "VRAM"),
        ({"vram": "96M"}, "aperture"),
        ({"aperture": "3M"}, "aperture"),
        ({"aperture": "128M"}, "aperture"),
        ({"aperture": "2048"}, "aperture"),
        ({"queues": 0}, "queues"),
        ({"queues": 1}, "queues"),
        ({"queues": 65}, "queues"),
        ({"queues": -1}, "queues"),
        ({"queues": "many"}, "queues"),
        ({"copy_engines": 0}, "engines"),
        ({"tensor_engines": 0}, "engines"),
        ({"copy_engines": 4, "tensor_engines": 5}, "engines"),
        ({"copy_engines": 4294967295, "tensor_engines": 2}, "engines"),
        ({"sync": "maybe"}, "sync"),
        ({"memdev": "nowhere"}, "nowhere"),
        ({"colour": "blue"}, "colour"),
    ],
    ids=str,
)
def test_bad_properties_are_refused(properties, complaint):
    assert complaint in failing_start([device(**properties)])


def backend(name: str, size: str = "64M", **options: str) -> list[str]:
    more = "".join(f",{key}={value}" for key, value in options.items())
    return ["-object", f"memory-backend-ram,id={name},size={size}{more}"]


def test_memdev_of_another_size_is_refused():
    text = failing_start([device(memdev="m", vram="32M")], backend("m"))
    assert "size" in text


def test_memdev_can_be_used_only_once():
    text = failing_start([device(memdev="m"), device(memdev="m", addr="5", id="b")], backend("m"))
    assert "use" in text


def test_memdev_of_odd_size_is_refused():
    assert "VRAM" in failing_start([device(memdev="m")], backend("m", "65540K"))


def test_memdev_that_cannot_be_written_is_refused(shared_folder):
    file = shared_folder / "vram"
    file.write_bytes(bytes(2 << 20))
    line = f"memory-backend-file,id=m,size=2M,mem-path={file},readonly=on"
    assert "written" in failing_start([device(memdev="m")], ["-object", line])


# Reads that the device does not answer


def all_ones(npu, addr):
    return [npu.qtest.read_int(addr, size) for size in (1, 2, 4, 8)] == [
        (1 << 8 * size) - 1 for size in (1, 2, 4, 8)
    ]


def bars(npu):
    """First and last quadword of each BAR."""
    sizes = ((npu.regs, const.BAR_REGS_SIZE), (npu.msix, const.BAR_MSIX_SIZE),
             (npu.aperture, VRAM))  # fmt: skip
    return [at for base, size in sizes for at in (base, base + size - 8)]


@pytest.mark.parametrize("how", ["d3", "memory-off", "flr"])
def test_a_device_that_does_not_answer_reads_as_ones(npu, how):
    if how == "d3":
        npu.pci.power_state(3)
    elif how == "flr":
        npu.pci.function_reset()
    else:
        npu.pci.command(memory=False)
    assert all(all_ones(npu, at) for at in bars(npu))
    npu.qtest.write_int(npu.regs, 0, 4)
    npu.qtest.clock_step(100_000_000)
    if how == "d3":
        npu.pci.power_state(0)
    npu.assign()
    assert npu.read32(Reg.ID) == const.MAGIC


def test_ones_follow_the_bars(npu):
    before = bars(npu)
    npu.regs += 32 << 20
    npu.msix += 32 << 20
    npu.aperture += 4 << 30
    npu.assign()
    npu.pci.command(memory=False)
    assert all(all_ones(npu, at) for at in bars(npu))
    assert not any(all_ones(npu, at) for at in before)


def test_ones_are_nowhere_else(npu):
    """What others have there, and what QEMU says of nothing, stays as it is."""
    npu.pci.command(memory=False)
    for at in (npu.regs - 8, npu.msix + const.BAR_MSIX_SIZE, npu.regs + (64 << 20),
               npu.aperture - 8, npu.aperture + VRAM):  # fmt: skip
        assert not npu.qtest.read_int(at, 8)


def test_a_device_that_is_gone_reads_as_ones(launch):
    """In its place, also when another one has come and gone."""
    machine = launch([pci.RootPort.device(6), device(bus="rp", addr="0")], pci.RootPort.NATIVE)
    port = pci.RootPort(machine.qtest, 6)
    npu = VnpuQtest(machine, 0, bus=port.BUS)
    port.power_off()
    assert npu.pci.read(0) == 0xFFFFFFFF
    assert all(all_ones(npu, at) for at in bars(npu))
    machine.qmp("device_add", driver="vnpu", bus="rp", addr="0", id="second", vram=32 << 20,
                queues=4)  # fmt: skip
    port.power_on()
    npu = VnpuQtest(machine, 0, bus=port.BUS)
    assert npu.read32(Reg.QUEUES) == 4
    port.power_off()
    assert all_ones(npu, npu.regs) and all_ones(npu, npu.aperture + (32 << 20) - 8)
    assert not npu.qtest.read_int(npu.aperture + (32 << 20), 8)


def test_dma_does_not_reach_the_ones(launch):
    machine = launch([device(), device(addr="0x5", id="other")])
    npu, other = VnpuQtest(machine), VnpuQtest(machine, 5, number=1)
    other.pci.command(memory=False)
    assert all_ones(npu, other.regs)
    assert npu.queue(2).faults(Copy(src=other.regs, dst=PHYS_VRAM, size=8)).code == Fault.DMA


def test_two_devices_have_their_own(launch):
    machine = launch([device(), device(addr="0x5", id="other")])
    first, second = VnpuQtest(machine), VnpuQtest(machine, 5, number=1)
    first.pci.command(memory=False)
    assert all_ones(first, first.regs) and second.read32(Reg.ID) == const.MAGIC
    second.pci.command(memory=False)
    assert all_ones(first, first.regs) and all_ones(second, second.regs)
