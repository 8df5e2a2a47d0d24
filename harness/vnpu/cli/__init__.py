# SPDX-License-Identifier: MIT
"""The ``vnpu`` command."""
