"""The contract that every separator service keeps, as one suite of tests.

In a service's own tests::

    from mssbench_service.contract import SeparatorContract

    class TestContract(SeparatorContract):
        app = "template_service.app:app"

runs all of it against a real server: ``uvicorn`` in a process of its own, spoken to over HTTP. Class
attributes name the separator and make the expensive tests lighter for a model that is slow on a CPU. Beside
what every service has, only pytest is needed (``mssbench-service[contract]``), so that the suite runs in each
service's own environment.

After every test, whatever it asked for, the service must be idle and alive, with no file left behind; and
it must not once have asked for the network, neither to load nor to separate.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib
import io
import json
import os
import secrets
import socket
import sys
import time
import urllib.parse
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import pytest
import soundfile as sf

from .audio import FloatArray
from .errors import PROBLEM_TYPE
from .formats import SEPARATION_FORMAT
from .musdb import MIXTURE, STEMS
from .testing import Answer, RunningService, music, running, wav

_APP, _HOLD = "MSSBENCH_CONTRACT_APP", "MSSBENCH_CONTRACT_HOLD"
_NETWORK = "MSSBENCH_CONTRACT_NETWORK"
_MAX_MIB = 24
_QUEUE = 2
_PLACES = 1 + _QUEUE


class SeparatorContract:
    """Subclass it, name the :attr:`app`, and pytest runs the suite.

    Attributes
    ----------
    app : str
        The service as uvicorn takes it, ``module:attribute``.
    separator : str
        Which of its separators; empty for its default.
    environment : mapping
        What the service needs in its environment, for example where weights lie.
    seconds : float
        Length of the track in most tests.
    silence_seconds : float
        Length of the silent track by which memory is measured.
    memory_mib : int
        Most memory that the process may have held by then.
    start_seconds : float
        Time it may take to load.
    adds_up : float or None
        Largest difference between the mixture and the sum of the stems, relative to the mixture's peak; None
        if the stems need not add up to it.
    """

    app: ClassVar[str] = ""
    separator: ClassVar[str] = ""
    environment: ClassVar[Mapping[str, str]] = {}
    seconds: ClassVar[float] = 2.0
    silence_seconds: ClassVar[float] = 600.0
    memory_mib: ClassVar[int] = 3072
    start_seconds: ClassVar[float] = 600.0
    adds_up: ClassVar[float | None] = None

    # -- the server ------------------------------------------------------------------------------------------

    @pytest.fixture(scope="class")
    @classmethod
    def service(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
        """The running service; one for all tests of the class, since loading a model may take long."""
        folder = tmp_path_factory.mktemp("contract")
        data, temporary, hold = folder / "data", folder / "tmp", folder / "hold"
        network = folder / "network"
        data.mkdir()
        temporary.mkdir()
        environment = {
            **cls.environment,
            _APP: cls.app,
            _HOLD: str(hold),
            _NETWORK: str(network),
            "MSSBENCH_DATA_ROOT": str(data),
            "MSSBENCH_MAX_UPLOAD_MB": str(_MAX_MIB),
            "MSSBENCH_MAX_SECONDS": str(cls.silence_seconds + 1),
            "MSSBENCH_CONCURRENCY": "1",
            "MSSBENCH_QUEUE": str(_QUEUE),
            "TMPDIR": str(temporary),
        }
        with running(f"{__name__}:held", environment, seconds=cls.start_seconds) as process:
            yield Service(process, cls.separator, data, temporary, hold, network)

    @pytest.fixture(autouse=True)
    def _nothing_is_left_behind(self, service: Service) -> Iterator[None]:
        yield
        service.hold.unlink(missing_ok=True)
        service.wait_until_idle()
        assert not service.left_behind()
        assert not service.network.exists(), f"it asked for the network: {service.network.read_text()}"

    @pytest.fixture
    def track(self) -> FloatArray:
        """A stereo track of :attr:`seconds` at 44.1 kHz."""
        return music(self.seconds)

    # -- what it says of itself ------------------------------------------------------------------------------

    def test_health_is_ready(self, service: Service) -> None:
        answer = service.get("/health")
        assert answer.status == 200, answer.body
        assert answer.json() == {"status": "ready", "in_flight": 0}

    def test_info_names_separators_stems_and_device(self, service: Service) -> None:
        info = service.get("/info").json()
        assert info["service"]
        assert info["version"]
        assert info["device"]
        assert sorted(info["stems"]) == sorted(STEMS)
        separators = {item["name"]: item for item in info["separators"]}
        assert not self.separator or self.separator in separators
        for item in separators.values():
            assert item["description"]
            assert isinstance(item["needs_references"], bool)
            assert all(expected["column"] for expected in item["expected"])

    # -- what it makes of music ------------------------------------------------------------------------------

    def test_an_upload_is_answered_with_four_stems(self, service: Service, track: FloatArray) -> None:
        answer = service.separate(track)
        assert answer.status == 200, answer.body
        assert answer.headers["content-type"] == "application/zip"
        files = service.unzip(answer)
        assert sorted(files) == sorted(f"{stem}.wav" for stem in STEMS)
        for content in files.values():
            info = sf.info(io.BytesIO(content))
            assert (info.samplerate, info.channels, info.frames) == (44100, 2, track.shape[1])
            assert (info.format, info.subtype) == ("WAV", "FLOAT")
            assert np.isfinite(_decode(content)).all()

    @pytest.mark.parametrize("stem", STEMS)
    def test_one_stem_is_the_one_in_the_zip(self, service: Service, track: FloatArray, stem: str) -> None:
        one = service.separate(track, stem=stem)
        assert one.status == 200, one.body
        assert one.headers["content-type"] in ("audio/wav", "audio/x-wav")
        assert one.body == service.stems(track)[stem]

    def test_the_same_file_gives_the_same_bytes_whatever_came_between(
        self, service: Service, track: FloatArray
    ) -> None:
        other = music(self.seconds * 0.7, seed=1)
        first, between, again = service.stems(track), service.stems(other), service.stems(track)
        assert first == again
        assert first != between
        assert service.stems(other) == between

    def test_json_by_reference_gives_what_an_upload_gives(self, service: Service, track: FloatArray) -> None:
        out = service.data / "outs" / "Ünder & over (it's 1) [x]"
        answer = service.by_reference(track, out)
        assert answer.status == 200, answer.body
        result = answer.json()
        assert sorted(result["stems"]) == sorted(STEMS)
        assert (result["sample_rate"], result["samples"]) == (44100, track.shape[1])
        assert result["device"]
        assert result["seconds"] >= 0
        record = json.loads((out / "separation.json").read_text(encoding="utf-8"))
        assert record.pop("version") == SEPARATION_FORMAT.version
        assert record == result
        written = {stem: (out / f"{stem}.wav").read_bytes() for stem in STEMS}
        assert written == service.stems(track)
        assert service.by_reference(track, out).status == 200, "a finished separation can be made again"

    def test_what_the_url_asks_of_a_request_by_reference_is_not_lost(
        self, service: Service, track: FloatArray
    ) -> None:
        names = [item["name"] for item in service.get("/info").json()["separators"]]
        body = service.reference_request(track, service.data / "by_url") | {"separator": ""}
        for url, says in (
            ("/separate?stem=vocals", "?stem="),
            ("/separate?separator=no-such-one", "no-such-one"),
        ):
            service.problem(service.post(url, json.dumps(body).encode(), "application/json"), 422, says)
        both = json.dumps(body | {"separator": names[0]}).encode()
        problem = service.problem(service.post("/separate?separator=x", both, "application/json"), 422, "'x'")
        assert names[0] in problem["detail"]
        assert not (service.data / "by_url").exists()
        answer = service.post(service.path(), json.dumps(body).encode(), "application/json")
        assert answer.json()["separator"] == (self.separator or names[0])

    def test_mono_is_the_same_as_its_channel_twice(self, service: Service, track: FloatArray) -> None:
        mono = track[:1]
        assert service.stems(mono) == service.stems(np.repeat(mono, 2, axis=0))
        notes = service.by_reference(mono, service.data / "mono").json()["notes"]
        assert any("mono" in note for note in notes)

    @pytest.mark.parametrize("rate", [8000, 22050, 48000, 96000])
    def test_other_sample_rates_keep_rate_and_length(self, service: Service, rate: int) -> None:
        track = music(self.seconds, rate)[:, :-3]
        for content in service.stems(track, rate).values():
            info = sf.info(io.BytesIO(content))
            assert (info.samplerate, info.channels, info.frames) == (rate, 2, track.shape[1])
            assert np.isfinite(_decode(content)).all()

    @pytest.mark.parametrize("container", [("FLAC", "PCM_16"), ("WAV", "PCM_16"), ("WAV", "PCM_24")])
    def test_integer_files_are_read_as_full_scale_1(
        self, service: Service, track: FloatArray, container: tuple[str, str]
    ) -> None:
        plain, coded = {}, {}
        for name, audio in service.signals(track).items():
            # Steps of 16 bit, which float and 24 bit hold exactly. As integers, so that no zero is negative.
            steps = np.round(audio * 2**15).clip(-(2**15), 2**15 - 1).astype(np.int32)
            plain[name] = wav((steps / 2**15).astype(np.float32))
            coded[name] = _encode(steps << 16, 44100, *container)
        assert service.stems_of(service.post_files(coded)) == service.stems_of(service.post_files(plain))

    @pytest.mark.parametrize("container", ["OGG", "MP3"])
    def test_compressed_files_are_read_as_they_decode(
        self, service: Service, track: FloatArray, container: str
    ) -> None:
        coded = {name: _encode(x, 44100, container) for name, x in service.signals(track).items()}
        plain = {name: wav(_decode(content)) for name, content in coded.items()}
        assert service.stems_of(service.post_files(coded)) == service.stems_of(service.post_files(plain))

    @pytest.mark.parametrize("samples", [1, 2, 441, 1023, 44101])
    def test_any_length_is_kept(self, service: Service, samples: int) -> None:
        track = music(2)[:, 5000 : 5000 + samples]
        for content in service.stems(track).values():
            decoded = _decode(content)
            assert decoded.shape == (2, samples)
            assert np.isfinite(decoded).all()

    @pytest.mark.parametrize("level", [0.0, 0.5, -1.0, 1e-30])
    def test_a_constant_is_separated_into_finite_stems(self, service: Service, level: float) -> None:
        track = np.full((2, 30_000), level, np.float32)
        for content in service.stems(track).values():
            decoded = _decode(content)
            assert decoded.shape == track.shape
            assert np.isfinite(decoded).all()

    def test_a_dead_channel_and_opposite_polarity_are_no_trouble(
        self, service: Service, track: FloatArray
    ) -> None:
        for right in (np.zeros_like(track[0]), -track[0]):
            for content in service.stems(np.stack([track[0], right])).values():
                assert np.isfinite(_decode(content)).all()

    def test_input_beyond_full_scale_is_not_clipped(self, service: Service, track: FloatArray) -> None:
        loud = track * np.float32(8 / np.abs(track).max())
        stems = {stem: _decode(content) for stem, content in service.stems(loud).items()}
        for stem, estimate in stems.items():
            assert np.isfinite(estimate).all()
            assert np.abs(estimate).max() != 1.0, f"{stem} looks clipped at full scale"
        if self.adds_up is not None:
            _check_sum(stems, loud, self.adds_up)

    def test_the_stems_add_up_to_the_mixture_where_they_should(
        self, service: Service, track: FloatArray
    ) -> None:
        if self.adds_up is None:
            return  # true of some separators only
        for level in (1.0, 1e-3):
            scaled = track * np.float32(level)
            stems = {stem: _decode(content) for stem, content in service.stems(scaled).items()}
            _check_sum(stems, scaled, self.adds_up)

    def test_long_silence_is_separated_in_bounded_memory(self, service: Service) -> None:
        silence = np.zeros((2, int(self.silence_seconds * 44100)), np.float32)
        out = service.data / "silence"
        samples = silence.shape[1]
        answer = service.by_reference(silence, out, encode=lambda audio, rate: _encode(audio, rate, "FLAC"))
        del silence
        assert answer.status == 200, answer.body
        for stem in STEMS:
            info = sf.info(str(out / f"{stem}.wav"))
            assert (info.samplerate, info.channels, info.frames) == (44100, 2, samples)
            (out / f"{stem}.wav").unlink()  # it is large, and temporary folders are kept for a while
        peak = service.process.peak_memory() / 2**20
        assert peak < self.memory_mib, f"{peak:.0f} MiB for {self.silence_seconds:g} s"

    # -- what it refuses -------------------------------------------------------------------------------------

    @pytest.mark.parametrize("what", ["empty", "text", "header only", "truncated WAV", "truncated FLAC"])
    def test_a_file_that_is_no_sound_is_refused(self, service: Service, what: str) -> None:
        track = music(1.0)
        content = {
            "empty": b"",
            "text": b"This is not a sound file.\n" * 50,
            "header only": wav(track[:, :0]),
            "truncated WAV": wav(track)[:-5000],
            "truncated FLAC": _encode(track, 44100, "FLAC")[:-5000],
        }[what]
        service.problem(service.post_files({**service.files(track), MIXTURE: content}), 422, "mixture")

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_samples_that_are_no_numbers_are_refused(self, service: Service, value: float) -> None:
        track = music(1.0)
        track[1, 777] = value
        files = {**service.files(music(1.0)), MIXTURE: wav(track)}
        service.problem(service.post_files(files), 422, "NaN or infinite")

    @pytest.mark.parametrize("channels", [3, 6])
    def test_more_than_two_channels_are_refused(self, service: Service, channels: int) -> None:
        track = np.repeat(music(1.0)[:1], channels, axis=0)
        files = {**service.files(music(1.0)), MIXTURE: wav(track)}
        service.problem(service.post_files(files), 422, f"{channels} channels")

    def test_a_track_that_is_too_long_is_refused_by_its_header(self, service: Service) -> None:
        samples = int((self.silence_seconds + 2) * 8000)
        content = _encode(np.zeros((1, samples), np.float32), 8000, "FLAC")
        files = {**service.files(music(1.0)), MIXTURE: content}
        service.problem(service.post_files(files), 413, "lasts")

    def test_an_upload_that_is_too_large_is_refused_by_its_declared_length(self, service: Service) -> None:
        with service.connect(timeout=600) as connection:
            connection.putrequest("POST", service.path())
            connection.putheader("Content-Type", "multipart/form-data; boundary=x")
            connection.putheader("Content-Length", str(_MAX_MIB * 2**20 + 1))
            connection.endheaders()
            service.problem(_answer(connection), 413, "MiB")

    def test_an_upload_that_is_too_large_is_refused_without_a_declared_length(self, service: Service) -> None:
        content_type, body = _form({MIXTURE: b"\0" * (_MAX_MIB * 2**20)})
        pieces = (body[start : start + 2**16] for start in range(0, len(body), 2**16))
        with (
            service.connect(timeout=600) as connection,
            contextlib.suppress(BrokenPipeError, ConnectionResetError),
        ):
            # The server may hang up on what is left of the body once it has answered.
            connection.request(
                "POST", service.path(), pieces, {"Content-Type": content_type}, encode_chunked=True
            )
        # Whether the answer to that could be read or not, it took none of the places.
        assert service.in_flight() == 0
        with service.connect(timeout=600) as connection:
            connection.putrequest("POST", service.path())
            connection.putheader("Content-Type", content_type)
            connection.putheader("Transfer-Encoding", "chunked")
            connection.endheaders()
            # One byte over the limit and not a byte more, so that there is nothing left to hang up on.
            for piece in (body[: _MAX_MIB * 2**20], body[:1]):
                connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            service.problem(_answer(connection), 413, "MiB")

    def test_forms_that_make_no_sense_are_refused(self, service: Service) -> None:
        content = wav(music(0.2))
        one_stem = {MIXTURE: content, STEMS[0]: content}
        service.problem(service.post_files({}), (400, 422), "")
        service.problem(service.post_files({MIXTURE: content, "strings": content}), 422, "strings")
        service.problem(service.post_files(one_stem), 422, "together")
        service.problem(service.post_files({name: content for name in STEMS}), 422, "mixture")
        form, body = _form({MIXTURE: content})
        for content_type in ("multipart/form-data", "multipart/form-data; boundary=another"):
            service.problem(service.post(service.path(), body, content_type), (400, 422), "")
        service.problem(service.post(service.path(), body[:-30], form), (400, 422), "")
        service.problem(service.post(service.path(), content, "audio/wav"), 422, "content type")
        field = body.replace(b'; filename="mixture"', b"")
        service.problem(service.post(service.path(), field, form), (400, 422), "")

    def test_unknown_names_are_refused(self, service: Service, track: FloatArray) -> None:
        service.problem(service.separate(track, separator="no-such-one"), 422, "no-such-one")
        service.problem(service.separate(track, stem="strings"), 422, "strings")
        content_type, upload = _form(service.files(track))
        for asked in ("stem=vocals&stem=drums", "separator=x&separator="):
            service.problem(service.post(f"/separate?{asked}", upload, content_type), 422, "several times")
        body = service.reference_request(track, service.data / "unknown") | {"separator": "no-such-one"}
        service.problem(service.post_json(body), 422, "no-such-one")
        assert not (service.data / "unknown").exists()

    def test_true_stems_are_asked_for_by_name_and_checked(self, service: Service, track: FloatArray) -> None:
        if not service.needs_references():
            return
        service.problem(service.post_files({MIXTURE: wav(track)}), 422, "true stems")
        shorter = service.files(track) | {"bass": wav(track[:, :-1])}
        service.problem(service.post_files(shorter), 422, "bass")

    @pytest.mark.parametrize("member", ["mixture", "out", "references"])
    @pytest.mark.parametrize("outside", ["/etc/passwd", "../data/x.wav", "a/../../x", "link/x.wav", "", "\0"])
    def test_references_outside_the_data_root_are_refused(
        self, service: Service, track: FloatArray, member: str, outside: str
    ) -> None:
        if member == "references" and not outside:
            return  # that is how a request says that it has none
        link = service.data / "link"
        if not link.is_symlink():
            link.symlink_to("/")
        body = service.reference_request(track, service.data / "outside") | {member: outside}
        service.problem(service.post_json(body), 422, "")
        assert not (service.data / "outside").exists()

    def test_references_that_cannot_be_are_refused(self, service: Service, track: FloatArray) -> None:
        good = service.reference_request(track, service.data / "refused")
        (service.data / "notes.wav").write_text("not audio")
        (service.data / "file").write_text("in the way")
        for change, status, says in (
            ({"mixture": "no/such.wav"}, 404, "no/such.wav"),
            ({"mixture": "notes.wav"}, 422, "notes.wav"),
            ({"mixture": "x" * 5000}, 422, ""),
            ({"mixture": "\ud800.wav"}, (404, 422), ""),
            ({"mixture": 5}, (404, 422), ""),
            ({"mixture": None}, 422, "mixture"),
            ({"out": None}, 422, "out"),
            ({"out": "y" * 300}, 422, "y"),
            ({"out": "file"}, 422, "file"),
            ({"out": "file/under"}, 422, "file"),
            ({"reference_gain": "loud"}, 422, "reference_gain"),
            ({"reference_gain": float("nan")}, 422, "gain"),
            ({"reference_gain": 0.0}, 422, "gain"),
        ):
            service.problem(service.post_json({**good, **change}), status, says)
        for body in (b"{", b"\xff", b"[]", b'"text"', b"null", b"{}"):
            service.problem(service.post("/separate", body, "application/json"), 422, "")
        assert not (service.data / "refused").exists()

    def test_nothing_but_a_separation_is_replaced(self, service: Service, track: FloatArray) -> None:
        body = service.reference_request(track, service.data / "refused")
        folder = str(Path(body["mixture"]).parent)
        before = sorted(service.data.rglob("*"))
        for out in (".", folder):
            service.problem(service.post_json(body | {"out": out}), 422, "no separation")
        assert sorted(service.data.rglob("*")) == before

    def test_other_paths_and_methods_have_problem_documents(self, service: Service) -> None:
        service.problem(service.get("/nothing"), 404, "")
        service.problem(service.get("/separate"), 405, "")

    # -- what it bears ---------------------------------------------------------------------------------------

    def test_beyond_the_queue_is_told_to_come_back_and_all_others_are_right(self, service: Service) -> None:
        tracks = [music(0.5 + 0.1 * index, seed=index) for index in range(_PLACES)]
        alone = [service.stems(track) for track in tracks]
        with ThreadPoolExecutor(_PLACES + 3) as pool:
            service.hold.touch()  # work that is begun waits, so that it does not hang on who is faster
            try:
                held = [pool.submit(service.separate, track) for track in tracks]
                service.wait_for(lambda: service.in_flight() == _PLACES)
                assert service.get("/health").json() == {"status": "busy", "in_flight": _PLACES}
                beyond = [pool.submit(service.separate, tracks[0]) for _ in range(3)]
                refused = [job.result(timeout=600) for job in beyond]
            finally:
                service.hold.unlink()
            answers = [job.result() for job in held]
        for answer in refused:
            problem = service.problem(answer, 503, "")
            assert problem["type"] == PROBLEM_TYPE + "busy"
            assert problem["retryable"] is True
            assert int(answer.headers["retry-after"]) >= 1
        assert [answer.status for answer in answers] == [200] * _PLACES
        assert [service.stems_of(answer) for answer in answers] == alone
        assert service.stems(tracks[0]) == alone[0]

    def test_clients_that_go_away_take_no_place_with_them(self, service: Service, track: FloatArray) -> None:
        content_type, body = _form(service.files(track))
        request = (
            f"POST {service.path()} HTTP/1.1\r\nHost: test\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        for sent in (len(request) // 2, len(request)):  # in the middle of the upload, and before the answer
            for _ in range(_PLACES):
                with socket.create_connection(service.address, timeout=600) as connection:
                    connection.sendall(request[:sent])
        # Those that were uploaded as a whole may be worked on, and in the end every place is free again.
        service.wait_for(lambda: service.separate(track).status == 200)

    def test_what_a_client_that_has_gone_waited_for_is_not_begun(
        self, service: Service, track: FloatArray
    ) -> None:
        content_type, body = _form(service.files(track))
        before = service.abandoned()
        with ThreadPoolExecutor(1) as pool:
            service.hold.touch()
            try:
                first = pool.submit(service.separate, track)
                service.wait_for(lambda: service.in_flight() == 1)
                with service.connect() as connection:
                    connection.request("POST", service.path(), body, {"Content-Type": content_type})
                    service.wait_for(lambda: service.in_flight() == 2)
                service.wait_for(lambda: service.in_flight() == 1)
            finally:
                service.hold.unlink()
            assert first.result().status == 200
        service.wait_for(lambda: service.abandoned() == before + 1)

    def test_a_range_that_cannot_be_leaves_nothing_behind(self, service: Service, track: FloatArray) -> None:
        content_type, body = _form(service.files(track))
        for asked in ("nonsense", "bytes=999999999999-"):
            headers = {"Content-Type": content_type, "Range": asked}
            assert service.request("POST", service.path(), body, headers).status in (200, 400, 416)

    def test_a_request_id_comes_back(self, service: Service) -> None:
        given = service.request("GET", "/health", None, {"X-Request-ID": "abc-1.2_3"})
        assert given.headers["x-request-id"] == "abc-1.2_3"
        odd = service.request("GET", "/health", None, {"X-Request-ID": "a b" * 99})
        assert odd.headers["x-request-id"].isalnum()


@dataclass(frozen=True)
class Service:
    """The service under test, and requests to it."""

    process: RunningService
    separator: str
    data: Path
    temporary: Path
    hold: Path
    network: Path

    @property
    def address(self) -> tuple[str, int]:
        parts = urllib.parse.urlsplit(self.process.url)
        return str(parts.hostname), int(parts.port or 80)

    @contextlib.contextmanager
    def connect(self, timeout: float = 3600.0) -> Iterator[http.client.HTTPConnection]:
        connection = http.client.HTTPConnection(*self.address, timeout=timeout)
        try:
            yield connection
        finally:
            connection.close()

    def request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        with self.connect() as connection:
            # An early answer may come while the body is still being sent; it is the answer all the same.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, body, dict(headers))
            return _answer(connection)

    def get(self, path: str) -> Answer:
        return self.request("GET", path, None, {})

    def post(self, path: str, body: bytes, content_type: str) -> Answer:
        return self.request("POST", path, body, {"Content-Type": content_type})

    def post_json(self, body: Mapping[str, Any]) -> Answer:
        return self.post("/separate", json.dumps(body).encode(), "application/json")

    def post_files(self, files: Mapping[str, bytes], **query: str) -> Answer:
        content_type, body = _form(files)
        return self.post(self.path(**query), body, content_type)

    def in_flight(self) -> int:
        return int(self.get("/health").json()["in_flight"])

    def abandoned(self) -> int:
        """Jobs that were given up since their client had gone."""
        lines = self.get("/metrics").body.decode().splitlines()
        return sum(int(float(line.split()[-1])) for line in lines if 'outcome="abandoned"' in line)

    def path(self, **query: str) -> str:
        chosen = {"separator": self.separator} | query
        return "/separate?" + urllib.parse.urlencode({name: value for name, value in chosen.items() if value})

    def needs_references(self) -> bool:
        separators = self.get("/info").json()["separators"]
        named = [item for item in separators if item["name"] == self.separator] or separators
        return bool(named[0]["needs_references"])

    def files(self, mixture: FloatArray, rate: int = 44100, encode: Encode = wav) -> dict[str, bytes]:
        """What is uploaded: the mixture, and the true stems for a separator that is defined by them."""
        return {name: encode(signal, rate) for name, signal in self.signals(mixture).items()}

    def signals(self, mixture: FloatArray) -> dict[str, FloatArray]:
        return {MIXTURE: mixture} | (_split(mixture) if self.needs_references() else {})

    def separate(self, mixture: FloatArray, rate: int = 44100, encode: Encode = wav, **query: str) -> Answer:
        return self.post_files(self.files(mixture, rate, encode), **query)

    def stems(self, mixture: FloatArray, rate: int = 44100) -> dict[str, bytes]:
        """The four stems' files, as bytes."""
        return self.stems_of(self.separate(mixture, rate))

    def stems_of(self, answer: Answer) -> dict[str, bytes]:
        assert answer.status == 200, answer.body
        files = self.unzip(answer)
        return {stem: files[f"{stem}.wav"] for stem in STEMS}

    @staticmethod
    def unzip(answer: Answer) -> dict[str, bytes]:
        """Sound files in the answer's zip."""
        with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
            return {name: archive.read(name) for name in archive.namelist() if name.endswith(".wav")}

    def reference_request(
        self, mixture: FloatArray, out: Path, rate: int = 44100, encode: Encode = wav
    ) -> dict[str, Any]:
        """A request by reference, its files in place."""
        folder = self.data / "in" / secrets.token_hex(8)
        folder.mkdir(parents=True)
        for name, content in self.files(mixture, rate, encode).items():
            (folder / f"{name}.wav").write_bytes(content)
        relative = folder.relative_to(self.data).as_posix()
        return {
            "mixture": f"{relative}/{MIXTURE}.wav",
            "out": out.relative_to(self.data).as_posix(),
            "separator": self.separator,
            "references": relative if self.needs_references() else "",
        }

    def by_reference(self, mixture: FloatArray, out: Path, rate: int = 44100, encode: Encode = wav) -> Answer:
        return self.post_json(self.reference_request(mixture, out, rate, encode))

    def problem(self, answer: Answer, status: int | tuple[int, ...], says: str) -> dict[str, Any]:
        """The problem document in `answer`, after what must hold of all of them."""
        expected = status if isinstance(status, tuple) else (status,)
        assert answer.status in expected, (answer.status, answer.body[:500])
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert answer.headers["x-request-id"]
        problem = cast("dict[str, Any]", answer.json())
        assert problem["status"] == answer.status
        assert problem["type"]
        text = problem["title"] + " " + problem.get("detail", "")
        assert says in text, text
        for private in (self.data, self.temporary, Path.home(), Path(__file__).parent):
            assert str(private) not in answer.body.decode(), answer.body
        assert "Traceback" not in text
        return problem

    def wait_for(self, condition: Callable[[], bool], seconds: float = 600.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.02)

    def wait_until_idle(self) -> None:
        assert self.process.process.poll() is None, "the service has died"
        self.wait_for(lambda: self.in_flight() == 0)

    def left_behind(self, seconds: float = 60.0) -> list[str]:
        """Temporary files that stay; an answer may arrive a moment before they are gone."""
        deadline = time.monotonic() + seconds
        while True:
            left = os.listdir(self.temporary)
            for _, folders, files in os.walk(self.data):  # unlike rglob, it bears what vanishes meanwhile
                left += [name for name in folders + files if name.startswith(".tmp-")]
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.02)


Encode = Callable[[FloatArray, int], bytes]
Samples = npt.NDArray[np.float32] | npt.NDArray[np.int32]


def _answer(connection: http.client.HTTPConnection) -> Answer:
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())


def _form(files: Mapping[str, bytes]) -> tuple[str, bytes]:
    """Content type and body of a form with these files."""
    boundary = secrets.token_hex(16)
    parts = []
    for name, content in files.items():
        # The file name is a trap: it must never become a path.
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
        parts.append(head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n")
    return f"multipart/form-data; boundary={boundary}", b"".join([*parts, f"--{boundary}--\r\n".encode()])


def _encode(audio: Samples, rate: int, container: str, subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    sf.write(buffer, audio.T, rate, format=container, subtype=subtype)
    return buffer.getvalue()


def _decode(content: bytes) -> FloatArray:
    data, _ = sf.read(io.BytesIO(content), dtype="float32", always_2d=True)
    return np.ascontiguousarray(data.T)


def _split(mixture: FloatArray) -> dict[str, FloatArray]:
    """Four stems that add up to the mixture: what of it each gets swells and fades."""
    time_axis = np.arange(mixture.shape[1]) / 44100
    weights = np.stack([1.0 + np.sin(2 * np.pi * (0.4 + 0.3 * k) * time_axis + k) for k in range(len(STEMS))])
    weights /= np.maximum(weights.sum(axis=0), 1e-3)
    return {
        stem: np.asarray(mixture * weight, np.float32) for stem, weight in zip(STEMS, weights, strict=True)
    }


def _check_sum(stems: Mapping[str, FloatArray], mixture: FloatArray, tolerance: float) -> None:
    total = np.sum([stems[stem] for stem in STEMS], axis=0, dtype=np.float64)
    worst = float(np.abs(total - mixture).max() / np.abs(mixture).max())
    assert worst <= tolerance, f"the stems miss the mixture by {worst:g} of its peak"


def _held_app() -> Any:
    """The service's application, except that jobs wait while the file ``MSSBENCH_CONTRACT_HOLD`` exists.

    So the test of the queue decides itself when work ends, and holds for models fast and slow. And there is no
    network: what asks for it is refused, and noted in the file ``MSSBENCH_CONTRACT_NETWORK``.
    """
    _refuse_the_network(Path(os.environ[_NETWORK]))
    separator_app: Any = importlib.import_module("mssbench_service.separator_app")
    hold = Path(os.environ[_HOLD])
    module, _, attribute = os.environ[_APP].partition(":")
    separate_track = separator_app.separate_track

    def held(*arguments: Any, **options: Any) -> Any:
        while hold.exists():
            time.sleep(0.005)
        return separate_track(*arguments, **options)

    separator_app.separate_track = held
    return getattr(importlib.import_module(module), attribute)


def _refuse_the_network(note: Path) -> None:
    """Let this process open no connection and look up no name; the server only listens, at an address."""
    asking = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event in asking:
            note.write_text(f"{event} {arguments}")
            raise PermissionError(f"there is no network here ({event})")

    sys.addaudithook(refuse)


def __getattr__(name: str) -> Any:
    # uvicorn imports `held` in the server's process; nothing is loaded where tests are only collected.
    if name == "held":
        return _held_app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["SeparatorContract", "Service"]
