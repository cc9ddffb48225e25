"""Commands for model weights, in the weights folder that the services read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
from mssbench_service import weights as store
from mssbench_service.errors import BadInput, NotFound

from ..services.registry import Service, load_registry
from ..services.weights import pinned_weights
from .shared import byte_bars, cli


@cli.group()
def weights() -> None:
    """Fetch and verify the weights of the models."""


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
    download is resumed.
    """
    kept: list[Path] = []
    with byte_bars() as show:
        for pins, models in _chosen(names, model):
            kept += store.fetch(pins, dest or store.weights_folder(), models, progress=show)
    for path in kept:
        click.echo(store.described(path))


@weights.command("verify")
@_names
@_model
@_dest
def verify(names: tuple[str, ...], model: str, dest: Path | None) -> None:
    """Check weights against their pinned sizes and checksums.

    Default: the default models of all services.
    """
    wrong = 0
    for path, models in _chosen(names, model):
        pins = store.load(path)
        for one in models or [pins.default]:
            folder = dest or store.weights_folder(pins.service).parent
            pins = store.load(path, folder)
            problems = store.verify(path, folder, [one])
            wrong += len(problems)
            for name, problem in problems.items():
                click.echo(f"{folder / pins.service / name} {problem}; get it with: {pins.command(one)}")
            if not problems:
                click.echo(f"{pins.service} {one}: all {len(pins.of(one))} files are intact")
    if wrong:
        raise BadInput(f"{wrong} files are missing or damaged")


def _chosen(names: tuple[str, ...], model: str) -> Iterator[tuple[Path, list[str]]]:
    """Yield the pins of each chosen service and its requested models (empty: the default)."""
    separators = load_registry().separators
    requested: dict[str, list[str]] = {}
    for name in names:
        service, _, of_service = name.partition(":")
        if service not in separators:
            raise NotFound(f"unknown service {service!r}; registered: {', '.join(separators)}")
        requested.setdefault(service, [])
        if of_service:
            requested[service].append(of_service)
    if model:
        if len(requested) != 1:
            raise BadInput("--model needs the name of exactly one service")
        next(iter(requested.values())).append(model)
    for service, models in requested.items():
        with pinned_weights(separators[service]) as pins:
            yield pins, models
    if not names:
        yield from ((pins, []) for pins in _all(list(separators.values())))


def _all(services: list[Service]) -> Iterator[Path]:
    for service in services:
        try:
            with pinned_weights(service) as pins:
                yield pins
        except NotFound:
            continue  # a separator without weights
