# SPDX-License-Identifier: MIT
"""Kernels to test on: fetched, unpacked, built."""
