"""Rendering is convolution, whatever the length, and leaves either a whole folder or nothing."""

from __future__ import annotations

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
from mssbench_service.errors import BadInput, StepFailed, TooLarge
from mssbench_service.formats import RENDERING_FORMAT
from mssbench_service.musdb import MIXTURE, STEMS, check_track
from synth_service import render as module
from synth_service.hrir import load_hrir
from synth_service.render import render_track

from .conftest import ANGLES, RATE, leftovers

SPHERE = load_hrir("sphere")
FILES = (MIXTURE, *STEMS)


def direct(track: Path, hrir=SPHERE, angles=ANGLES) -> dict[str, np.ndarray]:
    """All five signals by direct convolution in float64, shape (samples, 2), unscaled."""
    signals = {}
    for stem in STEMS:
        stereo, _ = sf.read(str(track / f"{stem}.wav"), dtype="float64", always_2d=True)
        mono = stereo.mean(axis=1)
        signals[stem] = np.stack([np.convolve(mono, ear) for ear in hrir.at(angles[stem])], axis=1)
    return signals | {MIXTURE: sum(signals.values())}


def rendered(out: Path, dtype: str = "float64") -> dict[str, np.ndarray]:
    return {name: sf.read(str(out / f"{name}.wav"), dtype=dtype)[0] for name in FILES}


def test_a_rendering_is_a_track_with_its_metadata(write_track, tmp_path):
    track, out = write_track(), tmp_path / "out"
    result = render_track(track, out, SPHERE, ANGLES)
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [*(f"{name}.wav" for name in FILES), "hrir.npz", "metadata.json"]
    )
    assert check_track(out).samples == 3000 + 256 - 1
    record = json.loads((out / "metadata.json").read_text(encoding="utf-8"))
    assert record.pop("version") == RENDERING_FORMAT.version
    assert record == asdict(result)
    assert (result.title, result.profile, result.angles) == ("Artist - Title", "matched", ANGLES)
    assert (result.hrir, result.hrir_sha256) == ("sphere", SPHERE.sha256)
    assert (result.sample_rate, result.samples) == (RATE, 3255)
    assert result.hrir_resampled_from is None


# The signals


def test_the_hrir_set_is_kept_beside_what_was_rendered_with_it(write_track, tmp_path):
    result = render_track(write_track(), tmp_path / "out", SPHERE, ANGLES, "matched")
    with np.load(tmp_path / "out" / "hrir.npz", allow_pickle=False) as stored:
        assert int(stored["sample_rate"]) == result.sample_rate
        assert np.array_equal(stored["azimuths"], SPHERE.azimuths)
        assert np.array_equal(stored["irs"], SPHERE.irs)


def test_matched_is_the_direct_convolution_times_one_gain(write_track, tmp_path):
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


def test_paper_is_what_libsndfile_writes_of_the_direct_convolution(write_track, tmp_path):
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


def test_both_profiles_have_the_same_mixture(write_track, tmp_path):
    track = write_track()
    for profile in ("matched", "paper"):
        render_track(track, tmp_path / profile, SPHERE, ANGLES, profile)
    matched, paper = (rendered(tmp_path / profile)[MIXTURE] for profile in ("matched", "paper"))
    assert np.max(np.abs(matched - paper)) < 1.01 / 32768


def test_the_mixture_is_the_sum_of_the_stems(write_track, tmp_path):
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
def test_streaming_is_direct_convolution_at_every_length(tmp_path, samples, taps, seed):
    rng = np.random.default_rng(seed)
    path = tmp_path / "stem.wav"
    sf.write(str(path), rng.uniform(-1, 1, (samples, 2)), RATE, subtype="DOUBLE")
    ir = rng.standard_normal((2, taps))
    streamed = np.concatenate(list(module._convolved(path, ir)), axis=1)
    mono = sf.read(str(path))[0].mean(axis=1)
    expected = np.array([np.convolve(mono, ear) for ear in ir])
    assert streamed.shape == (2, samples + taps - 1)
    assert np.allclose(streamed, expected, rtol=0, atol=1e-11)


def test_an_hrir_longer_than_the_blocks_is_no_exception(tmp_path):
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


def test_an_impulse_comes_out_as_the_hrir_of_its_angle(write_track, tmp_path):
    impulse, silence = np.zeros((400, 2)), np.zeros((400, 2))
    impulse[100] = 0.5
    track = write_track(vocals=silence, drums=impulse, bass=silence, other=silence)
    render_track(track, tmp_path / "out", SPHERE, ANGLES | {"drums": -60.0})
    drums = rendered(tmp_path / "out")["drums"]
    expected = SPHERE.at(300).T / np.max(np.abs(SPHERE.at(300)))
    assert np.allclose(drums[100:356], expected, atol=1e-7)
    assert np.max(np.abs(drums[:100])) < 1e-12


def test_stereo_becomes_the_mean_of_both_channels(write_track, tmp_path):
    one_sided, silence = np.zeros((500, 2)), np.zeros((500, 2))
    one_sided[50, 1] = 0.8
    track = write_track(vocals=one_sided, drums=silence, bass=silence, other=silence)
    result = render_track(track, tmp_path / "out", SPHERE, ANGLES, "paper")
    assert result.mixture_gain == pytest.approx(1 / (0.4 * np.max(np.abs(SPHERE.at(0)))), rel=1e-6)


@pytest.mark.parametrize("profile", ["matched", "paper"])
def test_a_silent_track_stays_silent_at_gain_1(write_track, tmp_path, profile):
    silence = {stem: np.zeros((500, 2)) for stem in STEMS}
    result = render_track(write_track(**silence), tmp_path / "out", SPHERE, ANGLES, profile)
    assert result.mixture_gain == 1.0
    assert not any(audio.any() for audio in rendered(tmp_path / "out").values())


def test_samples_too_small_to_be_scaled_stay_as_they_are(write_track, tmp_path):
    tiny = {stem: np.full((500, 2), 1e-310) for stem in STEMS}
    track = write_track(subtype="DOUBLE", **tiny)
    assert render_track(track, tmp_path / "out", SPHERE, ANGLES).mixture_gain == 1.0
    assert np.isfinite(rendered(tmp_path / "out")[MIXTURE]).all()


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_all_number_formats_of_wav_are_read(write_track, tmp_path, subtype):
    track = write_track(subtype=subtype)
    render_track(track, tmp_path / "out", SPHERE, ANGLES)
    expected = direct(track)
    peak = np.max(np.abs(expected[MIXTURE]))
    assert np.allclose(rendered(tmp_path / "out")["bass"], expected["bass"] / peak, rtol=0, atol=2e-7)


@pytest.mark.parametrize("profile", ["matched", "paper"])
def test_the_same_rendering_is_the_same_bytes(write_track, tmp_path, profile, monkeypatch):
    track = write_track()
    render_track(track, tmp_path / "a", SPHERE, ANGLES, profile)
    header = (tmp_path / "a" / "vocals.wav").read_bytes()[:128]
    if profile == "matched":  # the chunk that would hold the time of writing
        chunk = header.index(b"PEAK")
        assert header[chunk + 8 : chunk + 16] == bytes([1, 0, 0, 0, 0, 0, 0, 0])
    render_track(track, tmp_path / "b", SPHERE, ANGLES, profile)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


# Requests


@pytest.mark.parametrize("angle", [-30.0, 330.0, 690.0, 329.8])
def test_angles_are_recorded_within_one_turn(write_track, tmp_path, angle):
    result = render_track(write_track(), tmp_path / "out", SPHERE, ANGLES | {"drums": angle})
    assert result.angles["drums"] == pytest.approx(angle % 360)
    render_track(tmp_path / "musdb" / "Artist - Title", tmp_path / "ref", SPHERE, ANGLES)
    for name in FILES:
        assert np.array_equal(rendered(tmp_path / "out")[name], rendered(tmp_path / "ref")[name])


def test_an_angle_just_below_zero_is_zero(write_track, tmp_path):
    result = render_track(write_track(), tmp_path / "out", SPHERE, ANGLES | {"vocals": -1e-20})
    assert result.angles["vocals"] == 0.0


@pytest.mark.parametrize(
    "title",
    ["Don't Stop", "Salt & Pepper", "Half Past [Live] (feat. X)", "Où va l'été", "東京 Rain", "a" * 250],
)
def test_titles_may_hold_any_character(write_track, tmp_path, title):
    result = render_track(write_track(title, samples=300), tmp_path / "out" / title, SPHERE, ANGLES)
    assert result.title == title
    record = json.loads((tmp_path / "out" / title / "metadata.json").read_text(encoding="utf-8"))
    assert record["title"] == title


def test_the_mixture_and_other_files_of_the_track_do_not_matter(write_track, tmp_path):
    track = write_track()
    (track / "mixture.wav").write_text("not even audio")
    (track / ".DS_Store").write_bytes(b"x")
    (track / "._vocals.wav").write_bytes(b"resource fork")
    render_track(track, tmp_path / "out", SPHERE, ANGLES)
    assert check_track(tmp_path / "out").samples == 3255


def test_another_rate_is_resampled_only_when_asked(write_track, tmp_path):
    track = write_track(rate=48000)
    with pytest.raises(BadInput, match="sphere is at 44100 Hz; expected 48000 Hz"):
        render_track(track, tmp_path / "out", SPHERE, ANGLES)
    assert not (tmp_path / "out").exists()
    result = render_track(track, tmp_path / "out", SPHERE, ANGLES, resample_hrir=True)
    assert (result.sample_rate, result.hrir_resampled_from) == (48000, 44100)
    assert check_track(tmp_path / "out").sample_rate == 48000


def test_a_rendering_is_replaced_by_the_next(write_track, tmp_path):
    track, out = write_track(), tmp_path / "out"
    render_track(track, out, SPHERE, ANGLES, "paper")
    (out / ".DS_Store").write_text("left by a file manager")
    render_track(track, out, SPHERE, ANGLES, "matched")
    assert sf.info(str(out / "vocals.wav")).subtype == "FLOAT"


@pytest.mark.parametrize("spoil", ["a file beside", "a folder beside", "another's record", "no record"])
def test_what_is_not_wholly_a_rendering_is_not_replaced(write_track, tmp_path, spoil):
    track, out = write_track(), tmp_path / "out"
    render_track(track, out, SPHERE, ANGLES)
    record = out / "metadata.json"
    if spoil == "a file beside":
        (out / "diary.txt").write_text("mine")
    elif spoil == "a folder beside":
        (out / "takes").mkdir()
    elif spoil == "another's record":
        record.write_text('{"mine": 1}')
    else:
        record.unlink()
    before = {path.name: path.is_file() and path.read_bytes() for path in out.iterdir()}
    with pytest.raises(BadInput, match="something that is not a rendering"):
        render_track(track, out, SPHERE, ANGLES, "paper")
    assert {path.name: path.is_file() and path.read_bytes() for path in out.iterdir()} == before


# What is refused leaves nothing behind


def refused(tmp_path: Path, track: Path, angles=ANGLES, profile="matched", kind=BadInput, **more) -> str:
    out = tmp_path / "rendered" / "track"
    with pytest.raises(kind) as caught:
        render_track(track, out, SPHERE, angles, profile, **more)
    assert not out.exists()
    assert leftovers(tmp_path) == []
    assert "\n" not in caught.value.detail
    return caught.value.detail


def test_an_unknown_profile_is_refused(write_track, tmp_path):
    assert "'loud'; expected one of matched, paper" in refused(tmp_path, write_track(), profile="loud")


@pytest.mark.parametrize(
    "angles", [{}, {"vocals": 0.0}, ANGLES | {"guitar": 0.0}, {**ANGLES, "mixture": 0.0}]
)
def test_angles_must_be_for_exactly_the_stems(write_track, tmp_path, angles):
    assert "expected exactly vocals, drums, bass, other" in refused(tmp_path, write_track(), angles)


@pytest.mark.parametrize("angle", [float("nan"), float("inf"), -float("inf")])
def test_angles_must_be_finite(write_track, tmp_path, angle):
    assert "the angle of bass is" in refused(tmp_path, write_track(), ANGLES | {"bass": angle})


def test_an_angle_the_set_has_not_is_refused(write_track, tmp_path):
    line = refused(tmp_path, write_track(), ANGLES | {"other": 12.0})
    assert line == "sphere has no HRIR at azimuth 12°; the nearest is at 10°"


def test_a_missing_stem_is_named(write_track, tmp_path):
    track = write_track()
    (track / "bass.wav").unlink()
    assert "bass.wav is missing" in refused(tmp_path, track)


@pytest.mark.parametrize(
    ("audio", "rate", "complaint"),
    [
        (np.zeros((2999, 2)), RATE, "drums.wav has 2999 samples; expected 3000 as vocals.wav"),
        (np.zeros((3000, 2)), 48000, "drums.wav is at 48000 Hz; expected 44100 Hz as vocals.wav"),
        (np.zeros(3000), RATE, "drums.wav has 1 channel(s); expected 2"),
        (np.zeros((0, 2)), RATE, "drums.wav holds no samples"),
    ],
)
def test_a_stem_unlike_the_others_is_named(write_track, tmp_path, audio, rate, complaint):
    track = write_track()
    sf.write(str(track / "drums.wav"), audio, rate)
    assert complaint in refused(tmp_path, track)


def test_a_text_file_named_wav_is_named(write_track, tmp_path):
    track = write_track()
    (track / "other.wav").write_text("this is a text")
    assert "other.wav cannot be read as audio" in refused(tmp_path, track)


def test_samples_that_are_not_finite_are_refused_however_late_they_come(write_track, tmp_path):
    audio = np.zeros((40000, 2))
    audio[39990, 1] = np.nan
    track = write_track(samples=40000, bass=audio)
    assert "bass.wav holds samples that are NaN or infinite" in refused(tmp_path, track)


def test_a_track_that_is_too_long_is_refused_before_it_is_read(write_track, tmp_path):
    assert "lasts 1 s; at most 0 s" in refused(
        tmp_path, write_track(samples=44100), kind=TooLarge, max_seconds=0.4
    )


def test_the_track_itself_is_never_overwritten(write_track, tmp_path):
    track = write_track()
    for out in (track, track.parent, tmp_path):
        with pytest.raises(BadInput, match=r"holds the track .* itself"):
            render_track(track, out, SPHERE, ANGLES)
    assert check_track(track, STEMS).samples == 3000


def test_a_folder_of_something_else_is_never_overwritten(write_track, tmp_path):
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter1.txt").write_text("precious")
    with pytest.raises(BadInput, match="thesis holds something that is not a rendering"):
        render_track(write_track(), other, SPHERE, ANGLES)
    assert (other / "chapter1.txt").read_text() == "precious"
    with pytest.raises(BadInput, match="is a file; expected an output folder"):
        render_track(tmp_path / "musdb" / "Artist - Title", other / "chapter1.txt", SPHERE, ANGLES)


def test_a_failure_while_writing_keeps_the_rendering_before(write_track, tmp_path, monkeypatch):
    track, out = write_track(), tmp_path / "out"
    render_track(track, out, SPHERE, ANGLES)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "clear_peak_timestamp", full)
    with pytest.raises(StepFailed, match="No space left on device"):
        render_track(track, out, SPHERE, ANGLES, "paper")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert leftovers(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(write_track, tmp_path):
    track = write_track()
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    with pytest.raises(BadInput, match=r"cannot write in the folder .*locked"):
        render_track(track, locked / "out", SPHERE, ANGLES)


def test_an_output_below_a_file_is_refused(write_track, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInput, match="cannot create the folder"):
        render_track(write_track(), tmp_path / "file" / "out", SPHERE, ANGLES)


# Memory

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


def test_a_track_of_ten_minutes_fits_in_400_mb(tmp_path):
    samples = 600 * RATE
    track = tmp_path / "musdb" / "Long"
    track.mkdir(parents=True)
    second = np.random.default_rng(0).integers(-9000, 9000, (RATE, 2)).astype(np.int16)
    with sf.SoundFile(str(track / "vocals.wav"), "w", RATE, 2, "PCM_16") as file:
        for _ in range(600):
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
