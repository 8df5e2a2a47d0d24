# SPDX-License-Identifier: MIT
"""How the Python of the uAPI is made from the C headers."""
