"""Rendering is convolution at every length, with the gain of its profile, in bounded memory."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mssbench_service.checksums import checksum_of
from mssbench_service.formats import RENDERING_FORMAT
from mssbench_service.musdb import MIXTURE, STEMS, check_track
from synth_service import render as module
from synth_service.hrir import HrirSet
from synth_service.render import render_track

from .conftest import ANGLES, RATE, SPHERE, Float64Array, Write

FILES = (MIXTURE, *STEMS)


def direct(track: Path, hrir: HrirSet = SPHERE, angles: dict[str, float] = ANGLES) -> dict[str, Float64Array]:
    """All five signals by direct convolution in float64, shape (samples, 2), unscaled."""
    signals = {}
    for stem in STEMS:
        stereo, _ = sf.read(str(track / f"{stem}.wav"), dtype="float64", always_2d=True)
        mono = stereo.mean(axis=1)
        signals[stem] = np.stack([np.convolve(mono, ear) for ear in hrir.at(angles[stem])], axis=1)
    return signals | {MIXTURE: np.sum(list(signals.values()), axis=0)}


def rendered(out: Path, dtype: str = "float64") -> dict[str, Float64Array]:
    return {name: sf.read(str(out / f"{name}.wav"), dtype=dtype)[0] for name in FILES}


def test_a_rendering_is_a_track_folder_with_metadata(write_track: Write, tmp_path: Path) -> None:
    track, out = write_track(), tmp_path / "out"
    result = render_track(track, out, SPHERE, ANGLES)
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [*(f"{name}.wav" for name in FILES), "hrir.npz", "metadata.json"]
    )
    assert check_track(out).samples == 3000 + 256 - 1
    record = json.loads((out / "metadata.json").read_text(encoding="utf-8"))
    assert RENDERING_FORMAT.is_intact(record)
    assert (record.pop("version"), len(record.pop("checksum"))) == (RENDERING_FORMAT.version, 16)
    assert record == asdict(result)
    assert result.checksums == {
        name: checksum_of(out / name) for name in ("hrir.npz", *(f"{name}.wav" for name in FILES))
    }
    assert (result.title, result.profile, result.angles) == ("Artist - Title", "matched", ANGLES)
    assert (result.hrir, result.hrir_sha256) == ("sphere", SPHERE.sha256)
    assert (result.sample_rate, result.samples) == (RATE, 3255)
    assert result.hrir_resampled_from is None


def test_the_hrir_set_is_stored_beside_the_rendering(write_track: Write, tmp_path: Path) -> None:
    result = render_track(write_track(), tmp_path / "out", SPHERE, ANGLES, "matched")
    with np.load(tmp_path / "out" / "hrir.npz", allow_pickle=False) as stored:
        assert int(stored["sample_rate"]) == result.sample_rate
        assert np.array_equal(stored["azimuths"], SPHERE.azimuths)
        assert np.array_equal(stored["irs"], SPHERE.irs)


def test_matched_is_the_direct_convolution_times_one_gain(write_track: Write, tmp_path: Path) -> None:
    track, out = write_track(), tmp_path / "out"
    result = render_track(track, out, SPHERE, ANGLES, "matched")
    expected = direct(track)
    gain = 1 / np.max(np.abs(expected[MIXTURE]))
    for name, audio in rendered(out).items():
        assert sf.info(str(out / f"{name}.wav")).subtype == "FLOAT"
        assert np.allclose(audio, gain * expected[name], rtol=0, atol=2e-7)
    assert np.max(np.abs(rendered(out)[MIXTURE])) == 1.0
    # The written stems already are at their level in the written mixture.
    assert result.mixture_gain == 1.0
    assert result.clipped_samples == dict.fromkeys(FILES, 0)


def test_paper_is_the_direct_convolution_as_libsndfile_writes_it(write_track: Write, tmp_path: Path) -> None:
    track, out = write_track(), tmp_path / "out"
    result = render_track(track, out, SPHERE, ANGLES, "paper")
    expected = direct(track)
    peak = np.max(np.abs(expected[MIXTURE]))
    assert result.mixture_gain == pytest.approx(1 / peak, rel=1e-12)
    written = rendered(out, "int16")
    for name in FILES:
        assert sf.info(str(out / f"{name}.wav")).subtype == "PCM_16"
        reference = tmp_path / "reference.wav"
        sf.write(str(reference), expected[name] / (peak if name == MIXTURE else 1), RATE, subtype="PCM_16")
        of_reference, _ = sf.read(str(reference), dtype="int16")
        assert np.max(np.abs(written[name].astype(int) - of_reference)) <= 1
        beyond = 0 if name == MIXTURE else np.count_nonzero(np.abs(expected[name]) > 1)
        assert result.clipped_samples[name] == beyond
    # This noise does clip at the near ear, and clips rather than wraps around.
    assert result.clipped_samples["bass"] > 0
    loud = expected["bass"] > 1
    assert (written["bass"][loud] == 32767).all()


def test_both_profiles_have_the_same_mixture(write_track: Write, tmp_path: Path) -> None:
    track = write_track()
    for profile in ("matched", "paper"):
        render_track(track, tmp_path / profile, SPHERE, ANGLES, profile)
    matched, paper = (rendered(tmp_path / profile)[MIXTURE] for profile in ("matched", "paper"))
    assert np.max(np.abs(matched - paper)) < 1.01 / 32768


def test_the_mixture_is_the_sum_of_the_stems(write_track: Write, tmp_path: Path) -> None:
    track = write_track()
    render_track(track, tmp_path / "out", SPHERE, ANGLES)
    signals = rendered(tmp_path / "out")
    assert np.allclose(sum(signals[stem] for stem in STEMS), signals[MIXTURE], rtol=0, atol=5e-7)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    samples=st.sampled_from([1, 2, 255, 256, 257, 16128, 16129, 16130, 16384, 32258, 40000]),
    taps=st.sampled_from([1, 2, 64, 256]),
    seed=st.integers(0, 2**31),
)
def test_streaming_is_direct_convolution_at_every_length(
    tmp_path: Path, samples: int, taps: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    path = tmp_path / "stem.wav"
    sf.write(str(path), rng.uniform(-1, 1, (samples, 2)), RATE, subtype="DOUBLE")
    ir = rng.standard_normal((2, taps))
    streamed = np.concatenate(list(module._convolved(path, ir)), axis=1)
    mono = sf.read(str(path))[0].mean(axis=1)
    expected = np.array([np.convolve(mono, ear) for ear in ir])
    assert streamed.shape == (2, samples + taps - 1)
    assert np.allclose(streamed, expected, rtol=0, atol=1e-11)


def test_an_hrir_longer_than_a_block_is_supported(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    path = tmp_path / "stem.wav"
    sf.write(str(path), rng.uniform(-1, 1, (50000, 2)), RATE, subtype="DOUBLE")
    ir = rng.standard_normal((2, 20000)) * np.exp(-np.arange(20000) / 3000)
    streamed = np.concatenate(list(module._convolved(path, ir)), axis=1)
    mono = sf.read(str(path))[0].mean(axis=1)
    n = streamed.shape[1]
    assert n == 69999
    spectra = np.fft.rfft(ir, 2**17) * np.fft.rfft(mono, 2**17)
    assert np.allclose(streamed, np.fft.irfft(spectra)[:, :n], rtol=0, atol=1e-9)


def test_an_impulse_is_rendered_as_the_hrir_of_its_angle(write_track: Write, tmp_path: Path) -> None:
    impulse, silence = np.zeros((400, 2)), np.zeros((400, 2))
    impulse[100] = 0.5
    track = write_track(vocals=silence, drums=impulse, bass=silence, other=silence)
    render_track(track, tmp_path / "out", SPHERE, ANGLES | {"drums": -60.0})
    drums = rendered(tmp_path / "out")["drums"]
    expected = SPHERE.at(300).T / np.max(np.abs(SPHERE.at(300)))
    assert np.allclose(drums[100:356], expected, atol=1e-7)
    assert np.max(np.abs(drums[:100])) < 1e-12


def test_stereo_becomes_the_mean_of_both_channels(write_track: Write, tmp_path: Path) -> None:
    one_sided, silence = np.zeros((500, 2)), np.zeros((500, 2))
    one_sided[50, 1] = 0.8
    track = write_track(vocals=one_sided, drums=silence, bass=silence, other=silence)
    result = render_track(track, tmp_path / "out", SPHERE, ANGLES, "paper")
    assert result.mixture_gain == pytest.approx(1 / (0.4 * np.max(np.abs(SPHERE.at(0)))), rel=1e-6)


@pytest.mark.parametrize("profile", ["matched", "paper"])
def test_a_silent_track_stays_silent_with_gain_1(write_track: Write, tmp_path: Path, profile: str) -> None:
    silence = {stem: np.zeros((500, 2)) for stem in STEMS}
    result = render_track(write_track(**silence), tmp_path / "out", SPHERE, ANGLES, profile)
    assert result.mixture_gain == 1.0
    assert not any(audio.any() for audio in rendered(tmp_path / "out").values())


def test_samples_too_small_to_be_scaled_are_not_changed(write_track: Write, tmp_path: Path) -> None:
    tiny = {stem: np.full((500, 2), 1e-310) for stem in STEMS}
    track = write_track(subtype="DOUBLE", **tiny)
    assert render_track(track, tmp_path / "out", SPHERE, ANGLES).mixture_gain == 1.0
    assert np.isfinite(rendered(tmp_path / "out")[MIXTURE]).all()


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_all_number_formats_of_wav_are_read(write_track: Write, tmp_path: Path, subtype: str) -> None:
    track = write_track(subtype=subtype)
    render_track(track, tmp_path / "out", SPHERE, ANGLES)
    expected = direct(track)
    peak = np.max(np.abs(expected[MIXTURE]))
    assert np.allclose(rendered(tmp_path / "out")["bass"], expected["bass"] / peak, rtol=0, atol=2e-7)


@pytest.mark.parametrize("profile", ["matched", "paper"])
def test_two_renderings_of_one_track_have_the_same_bytes(
    write_track: Write, tmp_path: Path, profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = write_track()
    render_track(track, tmp_path / "a", SPHERE, ANGLES, profile)
    header = (tmp_path / "a" / "vocals.wav").read_bytes()[:128]
    if profile == "matched":  # the chunk that would hold the time of writing
        chunk = header.index(b"PEAK")
        assert header[chunk + 8 : chunk + 16] == bytes([1, 0, 0, 0, 0, 0, 0, 0])
    render_track(track, tmp_path / "b", SPHERE, ANGLES, profile)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


@pytest.mark.parametrize("profile", ["matched", "paper"])
def test_without_room_for_a_temporary_file_the_rendering_has_the_same_bytes(
    write_track: Write, tmp_path: Path, profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = write_track()
    render_track(track, tmp_path / "a", SPHERE, ANGLES, profile)

    def no_file(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    def no_writing(**_: object) -> io.FileIO:
        return io.FileIO(os.devnull)

    for number, temporary in enumerate((no_file, no_writing)):
        monkeypatch.setattr("synth_service.blocks.tempfile.TemporaryFile", temporary)
        out = tmp_path / f"b{number}"
        render_track(track, out, SPHERE, ANGLES, profile)
        for path in (tmp_path / "a").iterdir():
            assert path.read_bytes() == (out / path.name).read_bytes()


_RENDER = """
import sys
from pathlib import Path
from synth_service.hrir import load_hrir
from synth_service.render import render_track
track, out = map(Path, sys.argv[1:])
angles = {"vocals": 0, "drums": 30, "bass": 60, "other": 90}
result = render_track(track, out, load_hrir("sphere"), angles, "paper")
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
# Not ru_maxrss: that counts what the process that started this one had in memory.
print(result.samples, int(status["VmHWM"].split()[0]))
"""


@pytest.mark.parametrize("seconds", [120, pytest.param(600, marks=pytest.mark.long)])
def test_a_long_track_is_rendered_in_400_mb(tmp_path: Path, seconds: int) -> None:
    """In double precision, the five signals of two minutes already need 423 MB."""
    samples = seconds * RATE
    track = tmp_path / "musdb" / "Long"
    track.mkdir(parents=True)
    second = np.random.default_rng(0).integers(-9000, 9000, (RATE, 2)).astype(np.int16)
    with sf.SoundFile(str(track / "vocals.wav"), "w", RATE, 2, "PCM_16") as file:
        for _ in range(seconds):
            file.write(second)
    for stem in STEMS[1:]:  # one file under four names: the disk need not hold it four times
        os.link(track / "vocals.wav", track / f"{stem}.wav")
    command = [sys.executable, "-c", _RENDER, str(track), str(tmp_path / "out")]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    finally:
        shutil.rmtree(tmp_path / "out", ignore_errors=True)  # pytest would keep these 600 MB for three runs
        shutil.rmtree(track)
    rendered_samples, peak = map(int, answer.stdout.split())
    kilobytes = peak if sys.platform != "darwin" else peak // 1024
    assert rendered_samples == samples + 255
    assert kilobytes < 400 * 1024
