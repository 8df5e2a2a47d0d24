# SPDX-License-Identifier: MIT
"""What the guest boots with."""
