"""What the benchmark asks of every separator, of one of each kind."""

from __future__ import annotations

from mssbench_service.contract import SeparatorContract


class TestMixture(SeparatorContract):
    """The default; it needs no true stems."""

    app = "oracle_service.app:app"


class TestWiener(SeparatorContract):
    """The costliest one."""

    app = "oracle_service.app:app"
    separator = "oracle-mwf"
    adds_up = 1e-6
    seconds = 1.0
    silence_seconds = 60.0
    memory_mib = 600


class TestSwap(SeparatorContract):
    """A probe: the true stems of a whole track are in memory beside the mixture."""

    app = "oracle_service.app:app"
    separator = "oracle-swap"
    seconds = 1.0
    silence_seconds = 120.0
    memory_mib = 800
