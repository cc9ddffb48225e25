"""``POST /separate`` with a full queue, and with clients that disconnect."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

from mssbench_contract import ServiceUnderTest, music
from mssbench_contract.server import wait_for
from mssbench_contract.service import PLACES
from mssbench_service.audio import FloatArray
from mssbench_service.errors import PROBLEM_TYPE


def test_requests_beyond_the_queue_are_refused_and_all_others_are_served(service: ServiceUnderTest) -> None:
    tracks = [music(0.5 + 0.1 * index, seed=index) for index in range(PLACES)]
    alone = [service.stems(track) for track in tracks]
    with ThreadPoolExecutor(PLACES + 3) as pool:
        service.hold.touch()
        try:
            held = [pool.submit(service.separate, track) for track in tracks]
            wait_for(lambda: service.in_flight() == PLACES)
            assert service.get("/health").json() == {"status": "busy", "in_flight": PLACES}
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
    assert [answer.status for answer in answers] == [200] * PLACES
    assert [service.stems_of(answer) for answer in answers] == alone
    assert service.stems(tracks[0]) == alone[0]


def test_a_client_that_disconnects_frees_its_place(service: ServiceUnderTest, track: FloatArray) -> None:
    content_type, body = service.form(track)
    request = (
        f"POST {service.path()} HTTP/1.1\r\nHost: test\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    for sent in (len(request) // 2, len(request)):  # in the middle of the upload, and before the response
        for _ in range(PLACES):
            with socket.create_connection(service.address, timeout=600) as connection:
                connection.sendall(request[:sent])
    # Complete uploads may have started a job. In the end every place is free again.
    wait_for(lambda: service.separate(track).status == 200)


def test_a_waiting_job_whose_client_disconnects_is_not_started(
    service: ServiceUnderTest, track: FloatArray
) -> None:
    content_type, body = service.form(track)
    before = service.abandoned()
    with ThreadPoolExecutor(1) as pool:
        service.hold.touch()
        try:
            first = pool.submit(service.separate, track)
            wait_for(lambda: service.in_flight() == 1)
            with service.connect() as connection:
                connection.request("POST", service.path(), body, {"Content-Type": content_type})
                wait_for(lambda: service.in_flight() == 2)
            wait_for(lambda: service.in_flight() == 1)
        finally:
            service.hold.unlink()
        assert first.result().status == 200
    wait_for(lambda: service.abandoned() == before + 1)
