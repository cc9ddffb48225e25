"""The contract that every separator keeps. A new separator needs no more than these lines."""

from __future__ import annotations

from mssbench_contract import SeparatorContract


class TestTemplate(SeparatorContract):
    app = "template_service.app:app"
    adds_up = 1e-6
    # Slow on a CPU? Then make the tests shorter, for example with seconds = 1.0. The class describes all attributes.
