# SPDX-License-Identifier: MIT
"""Drive the device model with no guest, over QEMU's qtest protocol.

- ``protocol``: the qtest wire protocol
- ``machine``: a QEMU process with qtest and QMP
- ``pci``: a PCI function: configuration space, BARs, capabilities
- ``memory``: allocators and scattered buffers
- ``pagetable``: builder of the device's page tables
- ``viommu``: a driver of virtio-iommu, just as much as it takes
- ``vtd``: the same of intel-iommu
- ``npu``: the device: registers, contexts, queues, events, interrupts
"""

from vnpu.qtest.machine import QtestMachine
from vnpu.qtest.npu import Context, Queue, VnpuQtest

__all__ = ["Context", "QtestMachine", "Queue", "VnpuQtest"]
