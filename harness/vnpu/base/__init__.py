# SPDX-License-Identifier: MIT
"""Errors, paths, locks, cache, tools: for every other room, and knowing none of them."""
