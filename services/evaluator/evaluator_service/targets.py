"""What is scored together: the sets of BSS Eval, and rows of composite targets.

The sets are those of museval: the stems of the reference together, and each composite target together with the stems
that it leaves out (``vocals`` with ``accompaniment``). A separator that offers only such a pair is scored in that set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from binaural_metrics.scoring import Row
from mssbench_service.errors import BadInput
from mssbench_service.wire import Target

FrameTable = dict[str, npt.NDArray[Any]]

_DIRECTION = "azimuth"  # columns of directions start with it


@dataclass(frozen=True)
class ScoredSet:
    """References that are scored together, as sums of stems, and those of them whose rows are kept."""

    references: dict[str, list[str]]
    targets: list[str]


def scored_sets(targets: Mapping[str, Target], stems: Sequence[str]) -> list[ScoredSet]:
    """The sets in which `targets` are scored, given the stems of the reference folder.

    Raises
    ------
    BadInput
        A target has no estimate, or a reference that the folder does not hold.
    """
    for name, target in targets.items():
        missing = sorted({*target.reference}.difference(stems))
        if missing or not target.reference or not target.estimate:
            raise BadInput(
                f"the target {name!r} has no {(*missing, 'stem')[0]}; there are {', '.join(stems)}"
            )
    plain = [name for name, target in targets.items() if target.reference == [name]]
    pairs = []
    for name, target in targets.items():
        if name in plain:
            continue
        left_out = [stem for stem in stems if stem not in target.reference]
        only_pair = target.estimate == [name] and set(plain) <= set(left_out)
        pairs.append(
            ScoredSet(
                {stem: [stem] for stem in left_out} | {name: target.reference},
                [*(plain if only_pair else ()), name],
            )
        )
        plain = [] if only_pair else plain
    return [*([ScoredSet({stem: [stem] for stem in stems}, plain)] if plain else []), *pairs]


def total(parts: Sequence[str], signals: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Sum of the signals called `parts`; the signal itself if it is one."""
    if len({signals[part].shape for part in parts}) > 1:
        raise BadInput(f"{' and '.join(parts)} differ in length or channels; they cannot be added")
    first, *others = (signals[part] for part in parts)
    return np.asarray(np.sum([first, *others], axis=0, dtype=np.float64)) if others else first


def without_direction(row: Row) -> Row:
    """The row of a composite target: several sources have no common direction."""
    columns = [name for name, value in row.items() if name.startswith(_DIRECTION) and value is not None]
    if not columns:
        return row
    why = f"{', '.join(columns)}: a sum of several stems has no single direction"
    reason = "; ".join(part for part in (row["reason"], why) if part)
    return row | dict.fromkeys(columns) | {"status": "undefined", "reason": reason}


def frames_of(targets: Sequence[str], composite: Sequence[str], frames: FrameTable) -> FrameTable:
    """Rows of the table of frames that belong to `targets`; no directions of composite ones."""
    source, metric = frames["source"].astype(str), frames["metric"].astype(str)
    kept = np.isin(source, targets)
    kept &= ~(np.isin(source, composite) & np.char.startswith(metric, _DIRECTION))
    return {column: values[kept] for column, values in frames.items()}
