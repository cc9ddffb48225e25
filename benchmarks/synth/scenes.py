"""Time and memory of rendering one track: static, moving, in a measured room and in a simulated one.

    python benchmarks/synth/scenes.py                # a track of 4 minutes
    python benchmarks/synth/scenes.py --seconds 600  # ten minutes: 8 to 25 s of processor time, below 250 MiB each

Each scene is rendered in a process of its own. The baseline of a measured room is scipy.signal.oaconvolve of the four
stems, held in memory, with the same responses of 1 s. It does not read or write files.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

RATE = 44100
SCENES = ("static", "moving", "measured room", "simulated room", "oaconvolve")


def write_track(folder: Path, seconds: float) -> None:
    import numpy as np
    import soundfile as sf
    from mssbench_service.musdb import STEMS

    folder.mkdir()
    rng = np.random.default_rng(0)
    for stem in STEMS:
        with sf.SoundFile(str(folder / f"{stem}.wav"), "w", RATE, 2, "PCM_16") as file:
            for _ in range(round(seconds)):
                file.write(0.1 * rng.standard_normal((RATE, 2)))


def measure(folder: Path, scene: str) -> None:
    """Render in this process, and print seconds of processor time and the peak of memory in MiB."""
    import numpy as np
    import soundfile as sf
    from mssbench_service.musdb import STEMS
    from mssbench_service.wire import Room, Scene
    from scipy.signal import oaconvolve
    from synth_service.hrir import load_hrir
    from synth_service.render import render_track

    hrir = load_hrir("sphere")
    decay = np.exp(-6.9 * np.arange(RATE) / RATE)
    late = 0.01 * np.random.default_rng(1).standard_normal((72, 2, RATE)) * decay
    late[:, :, : hrir.irs.shape[2]] += hrir.irs
    angles = dict(zip(STEMS, (0.0, 30.0, 90.0, 300.0), strict=True))
    started = time.process_time()
    if scene == "oaconvolve":
        for stem, angle in angles.items():
            mono = sf.read(str(folder / f"{stem}.wav"))[0].mean(axis=1)
            oaconvolve(mono[None], late[round(angle / 5)], axes=1)
    else:
        extra = {
            "moving": Scene(trajectories={stem: [[0, at], [600, at + 6000]] for stem, at in angles.items()}),
            "simulated room": Scene(room=Room([6.0, 4.0, 3.0], 0.4, [2.0, 2.0, 1.5])),
        }
        if scene == "measured room":
            hrir = replace(hrir, irs=late, room=True)
        render_track(folder, folder.parent / "out", hrir, angles, scene=extra.get(scene))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": time.process_time() - started, "MiB": memory}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=240.0, help="length of the track")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        measure(Path(arguments.one[0]), arguments.one[1])
        return
    one_thread = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        track = Path(folder) / "track"
        write_track(track, arguments.seconds)
        for scene in SCENES:
            command = [sys.executable, __file__, "--one", str(track), scene]
            done = subprocess.run(command, env=os.environ | one_thread, stdout=subprocess.PIPE, check=True)
            results[scene] = json.loads(done.stdout)
    print(f"{'scene':<16}{'seconds':>9}{'of static':>11}{'of oaconvolve':>15}{'MiB':>7}")
    for scene, result in results.items():
        of_static, of_room = (
            result["seconds"] / results[name]["seconds"] for name in ("static", "oaconvolve")
        )
        print(f"{scene:<16}{result['seconds']:>9.1f}{of_static:>11.2f}{of_room:>15.2f}{result['MiB']:>7.0f}")


if __name__ == "__main__":
    main()
