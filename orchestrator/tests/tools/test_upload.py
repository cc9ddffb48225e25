"""Separation of one track by upload: with the real oracle service, and with servers that return errors."""

from __future__ import annotations

import http.server
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from mssbench.tools.upload import separate_by_upload
from mssbench_contract import RunningService, music, running, wav
from mssbench_contract.server import http_server
from mssbench_service.errors import (
    BadInput,
    BadOutput,
    BenchError,
    Busy,
    NotReady,
    OutOfMemory,
    Starting,
    Unavailable,
    Unreachable,
)
from mssbench_service.musdb import STEMS


@pytest.fixture(scope="module")
def oracle() -> Iterator[RunningService]:
    with running("oracle_service.app:app", {"MSSBENCH_MAX_UPLOAD_MB": "3"}) as service:
        yield service


@pytest.fixture
def track(tmp_path: Path) -> Path:
    path = tmp_path / "Ünder & over [live].wav"
    path.write_bytes(wav(music(1.0)))
    return path


def test_an_upload_returns_the_stems_and_the_record(
    oracle: RunningService, track: Path, tmp_path: Path
) -> None:
    seen: list[tuple[str, int, int | None]] = []
    out = tmp_path / "new" / "stems"
    separate_by_upload(oracle.url, "oracle-mixture", track, out, show=lambda *call: seen.append(call))
    assert sorted(path.name for path in out.iterdir()) == [
        "bass.wav", "drums.wav", "other.wav", "separation.json", "vocals.wav"
    ]  # fmt: skip
    np.testing.assert_array_equal(sf.read(out / "vocals.wav")[0], sf.read(track)[0])
    assert json.loads((out / "separation.json").read_text())["separator"] == "oracle-mixture"
    assert [path.name for path in out.parent.iterdir()] == ["stems"], "no temporary file is left"
    for stage in ("upload", "download"):
        done = [call for call in seen if call[0] == stage]
        assert done[-1][1] == done[-1][2], "each stage ends complete"
        assert [call[1] for call in done] == sorted(call[1] for call in done)
    assert [call[0] for call in seen].index("separate") < [call[0] for call in seen].index("download")


def test_true_stems_are_uploaded_for_separators_that_need_them(
    oracle: RunningService, track: Path, tmp_path: Path
) -> None:
    mixture, rate = sf.read(track)
    truth = tmp_path / "truth"
    truth.mkdir()
    for share, stem in zip((0.1, 0.2, 0.3, 0.4), STEMS, strict=True):
        sf.write(truth / f"{stem}.wav", mixture * share, rate, subtype="FLOAT")
    separate_by_upload(oracle.url, "oracle-irm", track, tmp_path / "out", truth)
    bass = sf.read(tmp_path / "out" / f"{STEMS[1]}.wav")[0]
    np.testing.assert_allclose(bass, mixture * 0.2, atol=1e-3)
    (truth / "drums.wav").unlink()
    with pytest.raises(BadInput, match=r"drums\.wav is not a file"):
        separate_by_upload(oracle.url, "oracle-irm", track, tmp_path / "out", truth)


def test_a_refusal_of_the_service_is_raised_and_existing_files_are_kept(
    oracle: RunningService, track: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    separate_by_upload(oracle.url, "oracle-mixture", track, out)
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    text = tmp_path / "text.wav"
    text.write_text("not audio")
    large = tmp_path / "large.wav"
    large.write_bytes(wav(music(10.0)))
    for path, name, says in (
        (track, "oracle-imr", "unknown separator 'oracle-imr'"),
        (text, "oracle-mixture", "cannot be read as audio"),
        (large, "oracle-mixture", "larger than 3 MiB"),
        (tmp_path / "nothing.wav", "oracle-mixture", "nothing.wav is not a file"),
        (track, "oracle-irm", "true stems"),
    ):
        with pytest.raises(BadInput, match=says):
            separate_by_upload(oracle.url, name, path, out)
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "precious.wav").touch()
    with pytest.raises(BadInput, match="no separation"):
        separate_by_upload(oracle.url, "oracle-mixture", track, tmp_path / "music")
    assert (tmp_path / "music" / "precious.wav").exists()


# --- servers that return errors -------------------------------------------------------------------------------


@dataclass
class Script:
    """Responses in order: a status, headers, a body. The last one is repeated."""

    answers: list[tuple[int, dict[str, str], bytes]]
    uploads: list[bytes] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def script() -> Iterator[Script]:
    told = Script([])

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        told.uploads.append(handler.rfile.read(int(handler.headers["Content-Length"])))
        status, headers, body = told.answers.pop(0) if len(told.answers) > 1 else told.answers[0]
        handler.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    with http_server(answer) as told.url:
        yield told


def zipped(names: list[str], content: bytes = wav(music(1.0))) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return buffer.getvalue()


GOOD: tuple[int, dict[str, str], bytes] = (200, {}, zipped([f"{stem}.wav" for stem in STEMS]))


def refusal(error: BenchError) -> tuple[int, dict[str, str], bytes]:
    return (error.status, {}, json.dumps(error.to_problem()).encode())


def test_a_busy_or_starting_service_is_retried_after_the_time_it_names(
    script: Script, track: Path, tmp_path: Path
) -> None:
    script.answers = [
        refusal(Busy("full", retry_after=2)),
        (503, {"Retry-After": "7"}, b"<html>a proxy's page</html>"),
        refusal(Starting("loading", retry_after=5)),
        refusal(OutOfMemory("too much at once", retry_after=3)),
        GOOD,
    ]
    slept: list[float] = []
    separate_by_upload(script.url, "x", track, tmp_path / "out", sleep=slept.append)
    assert slept == [2.0, 7.0, 5.0, 3.0]
    sizes = {len(upload) for upload in script.uploads}
    assert len(sizes) == 1
    assert sizes.pop() > track.stat().st_size, "the whole track was sent each time"


def test_retries_end_after_the_given_time(script: Script, track: Path, tmp_path: Path) -> None:
    script.answers = [refusal(Busy("full", retry_after=2))]
    slept: list[float] = []
    with pytest.raises(Busy, match="full"):
        separate_by_upload(script.url, "x", track, tmp_path / "out", patience=7.0, sleep=slept.append)
    assert slept == [2.0, 2.0, 2.0]


@pytest.mark.parametrize(
    "error", [NotReady("a.th is missing; get it with: mssbench weights fetch x"), Unreachable("gone")]
)
def test_an_error_that_waiting_cannot_fix_is_raised_at_once(
    script: Script, track: Path, tmp_path: Path, error: Unavailable
) -> None:
    script.answers = [refusal(error)]
    with pytest.raises(type(error), match=error.detail):
        separate_by_upload(script.url, "x", track, tmp_path / "out", sleep=lambda _: pytest.fail("it waited"))
    assert len(script.uploads) == 1


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        ((200, {}, zipped(["vocals.wav"])), BadOutput, "drums.wav"),
        ((200, {}, zipped([f"{stem}.wav" for stem in STEMS], b"RIFF")), BadOutput, "is not audio"),
        (
            (200, {}, zipped([f"{stem}.wav" for stem in STEMS], wav(music(0.5)))),
            BadOutput,
            "expected 44100 at 44100 Hz",
        ),
        ((200, {}, zipped([f"{stem}.wav" for stem in STEMS], bytes(10**7))), BadOutput, "unpacks to"),
        ((200, {"Content-Length": "100000000"}, GOOD[2]), Unreachable, "does not answer"),
        ((404, {}, b"nothing here"), BenchError, "answered 404"),
        ((422, {}, b"[1, 2]"), BadInput, "answered 422"),
    ],
)
def test_an_invalid_response_is_an_error_and_leaves_no_files(
    script: Script,
    track: Path,
    tmp_path: Path,
    answer: tuple[int, dict[str, str], bytes],
    kind: type[BenchError],
    says: str,
) -> None:
    script.answers = [answer]
    with pytest.raises(kind, match=says):
        separate_by_upload(script.url, "x", track, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == [track.name]


def test_a_zip_cannot_write_outside_the_folder(script: Script, track: Path, tmp_path: Path) -> None:
    names = [*(f"{stem}.wav" for stem in STEMS), "../escaped.wav", "/tmp/escaped.wav", "vocals.wav/x"]
    script.answers = [(200, {}, zipped(names))]
    separate_by_upload(script.url, "x", track, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(f"{s}.wav" for s in STEMS)
    assert not list(tmp_path.rglob("escaped*"))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense", "http://", "http://[::1"])
def test_an_address_without_a_service_is_an_error(track: Path, tmp_path: Path, url: str) -> None:
    with pytest.raises(Unreachable, match="does not answer"):
        separate_by_upload(url, "x", track, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == [track.name]
