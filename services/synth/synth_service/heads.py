"""Spherical heads of any size, with elevations, as SOFA files: ``python -m synth_service.heads FILE.sofa``.

A sphere has no pinnae. The response of an ear depends only on the angle between the source and the axis of the ears, so
that all directions of a cone of confusion have the same time and level differences: such a set has elevations, but
no listener could tell them apart with it. It shows what elevation alone does, and is for examples. Measured sets have
the rest.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from mssbench_service.files import atomic_file

from .interpolation import unit_vectors
from .sphere import RADIUS, SAMPLE_RATE, at_incidence

ELEVATIONS = tuple(range(-45, 76, 15))
STEP = 10
"""Between azimuths, degrees."""


def write_head(path: Path, radius: float = RADIUS) -> None:
    """Write the head of `radius` m to a SOFA file, unless it is there."""
    if path.exists():
        return
    import h5py

    azimuths, elevations = (
        each.ravel().astype(np.float64) for each in np.meshgrid(np.arange(0, 360, STEP), ELEVATIONS)
    )
    side = np.clip(unit_vectors(azimuths, elevations)[:, 1], -1.0, 1.0)
    # Rounded, so that mirrored directions share one response.
    incidence, index = np.unique(
        np.round(np.degrees(np.arccos(np.stack([side, -side], axis=1))), 6), return_inverse=True
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(
            {"Conventions": "SOFA", "SOFAConventions": "SimpleFreeFieldHRIR", "DataType": "FIR"}
        )
        file["Data.IR"] = at_incidence(incidence, radius)[index.reshape(-1, 2)]
        file["Data.SamplingRate"] = [float(SAMPLE_RATE)]
        file["Data.SamplingRate"].attrs["Units"] = "hertz"
        file["ReceiverPosition"] = np.array([[0.0, radius, 0.0], [0.0, -radius, 0.0]])[:, :, None]
        file["ReceiverPosition"].attrs.update({"Type": "cartesian", "Units": "metre"})
        file["SourcePosition"] = np.stack([azimuths, elevations, np.full(azimuths.size, 2.0)], axis=1)
        file["SourcePosition"].attrs.update({"Type": "spherical", "Units": "degree, degree, metre"})


def main() -> None:
    """Write a head to the file that is named on the command line."""
    parser = argparse.ArgumentParser(description="Write the spherical head with elevations to a SOFA file.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--radius", type=float, default=RADIUS, help="of the head, m")
    arguments = parser.parse_args()
    write_head(arguments.file, arguments.radius)


if __name__ == "__main__":
    main()
