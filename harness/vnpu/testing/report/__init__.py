# SPDX-License-Identifier: MIT
"""A report of a test run as one HTML page that needs nothing else."""
