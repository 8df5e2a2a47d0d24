# SPDX-License-Identifier: MIT
"""From nothing to artifacts: fetch, build and cache QEMU, kernels, modules and the initramfs."""
