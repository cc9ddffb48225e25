"""The application of a separator service: ``POST /separate`` by upload or by reference."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from .admission import run_job
from .app import JOB_PROBLEMS, Settings, create_app
from .errors import BadInput, NotFound, StorageFull
from .files import DISK_FULL
from .known import KNOWN_PARAMETERS, require_known_fields
from .names import suggestion
from .offered import OfferedSeparators
from .problems import UPLOADS, problems
from .separation import (
    MOST_STEMS,
    ReferenceSeparator,
    Separator,
    Separators,
    reference_files,
    separate_track,
    weights_file,
)
from .stems import MIXTURE, WELL_KNOWN, check_stem_names, in_order
from .wire import SeparateRequest, parse

_SOUND = {"type": "string", "format": "binary"}
_TEXT = {"type": "string"}

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [MIXTURE],
                    "properties": {
                        MIXTURE: {**_SOUND, "description": "the track"},
                        **{stem: {**_SOUND, "description": "true stem (oracle)"} for stem in Separator.stems},
                    },
                    "additionalProperties": {**_SOUND, "description": "true stem of another name (oracle)"},
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["mixture", "out"],
                    "additionalProperties": False,
                    "properties": {
                        "mixture": {**_TEXT, "description": "sound file, under the data root"},
                        "out": {**_TEXT, "description": "folder for the stems, under the data root"},
                        "separator": _TEXT,
                        "references": {**_TEXT, "description": "folder of true stems (oracle)"},
                        "reference_gain": {
                            "type": "number",
                            "description": "gain that brings the stems to the mixture's level",
                        },
                        "stems": {
                            "type": "array",
                            "items": _TEXT,
                            "description": "true stems in that folder (default: those of MUSDB18-HQ)",
                        },
                    },
                }
            },
        },
    }
}

_STEMS: dict[str, Any] = {
    "description": "For an upload the stems, or the requested one; by reference the record",
    "content": {
        "application/zip": {"schema": _SOUND},
        "audio/wav": {"schema": _SOUND},
        "application/json": {"schema": {"type": "object", "description": "the content of separation.json"}},
    },
}
_WEIGHTS: dict[str, Any] = {
    "description": "weights.toml",
    "content": {"application/toml": {"schema": _TEXT}},
}


def create_separator_app(
    name: str, version: str, separators: Separators, settings: Settings | None = None
) -> FastAPI:
    """Create the application of a separator service.

    Parameters
    ----------
    name : str
    version : str
        Version of the service's own package, which ``GET /info`` reports.
    separators : mapping
        Functions that create the separators, by name; the first is the default of ``POST /separate``.
    settings : Settings, optional
        Default: from the environment.
    """
    settings = settings or Settings.from_environment()
    offered = OfferedSeparators(separators)
    default = offered.default

    def info() -> dict[str, Any]:
        offered.retry()
        return {
            "separators": offered.describe(),
            "stems": list(default.stems or Separator.stems),
            "device": default.device,
            **default.details(),
        }

    app = create_app(
        name,
        version,
        settings=settings,
        info=info,
        setup=offered.set_up,
        jobs=["/separate"],
        uploads=["/separate"],
        device=lambda: default.device,
    )

    @app.get(
        "/weights",
        summary="The pinned weights (weights.toml)",
        response_class=FileResponse,
        responses={200: _WEIGHTS, **problems(404)},
    )
    async def pinned() -> Response:
        pins = weights_file(default)
        if not pins.is_file():
            raise NotFound(f"{name} pins no weights")
        return FileResponse(pins, media_type="application/toml")

    @app.post(
        "/separate",
        summary="Separate one track",
        response_class=FileResponse,
        responses={200: _STEMS, **JOB_PROBLEMS},
        openapi_extra=_BODY,
        dependencies=[KNOWN_PARAMETERS],
    )
    async def separate(request: Request, separator: str = "", stem: str = "") -> Response:
        """Multipart upload: the mixture in, a zip of float32 WAV files out (or one stem with ``?stem=``).
        JSON: files under the data root by reference."""
        for name in ("separator", "stem"):
            if len(request.query_params.getlist(name)) > 1:  # only the last one would be used
                raise BadInput(f"?{name}= is given several times; expected once")
        await anyio.to_thread.run_sync(offered.retry)
        content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if content_type == "application/json":
            try:
                body = await request.json()
            except (ValueError, RecursionError):  # not text, not JSON, or nested too deep
                raise BadInput("the request body is not JSON") from None
            by_reference = _reference_request(body, separator, stem)
            return await run_job(request, _by_reference(settings, offered.choose, by_reference, version))
        if content_type != "multipart/form-data":
            raise BadInput(f"content type {content_type!r}; expected multipart/form-data or application/json")
        label, chosen = offered.choose(separator)
        if stem and stem not in (stems := chosen.stems or Separator.stems):
            raise BadInput(f"unknown stem {stem!r}; expected one of {', '.join(stems)}")
        form = await _form_of(request)
        try:
            return await run_job(request, _by_upload(settings, label, chosen, form, stem))
        finally:
            await form.close()

    return app


def _reference_request(body: object, separator: str, stem: str) -> SeparateRequest:
    """Parse a request by reference. Parameters of its URL are used or refused, never ignored."""
    require_known_fields(SeparateRequest, body)
    request = parse(SeparateRequest, body)
    if stem:
        raise BadInput("?stem= is for uploads; a request by reference writes all stems")
    if separator and request.separator not in ("", separator):
        raise BadInput(f"the body names the separator {request.separator!r}, and the URL {separator!r}")
    request.separator = request.separator or separator
    return request


def _by_reference(
    settings: Settings,
    choose: Callable[[str], tuple[str, Separator]],
    body: SeparateRequest,
    version: str,
) -> Callable[[], Response]:
    root = settings.data_root
    label, separator = choose(body.separator)
    mixture, out = root.existing(body.mixture), root.resolve(body.out)
    references = reference_files(root, body.references, body.stems)

    def work() -> Response:
        result = separate_track(
            separator,
            label,
            mixture,
            out,
            references,
            reference_gain=body.reference_gain,
            max_seconds=settings.max_seconds,
            stems=body.stems,
            version=version,
        )
        return JSONResponse(asdict(result))

    return work


async def _form_of(request: Request) -> FormData:
    """Read the form in the request's body. Large files are kept on disk."""
    more = True

    async def receive() -> Message:
        nonlocal more
        message = await request.receive()
        more = message.get("more_body", False)
        return message

    try:
        with _storage_full_raised():
            return await Request(request.scope, receive).form(max_files=1 + MOST_STEMS, max_fields=0)
    except ValueError as error:  # of the parser; an older Starlette does not handle it
        raise BadInput(f"the form cannot be read: {error}") from None
    except HTTPException as error:
        if not str(error.detail).startswith("Too many fields"):
            raise
        raise BadInput(
            "the form has a field that is not a file; expected files only, and the separator and the stem as "
            "parameters of the URL (/separate?separator=NAME&stem=NAME)"
        ) from None
    except StorageFull:
        while more:  # a client that receives a response while it sends reports a broken connection
            await receive()
        raise


def _by_upload(
    settings: Settings, label: str, separator: Separator, form: FormData, stem: str
) -> Callable[[], Response]:
    uploads = {part: value for part, value in form.multi_items() if isinstance(value, UploadFile)}
    if len(uploads) != len(form.multi_items()):
        raise BadInput("the form must hold each file once and nothing but files")
    if len(uploads) == 1 and not uploads.keys() & set(WELL_KNOWN):
        uploads = {MIXTURE: next(iter(uploads.values()))}  # a single file is the mixture under any name
    if MIXTURE not in uploads:
        raise BadInput(f"the form has no file called {MIXTURE!r}")
    references = in_order(uploads.keys() - {MIXTURE})
    check_stem_names(references, "the form")
    unknown = sorted(set(references) - set(Separator.stems))
    if unknown and (len(references) == 1 or not isinstance(separator, ReferenceSeparator)):
        near = suggestion(unknown[0], [MIXTURE, *Separator.stems])
        raise BadInput(
            f"unknown file {unknown[0]!r} in the form{near or f'; expected {MIXTURE!r}, and true stems'}"
        )
    if references and set(references) <= set(Separator.stems) and set(references) != set(Separator.stems):
        raise BadInput(f"true stems must be sent together: {', '.join(Separator.stems)}")

    @_storage_full_raised()
    def work() -> Response:
        folder = Path(tempfile.mkdtemp(prefix=UPLOADS))
        try:
            paths = {}
            for part, upload in uploads.items():
                # Named after the form's field: the name of the uploaded file is never used as a path.
                paths[part] = folder / part
                with paths[part].open("wb") as file:
                    shutil.copyfileobj(upload.file, file)
                upload.file.close()  # frees its copy on the disk
            truth = {part: paths[part] for part in references} or None
            out = folder / "out"
            separate_track(separator, label, paths[MIXTURE], out, truth, max_seconds=settings.max_seconds)
            answer, media_type = _pack(folder, out, stem)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return _TemporaryFile(answer, media_type=media_type, filename=answer.name, folder=folder)

    return work


@contextlib.contextmanager
def _storage_full_raised() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        what = "no room left for an upload and its stems in the folder for temporary files"
        raise StorageFull(what) from error


class _TemporaryFile(FileResponse):
    """Sends a file and then removes its folder, also if it could not be sent.

    A background task would not run if the client disconnects, or requests a range that is not available.
    """

    def __init__(self, path: Path, *, media_type: str, filename: str, folder: Path) -> None:
        super().__init__(path, media_type=media_type, filename=filename)
        self._folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(shutil.rmtree, self._folder, True)


def _pack(folder: Path, out: Path, stem: str) -> tuple[Path, str]:
    if stem:
        return out / f"{stem}.wav", "audio/wav"
    answer = folder / "stems.zip"
    # Not compressed: it takes long, and float samples become hardly smaller.
    with zipfile.ZipFile(answer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(out.iterdir()):
            archive.write(path, path.name)
            path.unlink()  # frees the disk for the next one
    return answer, "application/zip"
