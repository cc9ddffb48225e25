"""Matrices of request bodies, upload forms and connections."""

from __future__ import annotations

import json
import socket
import time
from contextlib import ExitStack

import httpx
import inputs
from cells import (
    RATE,
    SERVICE_OF,
    EntryPoint,
    Matrix,
    Sandbox,
    cancel_and_delete,
    valid_request,
    write_inputs,
)
from entry_points import Outcome, Server, answered
from inputs import BODIES, SOUNDS, music
from mssbench_contract.server import wait_for


def _post_body(path: str) -> EntryPoint:
    def entry_point(sandbox: Sandbox, name: str) -> Outcome:
        kind, body = BODIES[name]
        with sandbox.at(SERVICE_OF[path]) as (server, _):
            headers = {"Content-Type": kind} if kind else {}
            answer = server.client.post(path, content=body, headers=headers)
            assert not answer.is_success
            return answered(answer, server.data, server.temporary)

    return entry_point


REQUEST_BODIES = Matrix(
    "Request bodies",
    "The services accept at most 2 MiB in these tests.",
    "Body",
    list(BODIES),
    {f"POST {path}": _post_body(path) for path in SERVICE_OF},
)


def _part(name: str, content: bytes, more: str = '; filename="x.wav"', head: str = "") -> bytes:
    return (
        f'--B\r\nContent-Disposition: form-data; name="{name}"{more}\r\n{head}\r\n'.encode()
        + content
        + b"\r\n"
    )


_WAV = SOUNDS["float32 WAV"](music(2000), RATE)
_MIXTURE, _END, _FORM = _part("mixture", _WAV), b"--B--\r\n", "multipart/form-data; boundary=B"

FORMS: dict[str, tuple[str, bytes]] = {
    "one file": (_FORM, _MIXTURE + _END),
    "one file under another name": (_FORM, _part("track", _WAV) + _END),
    "nothing": (_FORM, b""),
    "an empty form": (_FORM, _END),
    "a field that is no file": (_FORM, _part("mixture", _WAV, "") + _END),
    "a file and a field": (_FORM, _MIXTURE + _part("separator", b"oracle-mixture", "") + _END),
    "the same file twice": (_FORM, _MIXTURE + _MIXTURE + _END),
    "an unknown file": (_FORM, _MIXTURE + _part("strings", _WAV) + _END),
    "one true stem of four": (_FORM, _MIXTURE + _part("bass", _WAV) + _END),
    "1,000 files": (_FORM, b"".join(_part(f"f{n}", b"x") for n in range(1000)) + _END),
    "a file called ../../x": (_FORM, _part("mixture", _WAV, '; filename="../../x"') + _END),
    "a file with a name of 4 KB": (_FORM, _part("mixture", _WAV, f'; filename="{"x" * 4096}"') + _END),
    "a right-to-left name and emoji": (_FORM, _part("mixture", _WAV, '; filename="שלום🎧‮.wav"') + _END),
    "a name with a null byte": (_FORM, _part("mixture", _WAV, '; filename="a\0b"') + _END),
    "a part that claims another encoding": (
        _FORM,
        _part("mixture", _WAV, head="Content-Transfer-Encoding: base64\r\n") + _END,
    ),
    "no boundary": ("multipart/form-data", _MIXTURE + _END),
    "another boundary": ("multipart/form-data; boundary=C", _MIXTURE + _END),
    "no end": (_FORM, _MIXTURE),
    "cut off in a file": (_FORM, _MIXTURE[:-1000]),
    "cut off in a head": (_FORM, _MIXTURE[:30]),
    "a head of 100 KB": (_FORM, _part("mixture", _WAV, head=f"X: {'x' * 100_000}\r\n") + _END),
    "the bytes without a form": ("audio/wav", _WAV),
}


def _form(sandbox: Sandbox, name: str) -> Outcome:
    kind, body = FORMS[name]
    with sandbox.at("oracle") as (server, _):
        answer = server.client.post("/separate", content=body, headers={"Content-Type": kind})
        return answered(answer, server.data, server.temporary)


UPLOAD_FORMS = Matrix(
    "Upload forms",
    "Uploads to a separator. The name of the uploaded file is never used.",
    "Form",
    list(FORMS),
    {"POST /separate": _form},
)


_PLACES = 3
"""Requests that each service accepts: one running, two queued."""

CONNECTIONS = {
    "hung up within the head": (0.05, False),
    "hung up within the body": (0.9, False),
    "hung up once it is sent": (1.0, False),
    "sent slowly, never to its end": (0.9, True),
    "idle": (0.0, True),
}
"""The share of the request that is sent, and whether the connection then stays open."""


def _post_until_accepted(server: Server, path: str, body: bytes, kind: str) -> httpx.Response:
    """POST until the service accepts it. Requests of disconnected clients may still be running."""
    while True:
        answer = server.client.post(path, content=body, headers={"Content-Type": kind})
        if answer.status_code != 503:
            return answer
        time.sleep(0.1)


def _ended(server: Server, path: str) -> float:
    """Number of POST requests to this path that have ended."""
    start = f'mssbench_requests_total{{method="POST",route="{path}",'
    lines = server.client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(start))


def _bad_clients(path: str, upload: bool = False) -> EntryPoint:
    """Open more such connections than the service accepts requests. Other clients are served."""

    def entry_point(sandbox: Sandbox, name: str) -> Outcome:
        share, stays = CONNECTIONS[name]
        with sandbox.at(SERVICE_OF[path]) as (server, folder), ExitStack() as open_ones:
            write_inputs(folder)
            body = _MIXTURE + _END if upload else json.dumps(valid_request(path, sandbox.name)).encode()
            head = (
                f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {_FORM if upload else inputs.JSON}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            ).encode()
            sent = int((len(head) + len(body)) * share)
            expected = _ended(server, path) + 1 + (_PLACES + 1) * (sent >= len(head))
            for _ in range(_PLACES + 1):
                address = (server.client.base_url.host, server.client.base_url.port)
                client = open_ones.enter_context(socket.create_connection(address, timeout=60))
                client.sendall((head + body)[:sent])
                if not stays:
                    client.close()
            if stays:
                assert server.client.get("/health").json()["in_flight"] == 0, (
                    "an incomplete request must not be counted as in flight"
                )
            else:
                wait_for(lambda: server.client.get("/health").json()["in_flight"] == 0)
            answer = _post_until_accepted(server, path, body, _FORM if upload else inputs.JSON)
            assert answer.is_success, answer.text
            open_ones.close()
            wait_for(lambda: server.client.get("/health").json()["in_flight"] == 0)
            if path == "/runs":
                # Requests that were accepted before their client disconnected may start runs, also after the good one.
                wait_for(lambda: _ended(server, path) == expected, "all requests have ended")
                for run in server.client.get("/runs").json():
                    cancel_and_delete(server, run["id"])
            return Outcome("others are served")

    return entry_point


CONNECTIONS_MATRIX = Matrix(
    "Connections",
    "Four clients that behave like this at once, and one that behaves well. A service runs one request and "
    "lets two wait.",
    "Clients",
    list(CONNECTIONS),
    {
        "POST /separate, upload": _bad_clients("/separate", upload=True),
        **{f"POST {path}": _bad_clients(path) for path in SERVICE_OF},
    },
)
