"""Commands that copy runs and datasets to and from a URL."""

from __future__ import annotations

from pathlib import Path

import click
from mssbench_service.errors import BadInput, NotFound
from mssbench_service.names import suggestion

from ..runs.store import open_workspace
from .progress import byte_bars
from .shared import cli, print_result

_estimates = click.option(
    "--estimates/--no-estimates", default=True, help="Whether the estimates of a run are copied."
)


@cli.command()
@click.argument("source", metavar="RUN|FOLDER")
@click.argument("url")
@_estimates
def push(source: str, url: str, estimates: bool) -> None:
    """Copy a run or a dataset to URL, such as s3://bucket/folder.

    The source is the id or the folder of a run, or the folder of a dataset. Each file is verified after the
    transfer. After an interruption, run the same command again to continue.

    Example: mssbench push RUN s3://bucket/folder
    """
    from ..tools import transfer

    with byte_bars() as show:
        done = transfer.push(_folder(source), url, estimates=estimates, progress=show)
    print_result(f"{done.kind}: {done.place} ({done.copied} files copied, {done.kept} were there)")


@cli.command()
@click.argument("url")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), required=False)
@_estimates
def pull(url: str, folder: Path | None, estimates: bool) -> None:
    """Copy a run or dataset that mssbench push wrote at URL.

    FOLDER is runs/ID or data/NAME by default. Each file is verified. After an interruption, run the
    same command again to continue. FOLDER appears when it is complete.

    Example: mssbench pull s3://bucket/folder
    """
    from ..tools import transfer

    with byte_bars() as show:
        done = transfer.pull(url, open_workspace(), folder, estimates=estimates, progress=show)
    print_result(f"{done.kind}: {done.place} ({done.copied} files copied, {done.kept} were there)")


def _folder(source: str) -> Path:
    """The folder that `source` names: the run of this id, or the folder at this path."""
    path = Path(source)
    if path.name != source:
        return path
    try:
        workspace = open_workspace()
        run = workspace.run(source)
    except BadInput:  # a folder may have any name, a run may not
        return path
    if not run.exists():
        if not path.exists() and (near := suggestion(source, workspace.run_ids())):
            raise NotFound(f"there is no run or folder {source!r}{near}")
        return path
    if path.is_dir() and run.folder.absolute() != path.absolute():
        raise BadInput(f"{source} is a run and a folder; give the path ./{source} or {run.folder}")
    return run.folder
