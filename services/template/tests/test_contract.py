"""What the benchmark asks of every separator. These lines are all that a new one has to write."""

from __future__ import annotations

from mssbench_service.contract import SeparatorContract


class TestTemplate(SeparatorContract):
    app = "template_service.app:app"
    adds_up = 1e-6
    # Slow on a CPU? Then lighten it: seconds = 1.0, silence_seconds = 60.0; see the class for the others.
