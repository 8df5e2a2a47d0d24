# SPDX-License-Identifier: MIT
"""The hardware interface as Python, made from spec/vnpu.yaml when imported.

- ``const``: constants and PCI identity
- ``codes``: enumerations and packet flags
- ``regs``: registers, their addresses and fields
- ``packets``: ring entries, packets and records as scapy layers
- ``pte``: page table entries
"""
