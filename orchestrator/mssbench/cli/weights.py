"""Commands for model weights, in the weights folder that the services read."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click
from mssbench_service import weights as store
from mssbench_service.errors import BadInput, BenchError, NotFound
from mssbench_service.names import suggestion

from ..services.registry import Service, load_registry
from ..services.weights import pinned_weights
from .progress import byte_bars
from .shared import cli


@cli.group()
def weights() -> None:
    """Fetch and verify the weights of the models.

    Example: mssbench weights fetch spleeter:2stems
    """


_names = click.argument("names", nargs=-1, metavar="[SERVICE[:MODEL]]...")
_model = click.option("--model", default="", help="Model of the service, if one service is given.")
_dest = click.option(
    "--dest",
    type=click.Path(path_type=Path),
    help="Weights folder. Default: MSSBENCH_WEIGHTS_DIR, else ~/.cache/mssbench/weights.",
)


@weights.command("fetch")
@_names
@_model
@_dest
def fetch(names: tuple[str, ...], model: str, dest: Path | None) -> None:
    """Download and verify the weights of models.

    Default: the default models of all services. Intact files are not downloaded again. An interrupted
    download is resumed. If a model cannot be fetched, the others are fetched all the same.

    Example: mssbench weights fetch spleeter --model spleeter:2stems
    """
    failed = []
    for service, models in _chosen(names, model).items():
        try:
            _fetch(service, models, dest or store.weights_folder(), skip=not names)
        except BenchError as error:
            failed.append(f"{service.name}: {error.detail}")
    if failed:
        raise BadInput(f"not fetched: {'; '.join(failed)}")


def _fetch(service: Service, models: list[str], dest: Path, *, skip: bool) -> None:
    """Fetch models of one service, each even if another one fails. `skip`: a service without weights is no error."""
    failed = []
    try:
        with pinned_weights(service) as path:
            pins = store.load(path, dest)
            for one in models or [pins.default]:
                sources = ", ".join(weight.source for weight in pins.of(one))
                click.echo(f"{service.name} {one}: {sources}", err=True)
                try:
                    with byte_bars() as show:
                        kept = store.fetch(path, dest, [one], progress=show)
                except BenchError as error:
                    failed.append(error.detail)
                else:
                    for file in kept:
                        click.echo(store.described(file))
    except NotFound:
        if not skip:
            raise
    if failed:
        raise BadInput("; ".join(failed))


@weights.command("verify")
@_names
@_model
@_dest
def verify(names: tuple[str, ...], model: str, dest: Path | None) -> None:
    """Check weights against their pinned sizes and checksums.

    Default: the default models of all services.

    Example: mssbench weights verify spleeter
    """
    wrong = 0
    for service, models in _chosen(names, model).items():
        folder = dest or store.weights_folder(service.name).parent
        with contextlib.ExitStack() as stack:
            try:
                path = stack.enter_context(pinned_weights(service))
            except NotFound:
                if names:
                    raise
                continue  # a separator without weights
            pins = store.load(path, folder)
            for one in models or [pins.default]:
                problems = store.verify(path, folder, [one])
                wrong += len(problems)
                for name, problem in problems.items():
                    click.echo(f"{folder / pins.service / name} {problem}; get it with: {pins.command(one)}")
                if not problems:
                    click.echo(f"{pins.service} {one}: all {len(pins.of(one))} files are intact")
    if wrong:
        raise BadInput(f"{wrong} files are missing or damaged")


def _chosen(names: tuple[str, ...], model: str) -> dict[Service, list[str]]:
    """Return the chosen services and the requested models of each (empty: the default). No names: all services."""
    separators = load_registry().separators
    chosen: dict[Service, list[str]] = {}
    for name in names or separators:
        service, _, of_service = name.partition(":")
        if service not in separators:
            raise NotFound(
                f"unknown service {service!r}; registered: {', '.join(separators)}{suggestion(service, separators)}"
            )
        models = chosen.setdefault(separators[service], [])
        if of_service:
            models.append(of_service)
    if model:
        if not names or len(chosen) != 1:
            raise BadInput("--model needs the name of exactly one service")
        next(iter(chosen.values())).append(model)
    return chosen
