"""Separators that are given the true stems: they bracket every model's score, and test the bench itself.

stft    analysis and resynthesis, a block of frames at a time
ideal   the mixture as every stem, ideal masks, and the oracle multichannel Wiener filter
probes  estimates that are wrong in one known way, with the scores this must give
app     the HTTP service

None has weights; all take every sample rate. The definitions are in the modules' docstrings.
"""

from __future__ import annotations

from mssbench_service.separation import Separators

from .ideal import BinaryMask, Mixture, MultichannelWiener, RatioMask
from .probes import Delay, Gain, Identity, Mono, Swap

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
}
"""How to make each separator, by name; the first is the service's default."""
