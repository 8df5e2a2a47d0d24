# SPDX-License-Identifier: MIT
"""What was used last is evicted last, however long ago it was bound."""

import pytest
from support import MIB, Copier

from vnpu.accel import VRAM, Device

SIZE = 8 * MIB

pytestmark = pytest.mark.machine(vram=64 * MIB, aperture=64 * MIB)


class Client:
    """Some BOs in VRAM, all mapped."""

    def __init__(self, guest, private):
        self.npu = Device.open(guest.spawn())
        self.c = Copier(self.npu)
        for _ in range(2):
            self.c.buffer(SIZE, VRAM, vm=self.c.vm if private else None)
        self.c.queue.submit([]).wait()

    def resident(self):
        number, *unit = self.npu.fdinfo()["drm-resident-vram"].split()
        return int(number) * {"": 1, "KiB": 1024, "MiB": MIB}["".join(unit)]


@pytest.mark.parametrize("private", [True, False], ids=["private", "external"])
def test_busy_client_stays(guest, private):
    """It came first, and submits; one that came later and is idle has to go."""
    busy, idle = Client(guest, private), Client(guest, private)
    third = Device.open(guest.spawn())
    for _ in range(3):
        busy.c.queue.submit([]).wait()
        memory = third.query_memory()
        bo = third.bo_create(memory.vram_total - memory.vram_used + SIZE, placement=VRAM)
        assert (busy.resident(), idle.resident()) == (2 * SIZE, SIZE)
        bo.read(4)  # when it is cleared it can be freed at once
        bo.close()
        idle.c.queue.submit([]).wait()
        assert (busy.resident(), idle.resident()) == (2 * SIZE, 2 * SIZE)


def test_private_memory_outlives_its_address_space(guest):
    """And can still be evicted, alone and after others."""
    npu = Device.open(guest.spawn())
    vm = npu.vm_create()
    kept = [npu.bo_create(SIZE, placement=VRAM, vm=vm) for _ in range(2)]
    for i, bo in enumerate(kept):
        bo.write(bytes([i + 1]) * 64)
    vm.destroy()
    kept.append(npu.bo_create(SIZE, placement=VRAM))
    kept.pop(0).close()
    memory = npu.query_memory()
    npu.bo_create(memory.vram_total - memory.vram_used + SIZE, placement=VRAM).close()
    assert kept[0].read(64) == bytes([2]) * 64
    kept.pop(0).close()
