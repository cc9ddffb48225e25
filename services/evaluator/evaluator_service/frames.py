"""Write the table of frames as a Parquet file.

pyarrow imports pandas, if it is installed, when it first converts an array. This takes as long as scoring a stem, in
every process that scores a cell. The columns are therefore passed to pyarrow as buffers, without conversion.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from binaural_metrics.scoring import FrameTable


def write_frames(path: Path, frames: FrameTable) -> None:
    """Write the columns of :func:`~binaural_metrics.scoring.score_track` as one Parquet file.

    Objects are written as strings, booleans as booleans, 64-bit integers as integers, other values as float64.
    """
    columns = {name: _column(values) for name, values in frames.items()}
    pq.write_table(pa.Table.from_arrays(list(columns.values()), names=list(columns)), path)


def _column(values: npt.NDArray[Any]) -> pa.Array:
    if values.dtype == object:
        words = [str(value).encode() for value in values]
        ends = np.cumsum([0, *map(len, words)], dtype=np.int32)
        return pa.StringArray.from_buffers(len(words), pa.py_buffer(ends), pa.py_buffer(b"".join(words)))
    if values.dtype == bool:
        bits = np.packbits(values, bitorder="little")
        return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(bits)])
    whole = values.dtype == np.int64
    numbers = np.ascontiguousarray(values, np.int64 if whole else np.float64)
    kind = pa.int64() if whole else pa.float64()
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(numbers)])
