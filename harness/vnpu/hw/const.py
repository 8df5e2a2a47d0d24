# SPDX-License-Identifier: MIT
"""Constants of the interface, under the names of the specification (``MAGIC``, ``MAX_QUEUES``,
…), the identity ``PCI_VENDOR``, ``PCI_DEVICE``, ``PCI_CLASS``, ``PCI_REVISION``, the BAR numbers
``BAR_REGS``, ``BAR_VRAM``, ``BAR_MSIX``, and the version ``VERSION_MAJOR``, ``VERSION_MINOR``."""

from __future__ import annotations

from vnpu.hw.spec import load


def _constants() -> dict[str, int]:
    spec = load()
    pci = spec["pci"]
    return (
        {item["name"]: item["value"] for item in spec["constants"]}
        | {f"PCI_{key.upper()}": pci[key] for key in ("vendor", "device", "class", "revision")}
        | {f"BAR_{bar['name'].upper()}": bar["index"] for bar in pci["bars"]}
        | {f"BAR_{bar['name'].upper()}_SIZE": bar["size"] for bar in pci["bars"] if "size" in bar}
        | {f"VERSION_{part.upper()}": value for part, value in spec["version"].items()}
    )


globals().update(_constants())
PAGE_SIZE = 1 << _constants()["PAGE_SHIFT"]
HUGE_SIZE = PAGE_SIZE << _constants()["PT_BITS"]

__all__ = sorted([*_constants(), "HUGE_SIZE", "PAGE_SIZE"])


def __getattr__(name: str) -> int:
    """Only reached for unknown names; tells type checkers that the others exist."""
    raise AttributeError(f"the specification has no constant {name}")
