# SPDX-License-Identifier: MIT
# What the QEMU of this project emulates; everything else is left out of the build.

# the machine, and ports to plug the NPU into (also hot)
CONFIG_Q35=y
CONFIG_PCIE_PORT=y
# the channel to the guest agent, entropy, clone detection
CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_SERIAL=y
CONFIG_VIRTIO_RNG=y
CONFIG_ACPI_VMGENID=y
# IOMMUs to test the driver behind
CONFIG_VTD=y
CONFIG_VIRTIO_IOMMU=y
# the virtual NPU
CONFIG_VNPU=y
# going back to a snapshot in place
CONFIG_VM_REWIND=y
