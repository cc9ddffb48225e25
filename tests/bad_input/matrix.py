"""All matrices: which input goes through which entry points."""

from __future__ import annotations

from pathlib import Path

from cells import EntryPoint, Matrix, command, write_dataset
from inputs import TEXTS
from matrix_downloads import ARCHIVE_FILES, ARCHIVES_OF_WEIGHTS, PINS_OF_WEIGHTS
from matrix_files import CODED_TRACKS, SOFA_FILES, SOUND_FILES
from matrix_names import COMMAND_PATHS, REFERENCES, URL_PATHS
from matrix_requests import CONNECTIONS_MATRIX, REQUEST_BODIES, UPLOAD_FORMS
from matrix_stems import STEM_SETS


def _command_on(name_of_file: str, *arguments: str) -> EntryPoint:
    def put(folder: Path, name: str) -> None:
        write_dataset(folder / "music")
        file = folder / name_of_file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(TEXTS[name])

    return command(put, *arguments)


TEXT_FILES = Matrix(
    "Text files",
    "A file with this content in place of a configuration, an angle table, a SOFA file or a run record.",
    "Content",
    list(TEXTS),
    {
        "run CONFIG.toml": _command_on("x.toml", "run", "x.toml"),
        "run --angles": _command_on(
            "x.json", "run", "--dataset", "music", "--angles", "x.json", "--resample-hrir"
        ),
        "hrir info": _command_on("x.sofa", "hrir", "info", "x.sofa"),
        "leaderboard": _command_on("x.json", "leaderboard", "x.json", "-o", "site"),
        "status, run.json": _command_on("runs/x/run.json", "status", "x"),
        "list, run.json": _command_on("runs/x/run.json", "list"),
        "report, run.json": _command_on("runs/x/run.json", "report", "x"),
        "resume, run.json": _command_on("runs/x/run.json", "resume", "x", "--inline"),
        "diff, run.json": _command_on("runs/x/run.json", "diff", "x", "x"),
    },
)

MATRICES = [
    SOUND_FILES,
    SOFA_FILES,
    CODED_TRACKS,
    STEM_SETS,
    REFERENCES,
    COMMAND_PATHS,
    URL_PATHS,
    REQUEST_BODIES,
    UPLOAD_FORMS,
    CONNECTIONS_MATRIX,
    ARCHIVE_FILES,
    PINS_OF_WEIGHTS,
    ARCHIVES_OF_WEIGHTS,
    TEXT_FILES,
]
