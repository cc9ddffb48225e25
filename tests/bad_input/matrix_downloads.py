"""Matrices of downloads: archives, pinned weights, archives of weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler

from cells import EntryPoint, Matrix, Sandbox, write_mixture
from entry_points import Outcome
from inputs import ARCHIVES
from mssbench_contract.server import http_server, send
from weights import CONTENT, PINNED, TARS, URL, pins


@contextmanager
def _file_server(content: bytes, but: Callable[[str], Mapping[str, bytes]] = lambda url: {}) -> Iterator[str]:
    """Yield the URL of a server that returns `content` for every path except those of `but`."""
    others: Mapping[str, bytes] = {}

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        send(handler, others.get(handler.path, content))

    with http_server(answer) as url:
        others = but(url)
        yield url


def _fetch_dataset(sandbox: Sandbox, name: str) -> Outcome:
    with _file_server(ARCHIVES[name]()) as url:
        outcome = sandbox.command(
            sandbox.folder,
            "data",
            "fetch",
            "sadie-d1-wav",
            "out",
            "--accept-licence",
            "--url",
            f"{url}/x.zip",
        )
    assert sorted(path.name for path in sandbox.folder.iterdir()) == [".lock"]
    return Outcome(outcome.code, outcome.message.replace(url, "URL"))


def _separate_by_upload(sandbox: Sandbox, name: str) -> Outcome:
    write_mixture(sandbox.folder / "mixture.wav")
    with _file_server(ARCHIVES[name]()) as url:
        outcome = sandbox.command(
            sandbox.folder, "separate", "mixture.wav", "--separator", "x", "--url", url, "-o", "out"
        )
    assert sorted(path.name for path in sandbox.folder.iterdir()) == ["mixture.wav"]
    return Outcome(outcome.code, outcome.message.replace(url, "URL"))


def _weights_server(name: str) -> AbstractContextManager[str]:
    pinned, content = PINNED[name], CONTENT
    return _file_server(content, lambda url: {"/weights": pinned.replace(URL.encode(), url.encode())})


def _weights_command(action: str) -> EntryPoint:
    """Run the command for a service whose package is not installed, so that its weights are listed over HTTP."""

    def entry_point(sandbox: Sandbox, name: str) -> Outcome:
        with _weights_server(name) as url:
            outcome = _run_with_service(sandbox, url, "weights", action, "x", "--dest", "weights")
        there = {path.relative_to(sandbox.folder).as_posix() for path in sandbox.folder.rglob("*")}
        model = "weights/x/model.bin"
        assert there <= {"services.toml", "weights", "weights/x", "weights/x/.lock", model, f"{model}.sha256"}
        assert (model in there) == (action == "fetch" and outcome.code == "0")
        return outcome

    return entry_point


def _run_with_service(sandbox: Sandbox, url: str, *arguments: str) -> Outcome:
    (sandbox.folder / "services.toml").write_text(
        '[tools]\nsynth = { module = "synth_service", url = "http://synth:8000" }\n'
        'evaluator = { module = "evaluator_service", url = "http://evaluator:8000" }\n'
        f'[separators]\nx = {{ module = "no_such_package", url = "{url}" }}\n'
    )
    outcome = sandbox.command(
        sandbox.folder, *arguments, MSSBENCH_SERVICES=str(sandbox.folder / "services.toml")
    )
    return Outcome(outcome.code, outcome.message.replace(url, "URL"))


PINS_OF_WEIGHTS = Matrix(
    "Pinned weights",
    "The response of a separator's service to `GET /weights`. The server has the one file of the model.",
    "Pins",
    list(PINNED),
    {"weights fetch": _weights_command("fetch"), "weights verify": _weights_command("verify")},
)


def _fetch_archive_of_weights(sandbox: Sandbox, name: str) -> Outcome:
    def weights(url: str) -> dict[str, bytes]:
        return {"/weights": pins(name="model.tar.gz", url=f'"{url}/m"', more='unpack = "model"\n')}

    with _file_server(TARS[name](), weights) as url:
        outcome = _run_with_service(sandbox, url, "weights", "fetch", "x", "--dest", "weights")
        if outcome.code == "0":
            assert _run_with_service(sandbox, url, "weights", "verify", "x", "--dest", "weights").code == "0"
    there = {path.relative_to(sandbox.folder).as_posix() for path in sandbox.folder.glob("*/*/*")}
    assert there <= {"weights/x/.lock", "weights/x/model"}
    assert {path.name for path in sandbox.folder.iterdir()} == {"services.toml", "weights"}
    return outcome


ARCHIVES_OF_WEIGHTS = Matrix(
    "Archives of weights",
    "A model that is distributed as an archive without a pinned checksum.",
    "Archive",
    list(TARS),
    {"weights fetch": _fetch_archive_of_weights},
)

ARCHIVE_FILES = Matrix(
    "Archives",
    "A downloaded dataset, and the response of a service to the upload of a track.",
    "Archive",
    list(ARCHIVES),
    {"data fetch": _fetch_dataset, "separate --url": _separate_by_upload},
)
