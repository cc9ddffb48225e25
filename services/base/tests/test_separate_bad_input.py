"""Requests for a separation that are refused, each with a problem document and without a trace on disk.

Damaged sound files, forms, bodies and references are in ``tests/bad_input``.
"""

from __future__ import annotations

import contextlib

from mssbench_contract import ServiceUnderTest, wav
from mssbench_contract.server import form, read_answer
from mssbench_contract.service import MAX_UPLOAD_MIB
from mssbench_service.audio import FloatArray
from mssbench_service.musdb import MIXTURE


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


def test_members_of_a_wrong_value_are_refused(service: ServiceUnderTest, track: FloatArray) -> None:
    good = service.reference_request(track, service.data / "refused")
    (service.data / "file").write_text("in the way")
    for change, message in (
        ({"out": "file"}, "file"),
        ({"out": "file/under"}, "file"),
        ({"reference_gain": "loud"}, "reference_gain"),
    ):
        service.problem(service.post_json("/separate", {**good, **change}), 422, message)
    assert not (service.data / "refused").exists()


def test_other_paths_and_methods_have_problem_documents(service: ServiceUnderTest) -> None:
    service.problem(service.get("/nothing"), 404, "")
    service.problem(service.get("/separate"), 405, "")
