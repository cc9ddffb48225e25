"""Model weights: fetched and verified in the weights folder that the services read."""

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
    """Weights of the models, pinned by each service."""


_names = click.argument("names", nargs=-1, metavar="[SERVICE[:MODEL]]...")
_model = click.option("--model", default="", help="The model, where one service is named.")
_dest = click.option(
    "--dest",
    type=click.Path(path_type=Path),
    help="Weights folder (default: MSSBENCH_WEIGHTS_DIR, else ~/.cache/mssbench/weights).",
)


@weights.command("fetch")
@_names
@_model
@_dest
def fetch(names: tuple[str, ...], model: str, dest: Path | None) -> None:
    """Download and verify the weights of the SERVICEs named, or of all.

    What is there and intact is not fetched again; an interrupted download goes on where it stopped.
    """
    kept: list[Path] = []
    with byte_bars() as show:
        for pins, models in _chosen(names, model):
            kept += store.fetch(pins, dest or store.weights_folder(), models, progress=show)
    for path in kept:
        click.echo(path)


@weights.command("verify")
@_names
@_model
@_dest
def verify(names: tuple[str, ...], model: str, dest: Path | None) -> None:
    """Check the weights of the SERVICEs named, or of all, against their pinned sizes and checksums."""
    wrong = 0
    for path, models in _chosen(names, model):
        pins = store.load(path)
        for one in models or [pins.default]:
            folder = dest or store.weights_folder(pins.service).parent
            problems = store.verify(path, folder, [one])
            wrong += len(problems)
            for name, problem in problems.items():
                click.echo(f"{folder / pins.service / name} {problem}; get it with: {pins.command(one)}")
            if not problems:
                click.echo(f"{pins.service} {one}: all {len(pins.of(one))} files are there and intact")
    if wrong:
        raise BadInput(f"{wrong} of the files are missing or damaged")


def _chosen(names: tuple[str, ...], model: str) -> Iterator[tuple[Path, list[str]]]:
    """Each chosen service's pins and the models asked for (none: its default)."""
    separators = load_registry().separators
    asked: dict[str, list[str]] = {}
    for name in names:
        service, _, of_service = name.partition(":")
        if service not in separators:
            raise NotFound(f"unknown service {service!r}; registered: {', '.join(separators)}")
        asked.setdefault(service, [])
        if of_service:
            asked[service].append(of_service)
    if model:
        if len(asked) != 1:
            raise BadInput("--model needs the name of the one service that it is of")
        next(iter(asked.values())).append(model)
    for service, models in asked.items():
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
