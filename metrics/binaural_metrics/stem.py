"""One stem while it is scored, with the analyses that several metrics share. Each analysis is computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .bsseval import BssEval, bss_eval
from .cues import Cues, HrirSet, interaural_cues
from .grid import Grid
from .interaural import PaperCues, PaperSignal, paper_distances, product, whitened
from .level import Level, level
from .paper2026 import UNWHITENED, Paper2026, paper2026_distances, whitened_product
from .place import Place, place
from .plausible import TOLERANCE_S
from .response import EffectiveResponse, effective_response, no_response
from .reuse import NO_CACHE, ReferenceCache
from .signals import (
    Float64,
    FloatArray,
    InputError,
    active_blocks,
    block_energies,
    check_pair,
    is_silent_where,
)
from .spauq import Equations, Released, spauq_both, spauq_equations, spauq_released

_HOP_S = 0.5  # between SPAUQ's frames


@dataclass(frozen=True)
class Options:
    """What is computed, and how; the parameters of :func:`~binaural_metrics.scoring.score_track`."""

    sample_rate: int
    sets: frozenset[str]
    gain: float
    aggregate: str
    hrir: HrirSet | None
    bsseval: bool
    workers: int | None
    mixture: FloatArray | None = None
    dry: Mapping[str, npt.ArrayLike] | None = None
    moving: frozenset[str] = frozenset()
    cache: ReferenceCache = NO_CACHE
    direct: Mapping[str, npt.ArrayLike] | None = None


class Track:
    """All stems of a track; `estimates` are those that can be scored."""

    def __init__(
        self,
        references: Mapping[str, npt.ArrayLike],
        estimates: Mapping[str, npt.ArrayLike],
        options: Options,
    ) -> None:
        self.references, self.estimates, self.options = references, estimates, options

    @cached_property
    def bsseval(self) -> tuple[BssEval | None, str]:
        """BSS Eval of all stems together, None where it has no value, with the reason for that."""
        gain, workers = self.options.gain, self.options.workers
        lengths = {source: np.shape(signal)[-1] for source, signal in self.references.items()}
        short = min(lengths, key=lambda source: lengths[source])
        if max(lengths.values()) - lengths[short] > TOLERANCE_S * self.options.sample_rate:
            return None, (
                f"the reference {short!r} has {lengths[short]} samples, and another one {max(lengths.values())}"
            )
        try:
            found = bss_eval(
                self.references,
                self.estimates,
                self.options.sample_rate,
                reference_gain=gain,
                workers=workers,
                cache=self.options.cache,
            )
        except InputError as error:
            return None, str(error)
        return found, "every window has a silent stem"

    @property
    def mixture(self) -> tuple[list[npt.ArrayLike], float]:
        """Signals whose sum is the mixture, and their gain in it; no signals if it is not known."""
        if self.options.mixture is not None:
            return [self.options.mixture], 1.0
        return list(self.references.values()) if len(self.references) > 1 else [], self.options.gain


class Stem:
    """One stem: its signals, the options, and the results of the analyses.

    Attributes
    ----------
    source : str
        Name of the stem.
    reference, estimate : ndarray, shape (2, samples)
        Checked, of equal length, float32 or float64, channel 0 = left ear.
    options : Options
    sets : set of {"corrected", "paper"}
        Metric sets that are computed for this stem.
    track : Track or None
        All stems of the track; only there for metrics of the whole track.
    """

    def __init__(
        self, source: str, reference: npt.ArrayLike, estimate: npt.ArrayLike, options: Options
    ) -> None:
        self.source, self.options, self.sets = source, options, set(options.sets)
        self.reference: FloatArray
        self.estimate: FloatArray
        self.reference, self.estimate, _ = check_pair(reference, estimate, options.sample_rate)
        self._reference_samples = np.shape(reference)[1]
        self.track: Track | None = None

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        return self.options.sample_rate

    def estimate_is_silent(self) -> bool:
        """Whether the estimate is silent wherever the reference is active."""
        active = active_blocks(block_energies(self.reference, self.sample_rate))
        return bool(active.any()) and is_silent_where(self.estimate, active, self.sample_rate)

    @cached_property
    def _spauq(self) -> tuple[Released | None, Equations | None]:
        pair, rate = (self.reference, self.estimate), self.sample_rate
        gain, workers = self.options.gain, self.options.workers
        if self.sets >= {"corrected", "paper"}:
            return spauq_both(*pair, rate, reference_gain=gain, workers=workers)
        if "paper" in self.sets:
            return spauq_released(*pair, rate, workers=workers), None
        return None, spauq_equations(*pair, rate, reference_gain=gain, workers=workers)

    @property
    def released(self) -> Released:
        """SPAUQ as released, without a gain of the reference; of the paper set."""
        found, _ = self._spauq
        if found is None:
            raise LookupError(f"the paper metrics of {self.source!r} are not computed")
        return found

    @property
    def equations(self) -> Equations:
        """SPAUQ by its equations; of the corrected set."""
        _, found = self._spauq
        if found is None:
            raise LookupError(f"the corrected metrics of {self.source!r} are not computed")
        return found

    @cached_property
    def paper_cues(self) -> PaperCues:
        """Interaural differences as the paper computes them."""
        return paper_distances(*self._paper_signals)

    @cached_property
    def _paper_signals(self) -> tuple[PaperSignal, PaperSignal]:
        spectra = [whitened, product if self.source in UNWHITENED else whitened_product]

        def signal(x: FloatArray) -> PaperSignal:
            return PaperSignal.of(x, self.sample_rate, spectra)

        key = "paper", self.sample_rate, self.source in UNWHITENED
        first = self.options.cache.get([self.reference], key, lambda: signal(self.reference))
        return first, signal(self.estimate)

    @cached_property
    def paper2026(self) -> Paper2026:
        """Time differences as the paper's authors compute them since 2026."""
        return paper2026_distances(*self._paper_signals)

    @cached_property
    def cues(self) -> Cues:
        """Interaural cues of the corrected set."""
        options = self.options
        return interaural_cues(
            self.reference,
            self.estimate,
            self.sample_rate,
            hrir=options.hrir,
            aggregate=options.aggregate,
            reference_gain=options.gain,
            workers=options.workers,
            moving=self.source in options.moving,
            cache=options.cache,
        )

    @cached_property
    def place(self) -> Place:
        """Share of the sound that stays in place."""
        options = self.options
        return place(
            self.reference,
            self.estimate,
            self.sample_rate,
            reference_gain=options.gain,
            workers=options.workers,
            cache=options.cache,
        )

    @cached_property
    def response(self) -> EffectiveResponse:
        """The response to the dry stem that the estimate carries."""
        options = self.options
        try:
            dry = (options.dry or {})[self.source]
            return effective_response(
                self.reference,
                self.estimate,
                dry,
                self.sample_rate,
                options.hrir,
                direct=(options.direct or {}).get(self.source),
                workers=options.workers,
                cache=options.cache,
            )
        except KeyError:
            return no_response("the dry stem is not known")
        except InputError as error:  # of the dry stem: the signals and the set were checked before
            return no_response(str(error))

    @cached_property
    def level(self) -> Level:
        """Fitted level and SI-SDR."""
        return level(self.reference, self.estimate, self.sample_rate, reference_gain=self.options.gain)

    @property
    def total_frames(self) -> int:
        """Number of SPAUQ frames of the whole reference, which may be longer than the estimate."""
        return len(Grid.of(self._reference_samples, self.sample_rate))

    def spauq_starts(self, frames: int) -> Float64:
        """Start of each SPAUQ frame in s."""
        hop = int(_HOP_S * self.sample_rate) / self.sample_rate
        return np.arange(frames, dtype=np.float64) * hop
