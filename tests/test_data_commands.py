"""The commands `data`, `hrir` and `synth`. Most bad input is in ``tests/bad_input``."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import unicodedata
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from command import Command, killed_when, refused, tracks
from mssbench_contract.server import http_server

STEMS = ("vocals", "drums", "bass", "other")


def write_sofa(path: Path) -> np.ndarray:
    """Write a synthetic HRIR set at 44.1 kHz; return its impulse responses, shape (azimuths, 2, taps)."""
    import sofar

    azimuths = np.arange(0, 360, 10)
    rng = np.random.default_rng(3)
    irs = 1e-3 * rng.standard_normal((azimuths.size, 2, 96))
    for ir, side in zip(irs, np.sin(np.radians(azimuths)), strict=True):
        ir[0, 20 - round(10 * side)] += 2.0**side
        ir[1, 20 + round(10 * side)] += 2.0**-side
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sofa = sofar.Sofa("SimpleFreeFieldHRIR")
        sofa.Data_IR = irs
        # Azimuths from −180 to 180, as in many published sets.
        wrapped = (azimuths + 180) % 360 - 180
        sofa.SourcePosition = np.stack([wrapped, 0 * azimuths, 1.4 + 0 * azimuths], axis=1)
        sofa.Data_SamplingRate = 44100
        sofa.Data_Delay = np.zeros((1, 2))
        sofa.ReceiverPosition = np.array([[0.0, 0.09, 0.0], [0.0, -0.09, 0.0]])
        sofar.write_sofa(str(path), sofa)
    return irs


def test_synth_follows_its_specification(mssbench: Command, workspace: Path) -> None:
    """Mono is the mean of both channels; convolution is full; the sum is divided by its peak; 16 bit is clipped."""
    irs = write_sofa(workspace / "head.sofa")
    angles = {"vocals": 340, "drums": 0, "bass": 90, "other": 270}
    table = {"test": {unicodedata.normalize("NFD", t.name): angles for t in tracks(workspace)}, "train": {}}
    (workspace / "angles.json").write_text("\ufeff" + json.dumps(table), encoding="utf-8")
    for profile in ("paper", "matched"):
        done = mssbench(
            "synth", "music", profile, "--hrir", "head.sofa", "--angles", "angles.json", "--profile", profile
        )
        assert done.returncode == 0, done.stderr
    for track in tracks(workspace):
        signals = {}
        for stem in STEMS:
            stereo, rate = sf.read(track / f"{stem}.wav", dtype="float64")
            mono = stereo.mean(axis=1)
            signals[stem] = np.stack([np.convolve(mono, ear) for ear in irs[angles[stem] // 10]], axis=1)
        mixture = sum(signals.values())
        peak = np.abs(mixture).max()
        for name, exact in {"mixture": mixture / peak, **signals}.items():
            sf.write(workspace / "exact.wav", exact, rate, subtype="PCM_16")
            expected, _ = sf.read(workspace / "exact.wav", dtype="int16")
            written, _ = sf.read(workspace / "paper/test" / track.name / f"{name}.wav", dtype="int16")
            assert np.abs(written.astype(int) - expected).max() <= 1
            matched, _ = sf.read(workspace / "matched/test" / track.name / f"{name}.wav")
            assert np.abs(matched - (exact if name == "mixture" else exact / peak)).max() < 1e-6
        record = json.loads((workspace / "paper/test" / track.name / "metadata.json").read_text("utf-8"))
        assert record["angles"] == angles
        assert record["mixture_gain"] == pytest.approx(1 / peak, rel=1e-9)
        assert (record["profile"], len(record["hrir_sha256"])) == ("paper", 64)
        assert {path.name for path in (workspace / "paper/test" / track.name).iterdir()} == {
            *(f"{name}.wav" for name in ("mixture", *STEMS)),
            "hrir.npz",
            "metadata.json",
        }
        assert sf.info(workspace / "paper/test" / track.name / "mixture.wav").subtype == "PCM_16"


def test_only_a_track_with_a_changed_stem_is_rendered_again(mssbench: Command, workspace: Path) -> None:
    assert mssbench("synth", "music", "out").returncode == 0
    changed, kept = tracks(workspace)
    files = {t: workspace / "out/test" / t.name / "bass.wav" for t in (changed, kept)}
    before = {t: path.stat().st_mtime_ns for t, path in files.items()}
    later = max(before.values()) + 10**9
    bass, rate = sf.read(changed / "bass.wav")
    sf.write(changed / "bass.wav", 0.5 * bass, rate)
    os.utime(changed / "bass.wav", ns=(later, later))
    assert mssbench("synth", "music", "out").returncode == 0
    assert files[changed].stat().st_mtime_ns != before[changed]
    assert files[kept].stat().st_mtime_ns == before[kept]
    assert mssbench("synth", "music", "out", "--profile", "paper").returncode == 0
    assert files[kept].stat().st_mtime_ns != before[kept]


def test_renderings_with_a_resampled_set_are_kept(mssbench: Command, workspace: Path) -> None:
    for track in reversed(tracks(workspace)):
        for path in track.glob("*.wav"):
            audio, _ = sf.read(path)
            sf.write(path, audio, 48000)
        for command in (["synth", "music", "out"], ["run", "--dataset", "music", "--inline"]):
            line = refused(mssbench(*command))
            assert "at 48000 Hz and the HRIR set sphere at 44100 Hz; give --resample-hrir" in line
        assert {path.name for path in workspace.iterdir()} == {"music"}, "it starts with the first track"
    assert mssbench("synth", "music", "out", "--resample-hrir").returncode == 0
    before = {p: p.stat().st_mtime_ns for p in workspace.glob("out/test/*/*.wav")}
    assert len(before) == 10
    assert mssbench("synth", "music", "out", "--resample-hrir").returncode == 0
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_a_killed_rendering_leaves_no_incomplete_track(mssbench: Command, workspace: Path) -> None:
    for track in tracks(workspace):  # long enough to be killed during rendering
        for path in track.glob("*.wav"):
            audio, rate = sf.read(path, dtype="int16")
            sf.write(path, np.tile(audio, (60, 1)), rate)
    killed_when(lambda: list(workspace.glob("out/test/.tmp-*/*.wav")), workspace, "synth", "music", "out")
    for folder in workspace.glob("out/test/[!.]*"):
        assert (folder / "metadata.json").exists()
    assert mssbench("synth", "music", "out").returncode == 0
    for track in tracks(workspace):
        assert sf.info(workspace / "out/test" / track.name / "mixture.wav").frames == 60 * 88200 + 255
    assert not list(workspace.glob("out/test/.*/*")), "what the killed process left is removed"


def test_an_output_folder_without_write_permission_is_refused(workspace: Path) -> None:
    locked = workspace / "locked"
    locked.mkdir(mode=0o555)
    # Root can write anywhere, except without its capabilities.
    drop_capabilities = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    if os.geteuid() != 0:
        drop_capabilities = []
    elif (
        not shutil.which("setpriv")
        or subprocess.run([*drop_capabilities, "true"], check=False).returncode != 0
    ):
        pytest.skip("root cannot drop its capabilities on this system")
    command = [*drop_capabilities, sys.executable, "-m", "mssbench", "synth", "music", "locked/out"]
    done = subprocess.run(command, cwd=workspace, capture_output=True, text=True, timeout=600, check=False)
    assert "locked/out cannot be written: locked has no write permission" in refused(done)
    assert list(locked.iterdir()) == []


# --- data ---------------------------------------------------------------------------------------------------


@pytest.fixture
def url() -> Iterator[str]:
    """Address of a server of an azimuth table; its first response is cut off."""
    answers = iter([True])

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(TABLE)))
        handler.end_headers()
        handler.wfile.write(TABLE[:50] if next(answers, False) else TABLE)

    with http_server(answer) as url:
        yield f"{url}/angles.json"


TABLE = json.dumps({split: {"A": dict.fromkeys(STEMS, 10)} for split in ("train", "test")}).encode()


def test_data_fetch_shows_the_licence_and_needs_its_acceptance(
    mssbench: Command, workspace: Path, url: str
) -> None:
    fetch = ["data", "fetch", "angles", "--url", url, "--sha256", hashlib.sha256(TABLE).hexdigest()]
    done = mssbench(*fetch)
    assert "to fetch angles, accept its licence with --accept-licence" in refused(done)
    assert "arXiv:2507.00155" in done.stderr
    assert not (workspace / "data").exists()
    done = mssbench(*fetch, "--accept-licence")
    assert (done.returncode, done.stdout) == (0, "data/angles.json\n"), done.stderr
    assert (workspace / "data/angles.json").read_bytes() == TABLE
    assert mssbench(*fetch, "--accept-licence").stdout == "data/angles.json exists already\n"


def test_data_fetch_refuses_other_content_and_invalid_arguments(
    mssbench: Command, workspace: Path, url: str
) -> None:
    line = refused(mssbench("data", "fetch", "angles", "--url", url, "--accept-licence"))
    assert "is damaged" in line
    assert not (workspace / "data/angles.json").exists()
    assert "expected one of musdb18hq, musdb18-7, sadie-d1" in refused(mssbench("data", "fetch", "musdb"))
    assert "expected http:// or https://" in refused(
        mssbench("data", "fetch", "angles", "--url", "file:///etc")
    )
    assert "expected 64 hexadecimal digits" in refused(mssbench("data", "fetch", "angles", "--sha256", "abc"))


def test_data_check_prints_a_table_or_json_and_sets_the_exit_code(mssbench: Command, workspace: Path) -> None:
    done = mssbench("data", "check", "music")
    assert done.returncode == 0, done.stderr
    assert "2 tracks, 0.1 minutes: 0 with problems, 0 with notes" in done.stdout
    damaged, whole = tracks(workspace)
    (damaged / "bass.wav").unlink()
    done = mssbench("data", "check", "music", "--json")
    assert "1 of 2 tracks cannot be used; test/" in refused(done)
    report = json.loads(done.stdout)
    assert {t["title"]: t["status"] for t in report["tracks"]} == {damaged.name: "problem", whole.name: "ok"}
    assert "bass.wav is missing" in mssbench("data", "check", "music", "--split", "test").stdout
    assert "no readable folder 'train'" in refused(mssbench("data", "check", "music", "--split", "train"))
    assert "nowhere is not a folder" in refused(mssbench("data", "check", "nowhere"))


def test_control_characters_in_a_title_are_escaped(
    mssbench: Command, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names in an archive are untrusted."""
    monkeypatch.setattr("click.utils.should_strip_ansi", lambda *_, **__: False)  # as in a terminal
    track = tracks(workspace)[0]
    (track / "bass.wav").unlink()
    track.rename(track.with_name("A\x1b[2J\x1b]0;title\x07B"))
    done = mssbench("data", "check", "music")
    assert "\x1b" not in done.stdout + done.stderr.splitlines()[-1]
    assert r"test/A\x1b[2J\x1b]0;title\x07B: bass.wav is missing" in done.stdout
    assert r"test/A\x1b[2J\x1b]0;title\x07B: bass.wav is missing" in refused(done)


def test_data_convert_refuses_a_folder_without_stem_files(mssbench: Command, workspace: Path) -> None:
    assert "music contains no {train,test}/<title>.stem.mp4" in refused(
        mssbench("data", "convert", "music", "hq")
    )
    assert not (workspace / "hq").exists()


# --- hrir ---------------------------------------------------------------------------------------------------


def test_hrir_info_describes_a_set_and_plots_it(mssbench: Command, workspace: Path) -> None:
    irs = write_sofa(workspace / "head.sofa")
    done = mssbench("hrir", "info", "head.sofa")
    assert done.returncode == 0, done.stderr
    assert "sample rate: 44100 Hz" in done.stdout
    assert "taps:        96 (2.2 ms)" in done.stdout
    assert "azimuths:    36 on the horizontal plane: every 10°" in done.stdout
    assert f"ITD at 90°:  {20 / 44100 * 1e6:.0f} µs" in done.stdout
    energy = np.sum(irs[9] ** 2, axis=1)
    assert f"ILD at 90°:  {10 * np.log10(energy[0] / energy[1]):.1f} dB" in done.stdout
    assert "front" in done.stdout
    done = mssbench("hrir", "info", "sphere", "--plot", "sphere.svg")
    assert done.stdout.endswith("sphere.svg\n")
    assert "expected .png or .svg" in refused(mssbench("hrir", "info", "sphere", "--plot", "x.pdf"))
    assert (workspace / "sphere.svg").read_text(encoding="utf-8").rstrip().endswith("</svg>")
