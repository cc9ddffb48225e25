"""The replicates of a condition as one: the worst status, and the mean of the values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

NOT_OFFERED = "not offered"
"""Status of a target that the separator does not estimate. It is no row of the results and is not counted."""


def merged(
    rows_of: Sequence[Sequence[int]],
    status: npt.NDArray[np.str_],
    reason: npt.NDArray[np.object_],
    sounding: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.object_], npt.NDArray[np.bool_]]:
    """One entry for the replicates of each condition: the worst status, with its reason."""
    severity = np.array(["ok", "undefined", "pending", "failed", NOT_OFFERED])
    rank = np.argmax(status[..., np.newaxis] == severity, axis=-1)
    worst = [np.expand_dims(np.argmax(rank[rows], axis=0), 0) for rows in rows_of]

    def pick(table: npt.NDArray[Any]) -> npt.NDArray[Any]:
        picked = [
            np.take_along_axis(table[rows], at, axis=0) for rows, at in zip(rows_of, worst, strict=True)
        ]
        return np.concatenate(picked)

    return pick(status), pick(reason), np.stack([sounding[rows].all(axis=0) for rows in rows_of])


def averaged(rows_of: Sequence[Sequence[int]], values: FloatArray, lost: npt.NDArray[np.bool_]) -> FloatArray:
    """Mean over the replicates of each condition; NaN where `lost`, shape (conditions, …)."""
    found = []
    for rows in rows_of:
        table = values[rows]
        count = np.sum(~np.isnan(table), axis=0)
        found.append(np.where(count > 0, np.nansum(table, axis=0) / np.maximum(count, 1), np.nan))
    return np.where(lost, np.nan, np.stack(found))
