"""The contract that every separator keeps, for one oracle of each kind."""

from __future__ import annotations

from mssbench_contract import SeparatorContract


class TestMixture(SeparatorContract):
    """The default; it needs no true stems."""

    app = "oracle_service.app:app"


class TestWiener(SeparatorContract):
    """The most expensive one."""

    app = "oracle_service.app:app"
    separator = "oracle-mwf"
    adds_up = 1e-6
    seconds = 1.0
    memory_mib = 600


class TestSwap(SeparatorContract):
    """Holds the true stems of a whole track in memory beside the mixture."""

    app = "oracle_service.app:app"
    separator = "oracle-swap"
    seconds = 1.0
    memory_mib = 500
