"""``POST /separate`` with a full queue, and with clients that disconnect."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from mssbench_contract import ServiceUnderTest, music, wav
from mssbench_contract.server import wait_for
from mssbench_contract.service import PLACES
from mssbench_service.app import Settings
from mssbench_service.audio import FloatArray
from mssbench_service.errors import Busy
from mssbench_service.files import DataRoot
from mssbench_service.separator_app import create_separator_app

from .conftest import Serve, problem_of
from .tiny_separators import Quarters


def test_requests_beyond_the_queue_are_refused_and_all_others_are_served(
    tmp_path: Path, serve: Serve
) -> None:
    release = threading.Event()

    class Held(Quarters):
        def separate(self, mixture: FloatArray, sample_rate: int) -> Mapping[str, FloatArray]:
            assert release.wait(60)
            return super().separate(mixture, sample_rate)

    settings = Settings(DataRoot(tmp_path), concurrency=1, queue=PLACES - 1)
    service = serve(create_separator_app("trial", "1.2.3", {"held": Held}, settings))
    tracks = [music(0.1 + 0.1 * index, seed=index) for index in range(PLACES)]
    wait_for(lambda: service.get("/health").status == 200)
    with ThreadPoolExecutor(PLACES) as pool:
        try:
            held = [pool.submit(service.upload, wav(track)) for track in tracks]
            wait_for(lambda: service.in_flight() == PLACES)
            assert service.get("/health").json() == {"status": "busy", "in_flight": PLACES}
            refused = service.upload(wav(tracks[0]))
        finally:
            release.set()
        answers = [job.result() for job in held]
    assert isinstance(problem_of(refused, 503), Busy)
    assert int(refused.headers["retry-after"]) >= 1
    for track, answer in zip(tracks, answers, strict=True):
        for estimate in answer.stems().values():
            np.testing.assert_array_equal(estimate, track * np.float32(0.25))


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
