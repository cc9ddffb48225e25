"""Commands for datasets."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from mssbench_service.errors import BadInput, Unavailable, printable
from mssbench_service.names import suggestion
from mssbench_service.wire import HrirRequest
from rich.console import Console
from rich.table import Table

from .commands import Choice
from .progress import byte_bars, progress_bar
from .shared import cli, current_runtime, print_message, print_result, reference_of, titles_of, titles_option

if TYPE_CHECKING:
    from ..datasets.check import DatasetReport, TrackReport

DEMO_DATASET = Path("data/demo")


@cli.group()
def data() -> None:
    """Get, check and convert datasets.

    Example: mssbench data demo data/demo
    """


@data.command("demo")
@click.argument("out", type=click.Path(path_type=Path), default=DEMO_DATASET)
def data_demo(out: Path) -> None:
    """Write the demo dataset.

    OUT gets synthetic music in the MUSDB18-HQ layout.

    Example: mssbench data demo data/demo
    """
    from ..datasets.demo import write_demo

    for folder in write_demo(out):
        print_result(str(folder))


@data.command("fetch")
@click.argument("name")
@click.argument("out", type=click.Path(path_type=Path), required=False)
@click.option("--accept-licence", is_flag=True, help="Accept the licence that is shown.")
@click.option("--url", help="Fetch from this mirror. The content must be the same.")
@click.option("--sha256", help="SHA-256 of the archive, if none is pinned or you use another version.")
def data_fetch(
    name: str, out: Path | None, accept_licence: bool, url: str | None, sha256: str | None
) -> None:
    """Download and verify a dataset.

    OUT is data/NAME by default. NAME is musdb18hq, musdb18-7 (excerpts of 7 s), sadie-d1 (HRIRs as SOFA
    files), sadie-d1-wav (as WAV files) or angles (the azimuths of the paper). After an interruption, run
    the same command again to continue.

    Example: mssbench data fetch musdb18-7 data/musdb18-7
    """
    from ..datasets import fetch
    from ..datasets.catalog import load_catalog

    catalog = load_catalog()
    if name not in catalog:
        raise BadInput(
            f"there is no dataset {name!r} to fetch; expected one of {', '.join(catalog)}{suggestion(name, catalog)}"
        )
    source = catalog[name]
    if sha256 is not None:
        if len(sha256) != 64 or set(sha256.lower()) - set("0123456789abcdef"):
            raise BadInput(f"{sha256!r} is not a SHA-256; expected 64 hexadecimal digits")
        source = replace(source, sha256=sha256.lower(), size=None, md5="")
    if url is not None:
        if not url.startswith(("https://", "http://")):
            raise BadInput(f"{url!r} is not a URL to fetch from; expected http:// or https://")
        source = replace(source, url=url)
    for line in (source.title, *source.licence.strip().splitlines(), ""):
        print_message(line)
    if not accept_licence:
        raise BadInput(f"to fetch {name}, accept its licence with --accept-licence")
    if not source.pinned:
        print_message("No checksum of this archive is known. Its content is checked instead.")
    out = out or Path("data") / source.default_name
    checks: dict[str, fetch.Accept] = {
        "musdb18hq": fetch.accept_musdb18hq,
        "stems": fetch.accept_splits,
        "angles": fetch.accept_angles,
        "hrir": _accept_hrir,
    }
    with byte_bars() as show:
        fetched = fetch.fetch(source, out, checks[source.content], progress=show)
    print_result(str(out) if fetched else f"{out} exists already")
    if not source.sha256 and (found := fetch.fetched_sha256(out)):
        print_message(f"The SHA-256 of its archive is {found}; --sha256 compares it on another machine.")


def _accept_hrir(folder: Path) -> None:
    """Raise BadInput unless the folder holds an HRIR set. Loads the set at 44.1 kHz."""
    sofa = sorted(folder.glob("**/*_44K_*.sofa")) or sorted(folder.glob("**/*.sofa"))
    chosen = sofa[0] if sofa else folder
    runtime = current_runtime()
    try:
        info = runtime.describe_hrir(HrirRequest(reference_of(runtime, str(chosen))))
    except Unavailable as error:
        print_message(f"Not checked: {error.detail}")
        return
    measured = f"at {info.side:g}° the left ear is {info.itd_90_us:.0f} µs earlier and {info.ild_90_db:.1f} dB louder"
    print_message(f"{chosen.relative_to(folder)}: {measured}")


@data.command("check")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--split", type=Choice(["train", "test"]), help="Default: all splits in FOLDER.")
@titles_option
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def data_check(folder: Path, split: str | None, titles: tuple[str, ...], as_json: bool) -> None:
    """Check every sample of a dataset.

    FOLDER is in the MUSDB18-HQ layout or holds MUSDB18's .stem.mp4 files. The exit code is 2 if a track
    cannot be used, else 0. Notes do not change it.

    Example: mssbench data check /data/MUSDB18-HQ
    """
    from ..datasets.check import check_dataset

    with progress_bar("check") as show:
        report = check_dataset(folder, [split] if split else [], show, titles_of(titles))
    if as_json:
        tracks = [asdict(track) | {"status": track.status} for track in report.tracks]
        # ASCII: JSON leaves some control characters as they are otherwise.
        click.echo(json.dumps(asdict(report) | {"tracks": tracks}, indent=1, allow_nan=False))
    else:
        _print_report(report)
    if unusable := report.unusable():
        first = unusable[0]
        raise BadInput(
            f"{len(unusable)} of {len(report.tracks)} tracks cannot be used; "
            f"{first.split}/{first.title}: {first.problems[0]}"
        )


def _print_report(report: DatasetReport) -> None:
    out = Console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("split", "title", "length", "mixture − stems, dB", "clipped", "status"):
        words = heading in ("split", "title", "status")
        table.add_column(heading, justify="left" if words else "right", overflow="fold")
    for track in report.tracks:
        table.add_row(*_row(track))
    out.print(table)
    # Not wrapped: one line per finding, for grep.
    for kind in ("problem", "note"):
        for track in report.tracks:
            for text in track.problems if kind == "problem" else track.notes:
                print_result(f"{kind}: {track.split}/{track.title}: {text}")
    for text in report.notes:
        print_result(f"note: {text}")
    for stems, count in Counter(tuple(track.stems) for track in report.tracks if track.stems).items():
        click.echo(f"stems: {', '.join(stems)} ({count} tracks)")
    seconds = sum(track.seconds or 0.0 for track in report.tracks)
    noted = sum(track.status == "note" for track in report.tracks)
    click.echo(
        f"{len(report.tracks)} tracks, {seconds / 60:.1f} minutes: {len(report.unusable())} with problems, "
        f"{noted} with notes"
    )


def _row(track: TrackReport) -> list[str]:
    from rich.markup import escape

    length = "" if track.seconds is None else f"{int(track.seconds) // 60}:{track.seconds % 60:04.1f}"
    residual = " ".join("–" if level is None else f"{level:.1f}" for level in track.residual_db)
    clipped = str(sum(track.clipped.values()))
    return [
        escape(printable(text))
        for text in (track.split, track.title, length, residual, clipped, track.status)
    ]


@data.command("convert")
@click.argument("stem_mp4_dir", type=click.Path(path_type=Path))
@click.argument("out_dir", type=click.Path(path_type=Path))
def data_convert(stem_mp4_dir: Path, out_dir: Path) -> None:
    """Convert MUSDB18's .stem.mp4 files to the MUSDB18-HQ layout.

    STEM_MP4_DIR holds {train,test}/<title>.stem.mp4. The files in OUT_DIR are 32-bit floating point, because
    decoded music exceeds full scale. They need about twice the space of MUSDB18-HQ. After an interruption,
    run the same command again to continue.

    Example: mssbench data convert /data/musdb18 /data/musdb18-wav
    """
    from ..datasets.convert import convert_dataset

    with progress_bar("convert") as show:
        count = convert_dataset(stem_mp4_dir, out_dir, show)
    print_result(f"{count} tracks: {out_dir}")
