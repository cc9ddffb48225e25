"""Requests for a separation that are refused, each with a problem document and without a trace on disk."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from mssbench_contract import ServiceUnderTest, encode, music, wav
from mssbench_contract.server import form, read_answer
from mssbench_contract.service import MAX_UPLOAD_MIB
from mssbench_service.audio import FloatArray
from mssbench_service.musdb import MIXTURE, STEMS


def with_one(value: float) -> FloatArray:
    """A track with one sample of this value."""
    track = music(0.5)
    track[1, 777] = value
    return track


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"", 422, "mixture"),
        (b"This is not a sound file.\n" * 50, 422, "mixture"),
        (wav(music(1.0)[:, :0]), 422, "mixture"),
        (wav(music(1.0))[:-5000], 422, "mixture"),
        (encode(music(1.0), 44100, "FLAC")[:-5000], 422, "mixture"),
        (wav(with_one(np.nan)), 422, "NaN or infinite"),
        (wav(with_one(-np.inf)), 422, "NaN or infinite"),
        (wav(np.repeat(music(0.5)[:1], 3, axis=0)), 422, "3 channels"),
        (encode(np.zeros((1, 62 * 8000), np.float32), 8000, "FLAC"), 413, "lasts"),  # the limit is 61 s
    ],
    ids=["empty", "text", "header only", "cut WAV", "cut FLAC", "NaN", "infinite", "three channels", "long"],
)
def test_a_mixture_that_cannot_be_separated_is_refused(
    service: ServiceUnderTest, content: bytes, status: int, message: str
) -> None:
    """The true stems beside it, where the separator needs them, are good."""
    files = {**service.files(music(0.5)), MIXTURE: content}
    service.problem(service.post_files(service.path(), files), status, message)


def test_an_upload_over_the_size_limit_is_refused_by_its_declared_length(service: ServiceUnderTest) -> None:
    with service.connect() as connection:
        connection.putrequest("POST", service.path())
        connection.putheader("Content-Type", "multipart/form-data; boundary=x")
        connection.putheader("Content-Length", str(MAX_UPLOAD_MIB * 2**20 + 1))
        connection.endheaders()
        service.problem(read_answer(connection), 413, "MiB")


def test_an_upload_over_the_size_limit_is_refused_without_a_declared_length(
    service: ServiceUnderTest,
) -> None:
    content_type, body = form({MIXTURE: b"\0" * (MAX_UPLOAD_MIB * 2**20)})
    pieces = (body[start : start + 2**16] for start in range(0, len(body), 2**16))
    headers = {"Content-Type": content_type}
    # The server may close the connection while the rest of the body is being sent.
    with service.connect() as connection, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request("POST", service.path(), pieces, headers, encode_chunked=True)
    assert service.in_flight() == 0  # whether or not the response could be read, no place is taken
    with service.connect() as connection:
        connection.putrequest("POST", service.path())
        connection.putheader("Content-Type", content_type)
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        # Exactly one byte over the limit, so that the server has nothing left to reject.
        for piece in (body[: MAX_UPLOAD_MIB * 2**20], body[:1]):
            connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        service.problem(read_answer(connection), 413, "MiB")


def test_incomplete_and_wrong_forms_are_refused(service: ServiceUnderTest) -> None:
    content = wav(music(0.2))
    path = service.path()
    for files, status, message in (
        ({}, (400, 422), ""),
        ({MIXTURE: content, "strings": content}, 422, "strings"),
        ({MIXTURE: content, STEMS[0]: content}, 422, "together"),
        (dict.fromkeys(STEMS, content), 422, "mixture"),
    ):
        service.problem(service.post_files(path, files), status, message)
    content_type, body = form({MIXTURE: content})
    field = body.replace(b'; filename="mixture"', b"")
    for sent, sent_type, message in (
        (body, "multipart/form-data", ""),
        (body, "multipart/form-data; boundary=another", ""),
        (body[:-30], content_type, ""),
        (field, content_type, ""),
        (content, "audio/wav", "content type"),
    ):
        service.problem(service.post(path, sent, sent_type), (400, 422), message)


def test_unknown_and_repeated_names_are_refused(service: ServiceUnderTest, track: FloatArray) -> None:
    service.problem(service.separate(track, separator="no-such-one"), 422, "no-such-one")
    service.problem(service.separate(track, stem="strings"), 422, "strings")
    content_type, upload = service.form(track)
    for query in ("stem=vocals&stem=drums", "separator=x&separator="):
        service.problem(service.post(f"/separate?{query}", upload, content_type), 422, "several times")
    body = service.reference_request(track, service.data / "unknown") | {"separator": "no-such-one"}
    service.problem(service.post_json("/separate", body), 422, "no-such-one")
    assert not (service.data / "unknown").exists()


def test_true_stems_are_required_and_checked_where_a_separator_needs_them(
    service: ServiceUnderTest, track: FloatArray
) -> None:
    assert service.needs_references() == (service.separator == "true-stems")
    if not service.needs_references():
        return
    service.problem(service.post_files(service.path(), {MIXTURE: wav(track)}), 422, "true stems")
    shorter = service.files(track) | {"bass": wav(track[:, :-1])}
    service.problem(service.post_files(service.path(), shorter), 422, "bass")


@pytest.mark.parametrize("member", ["mixture", "out", "references"])
@pytest.mark.parametrize("outside", ["/etc/passwd", "../data/x.wav", "a/../../x", "link/x.wav", "", "\0"])
def test_references_outside_the_data_root_are_refused(
    service: ServiceUnderTest, track: FloatArray, member: str, outside: str
) -> None:
    if member == "references" and not outside:
        return  # an empty reference means that there are none
    link = service.data / "link"
    if not link.is_symlink():
        link.symlink_to("/")
    body = service.reference_request(track, service.data / "outside") | {member: outside}
    service.problem(service.post_json("/separate", body), 422, "")
    assert not (service.data / "outside").exists()


def test_members_of_a_wrong_type_or_value_are_refused(service: ServiceUnderTest, track: FloatArray) -> None:
    good = service.reference_request(track, service.data / "refused")
    (service.data / "notes.wav").write_text("not audio")
    (service.data / "file").write_text("in the way")
    for change, status, message in (
        ({"mixture": "no/such.wav"}, 404, "no/such.wav"),
        ({"mixture": "notes.wav"}, 422, "notes.wav"),
        ({"mixture": "x" * 5000}, 422, ""),
        ({"mixture": "\ud800.wav"}, (404, 422), ""),
        ({"mixture": 5}, (404, 422), ""),
        ({"mixture": None}, 422, "mixture"),
        ({"out": None}, 422, "out"),
        ({"out": "y" * 300}, 422, "y"),
        ({"out": "file"}, 422, "file"),
        ({"out": "."}, 422, "no separation"),
        ({"out": "file/under"}, 422, "file"),
        ({"reference_gain": "loud"}, 422, "reference_gain"),
        ({"reference_gain": float("nan")}, 422, "gain"),
        ({"reference_gain": 0.0}, 422, "gain"),
    ):
        service.problem(service.post_json("/separate", {**good, **change}), status, message)
    for body in (b"{", b"\xff", b"[]", b'"text"', b"null", b"{}", b"[" * 100_000):
        service.problem(service.post("/separate", body, "application/json"), 422, "")
    assert not (service.data / "refused").exists()


def test_other_paths_and_methods_have_problem_documents(service: ServiceUnderTest) -> None:
    service.problem(service.get("/nothing"), 404, "")
    service.problem(service.get("/separate"), 405, "")
