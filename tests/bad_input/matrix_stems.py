"""Matrix: folders whose stems cannot be used, and targets that cannot be scored."""

from __future__ import annotations

from cells import EntryPoint, Matrix, Sandbox, write_track
from entry_points import Outcome

_SETS: dict[str, tuple[tuple[str, ...], str]] = {
    "a stem with a capital letter": (("mixture", "Vocals", "guitar"), ""),
    "one stem under two names": (("mixture", "vocals", "instrumental", "no_vocals"), ""),
    "one stem in two files": (("mixture", "vocals", "Vocals", "guitar"), ""),
    "an alias of the accompaniment": (("mixture", "vocals", "karaoke"), ""),
    "three stems of MUSDB18-HQ's four": (("mixture", "vocals", "bass", "other"), ""),
    "no stems": (("mixture",), ""),
    "a target that cannot be built": (("mixture", "vocals", "guitar"), "drums"),
    "a target given under two names": (("mixture", "vocals", "guitar"), "music,accompaniment"),
}


def _command(*arguments: str, with_targets: bool = False) -> EntryPoint:
    def entry_point(sandbox: Sandbox, name: str) -> Outcome:
        stems, targets = _SETS[name]
        write_track(sandbox.folder / "music/test/Song", "float32 WAV", stems)
        asked = ("--targets", targets) if with_targets and targets else ()
        return sandbox.command(sandbox.folder, *arguments, *asked)

    return entry_point


STEM_SETS = Matrix(
    "Stem sets",
    "A dataset of one track with these stems. The targets are given to `run` and `evaluate`.",
    "Stems or targets",
    list(_SETS),
    {
        "run": _command(
            *(
                "run",
                "--dataset",
                "music",
                "--inline",
                "--separators",
                "oracle-mixture",
                "--conditions",
                "stereo",
            ),
            "--no-bsseval",
            with_targets=True,
        ),
        "synth": _command("synth", "music", "out", "--resample-hrir"),
        "evaluate": _command(
            "evaluate", "music/test", "music/test", "--csv", "x.csv", "--no-bsseval", with_targets=True
        ),
        "data check": _command("data", "check", "music"),
    },
)
