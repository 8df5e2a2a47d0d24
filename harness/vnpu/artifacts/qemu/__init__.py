# SPDX-License-Identifier: MIT
"""QEMU with the device in it, and its firmware."""
