# SPDX-License-Identifier: MIT
"""The user API of the driver as Python, derived from its C header.

``from vnpu.uapi import abi`` gives one class per struct and one callable per
ioctl. Nothing here is written by hand twice: ``python -m vnpu.uapi`` compiles
the header, reads the layouts from DWARF and writes ``_generated.py`` (vnpu)
and ``_drm.py`` (the parts of DRM core, dma-buf and sync_file that clients
need).
"""
