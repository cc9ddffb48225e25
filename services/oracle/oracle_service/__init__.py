"""Separators that get the true stems. They bound the scores of models from above and below, and test the bench.

stft    analysis and resynthesis, a block of frames at a time
ideal   the mixture as every stem, ideal masks, and the oracle multichannel Wiener filter
probes  known-answer tests: estimates with one known error, and the scores that it must give
app     the HTTP service

None of them has weights, and all accept every sample rate. The modules' docstrings define them.
"""

from __future__ import annotations

from mssbench_service.separation import Separators

from .ideal import BinaryMask, Mixture, MultichannelWiener, RatioMask
from .probes import Delay, Gain, Identity, Leak, Mono, Swap

__version__ = "0.2.0"

SEPARATORS: Separators = {
    "oracle-mixture": Mixture,
    "oracle-irm": RatioMask,
    "oracle-irm_shared": lambda: RatioMask(shared=True),
    "oracle-ibm": BinaryMask,
    "oracle-ibm_shared": lambda: BinaryMask(shared=True),
    "oracle-mwf": MultichannelWiener,
    "oracle-identity": Identity,
    "oracle-mono": Mono,
    "oracle-swap": Swap,
    "oracle-gain": Gain,
    "oracle-delay": Delay,
    "oracle-leak": Leak,
}
"""Constructor of each separator, by name; the first is the service's default."""
