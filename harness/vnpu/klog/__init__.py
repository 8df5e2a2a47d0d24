# SPDX-License-Identifier: MIT
"""The kernel's log: what in it is a complaint."""
