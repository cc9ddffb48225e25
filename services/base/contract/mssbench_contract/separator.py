"""The contract of a separator, as one suite of tests.

In a service's own tests::

    from mssbench_contract import SeparatorContract

    class TestContract(SeparatorContract):
        app = "template_service.app:app"

runs all of it against a real server: ``uvicorn`` in a process of its own, over HTTP. Class attributes name the
separator, and make the tests cheaper for a model that is slow on a CPU.

The suite tests what depends on the separator. What the shared application promises (uploads, problem documents,
limits, the queue) is tested once, in ``services/base/tests``.

After every test the service must be idle and alive, without temporary files. It must never have used the network,
neither to load nor to separate.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile as sf
from mssbench_service.audio import FloatArray
from mssbench_service.stems import check_stem_names

from .service import PLACES, ServiceUnderTest, service_under_test
from .signals import decode, encode, music


class SeparatorContract:
    """Subclass it, name the :attr:`app`, and pytest runs the suite.

    Attributes
    ----------
    app : str
        The service as uvicorn takes it, ``module:attribute``.
    separator : str
        Which of its separators; empty for its default.
    environment : mapping
        What the service needs in its environment, for example where weights are.
    seconds : float
        Length of the track in most tests.
    silence_seconds : float
        Length of the silent track by which memory is measured.
    memory_mib : int
        Largest resident set of the process until then.
    start_seconds : float
        Time that the service may take to load.
    adds_up : float or None
        Largest difference between the mixture and the sum of the stems, relative to the mixture's peak; None
        if the stems need not add up to it.
    """

    app: ClassVar[str] = ""
    separator: ClassVar[str] = ""
    environment: ClassVar[Mapping[str, str]] = {}
    seconds: ClassVar[float] = 2.0
    silence_seconds: ClassVar[float] = 60.0
    memory_mib: ClassVar[int] = 2048
    start_seconds: ClassVar[float] = 600.0
    adds_up: ClassVar[float | None] = None

    @pytest.fixture(scope="class")
    @classmethod
    def service(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceUnderTest]:
        """The running service; one for all tests of the class, since loading a model may take long."""
        with service_under_test(
            cls.app,
            tmp_path_factory.mktemp("contract"),
            separator=cls.separator,
            environment=cls.environment,
            max_seconds=cls.silence_seconds + 1,
            start_seconds=cls.start_seconds,
        ) as service:
            yield service

    @pytest.fixture(autouse=True)
    def _check_clean(self, service: ServiceUnderTest) -> Iterator[None]:
        yield
        service.check_clean()

    @pytest.fixture
    def track(self) -> FloatArray:
        """A stereo track of :attr:`seconds` at 44.1 kHz."""
        return music(self.seconds)

    # -- health and info -------------------------------------------------------------------------------------

    def test_health_is_ready(self, service: ServiceUnderTest) -> None:
        answer = service.get("/health")
        assert answer.status == 200, answer.body
        assert answer.json() == {"status": "ready", "in_flight": 0}

    def test_info_describes_the_service_and_its_separators(self, service: ServiceUnderTest) -> None:
        info = service.get("/info").json()
        assert info["service"]
        assert info["version"] == _version(self.app.partition(".")[0])
        assert info["device"]
        separators = {item["name"]: item for item in info["separators"]}
        assert not self.separator or self.separator in separators
        for item in separators.values():
            assert item["description"]
            assert isinstance(item["needs_references"], bool)
            assert all(expected["column"] for expected in item["expected"])
            check_stem_names(item["stems"], item["name"])
        assert info["stems"] == info["separators"][0]["stems"] or not info["separators"][0]["stems"]

    # -- the stems -------------------------------------------------------------------------------------------

    def test_the_declared_stems_of_the_mixtures_shape_are_returned(
        self, service: ServiceUnderTest, track: FloatArray
    ) -> None:
        answer = service.separate(track)
        assert answer.status == 200, answer.body
        assert answer.headers["content-type"] == "application/zip"
        files = {name: content for name, content in answer.files().items() if name.endswith(".wav")}
        assert sorted(files) == sorted(f"{stem}.wav" for stem in service.declared)
        for content in files.values():
            info = sf.info(io.BytesIO(content))
            assert (info.samplerate, info.channels, info.frames) == (44100, 2, track.shape[1])
            assert (info.format, info.subtype) == ("WAV", "FLOAT")
            assert np.isfinite(decode(content)).all()

    def test_a_separator_of_any_stem_set_estimates_the_stems_that_it_is_asked_for(
        self, service: ServiceUnderTest, track: FloatArray
    ) -> None:
        if service.info["stems"]:
            return  # it has a set of its own
        for stems in (["vocals", "accompaniment"], ["bass", "drums", "guitar", "other", "piano", "vocals"]):
            asked = dataclasses.replace(service, any_stems=stems)
            out = service.data / f"stems_{len(stems)}"
            answer = asked.by_reference(track, out)
            assert answer.status == 200, answer.body
            assert sorted(answer.json()["stems"]) == sorted(stems)
            assert sorted(path.stem for path in out.glob("*.wav")) == sorted(stems)

    def test_the_same_file_gives_the_same_bytes_after_other_files(
        self, service: ServiceUnderTest, track: FloatArray
    ) -> None:
        other = music(self.seconds * 0.7, seed=1)
        first, between, again = service.stems(track), service.stems(other), service.stems(track)
        assert first == again
        assert first != between
        assert service.stems(other) == between

    @pytest.mark.parametrize("rate", [8000, 22050, 48000, 96000])
    def test_other_sample_rates_keep_rate_and_length(self, service: ServiceUnderTest, rate: int) -> None:
        track = music(self.seconds, rate)[:, :-3]
        for content in service.stems(track, rate).values():
            info = sf.info(io.BytesIO(content))
            assert (info.samplerate, info.channels, info.frames) == (rate, 2, track.shape[1])
            assert np.isfinite(decode(content)).all()

    @pytest.mark.parametrize("samples", [1, 2, 441, 1023, 44101])
    def test_any_length_is_kept(self, service: ServiceUnderTest, samples: int) -> None:
        _check_finite(service, music(2)[:, 5000 : 5000 + samples])

    @pytest.mark.parametrize("level", [0.0, 0.5, -1.0, 1e-30])
    def test_a_constant_is_separated_into_finite_stems(self, service: ServiceUnderTest, level: float) -> None:
        _check_finite(service, np.full((2, 30_000), level, np.float32))

    def test_a_silent_channel_and_opposite_polarity_give_finite_stems(
        self, service: ServiceUnderTest, track: FloatArray
    ) -> None:
        for right in (np.zeros_like(track[0]), -track[0]):
            _check_finite(service, np.stack([track[0], right]))

    def test_input_beyond_full_scale_is_not_clipped(
        self, service: ServiceUnderTest, track: FloatArray
    ) -> None:
        loud = track * np.float32(8 / np.abs(track).max())
        stems = {stem: decode(content) for stem, content in service.stems(loud).items()}
        for stem, estimate in stems.items():
            assert np.isfinite(estimate).all()
            assert np.abs(estimate).max() != 1.0, f"{stem} is clipped at full scale"
        if self.adds_up is not None:
            _check_sum(stems, loud, self.adds_up)

    def test_the_stems_add_up_to_the_mixture_where_promised(
        self, service: ServiceUnderTest, track: FloatArray
    ) -> None:
        if self.adds_up is None:
            return  # not promised
        for level in (1.0, 1e-3):
            scaled = track * np.float32(level)
            stems = {stem: decode(content) for stem, content in service.stems(scaled).items()}
            _check_sum(stems, scaled, self.adds_up)

    def test_long_silence_is_separated_in_bounded_memory(self, service: ServiceUnderTest) -> None:
        silence = np.zeros((2, int(self.silence_seconds * 44100)), np.float32)
        out = service.data / "silence"
        samples = silence.shape[1]
        answer = service.by_reference(silence, out, encode=lambda audio, rate: encode(audio, rate, "FLAC"))
        del silence
        assert answer.status == 200, answer.body
        for stem in service.declared:
            info = sf.info(str(out / f"{stem}.wav"))
            assert (info.samplerate, info.channels, info.frames) == (44100, 2, samples)
            (out / f"{stem}.wav").unlink()  # large; pytest keeps temporary folders for a while
        peak = service.peak_memory() / 2**20
        assert peak < self.memory_mib, f"{peak:.0f} MiB for {self.silence_seconds:g} s"

    # -- load and cancellation -------------------------------------------------------------------------------

    def test_each_of_several_requests_at_once_gets_its_own_stems(self, service: ServiceUnderTest) -> None:
        tracks = [music(0.5 + 0.1 * index, seed=index) for index in range(PLACES)]
        alone = [service.stems(track) for track in tracks]
        with ThreadPoolExecutor(PLACES) as pool:
            answers = list(pool.map(service.separate, tracks))
        assert [service.stems_of(answer) for answer in answers] == alone

    def test_a_client_that_disconnects_during_a_job_does_not_affect_the_next(
        self, service: ServiceUnderTest, track: FloatArray
    ) -> None:
        before = service.stems(track)
        content_type, body = service.form(track)
        for _ in range(PLACES - 1):  # one place is left for the next
            with service.connect() as connection:
                connection.request("POST", service.path(), body, {"Content-Type": content_type})
        assert service.stems(track) == before


def _version(package: str) -> str:
    """``__version__`` of a package, which is not imported: that may take long."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    found = re.search(r'^__version__ = "(.+)"$', Path(spec.origin).read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, f"{package} has no __version__"
    return found[1]


def _check_finite(service: ServiceUnderTest, track: FloatArray) -> None:
    for content in service.stems(track).values():
        decoded = decode(content)
        assert decoded.shape == track.shape
        assert np.isfinite(decoded).all()


def _check_sum(stems: Mapping[str, FloatArray], mixture: FloatArray, tolerance: float) -> None:
    total = np.sum(list(stems.values()), axis=0, dtype=np.float64)
    worst = float(np.abs(total - mixture).max() / np.abs(mixture).max())
    assert worst <= tolerance, f"the stems differ from the mixture by {worst:g} of its peak"
