# SPDX-License-Identifier: MIT
"""The harness of the virtual NPU: builds it, boots it, and reaches into it."""
