"""Names of the sets of metrics. A separate module, because command lines and services need them at their start."""

METRIC_SETS = ("corrected", "paper", "all")
"""Sets of metrics that can be computed. ``all`` is both."""
