"""The Python API: run a benchmark, open a run, read its results, write its report. Documented in docs/python.md.

The names here are exported by the package: ``import mssbench; mssbench.run(...)``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mssbench_service.errors import BadInput, Conflict
from mssbench_service.files import DataRoot
from mssbench_service.wire import parse

from .execution.control import retry_failed
from .execution.launch import Cancelled, executor, finish, no_change
from .execution.prepare import prepare
from .runs.config import RunConfig, read_config, require_known, with_references
from .runs.results import column_kind, result_columns, result_rows
from .runs.run import Run, open_run
from .runs.status import Failure, RunStatus, failures_of, status_of
from .runs.store import RunStore, Workspace, open_workspace
from .services.runtime import make_runtime

if TYPE_CHECKING:
    import pandas as pd

Scheduler = Literal["inline", "embedded", "redis"]
ProgressCallback = Callable[[RunStatus], None]


class InvalidArgument(BadInput, ValueError):
    """An argument cannot be used.

    Inside the bench, bad input is a :class:`BadInput`, which is not a ``ValueError``: code that catches the
    ``ValueError`` of a parser must not catch it. Callers from Python may expect either, so this is both.
    """

    code = "invalid-argument"


class BenchmarkRun:
    """A run on disk: its status, its results and its report. Made by :func:`run` and :func:`load`.

    Each property reads the run directory when it is used, so it is current also while the run is running.

    Attributes
    ----------
    id : str
        Name of the run.
    folder : pathlib.Path
        The run directory.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    def __repr__(self) -> str:
        progress = self.status.progress
        return f"<BenchmarkRun {self.id}: {self.status.state}, {progress.ended}/{progress.cells} cells>"

    @property
    def id(self) -> str:
        return self._run.store.id

    @property
    def folder(self) -> Path:
        return self._run.store.folder

    @property
    def config(self) -> RunConfig:
        """The configuration of the run."""
        return self._run.record.config

    @property
    def status(self) -> RunStatus:
        """State and progress. ``status.state`` is ``complete``, ``incomplete``, ``running`` or ``cancelled``."""
        return status_of(self._run)

    @property
    def results(self) -> list[dict[str, Any]]:
        """One dictionary for each condition, separator, title and stem.

        It has the columns of ``results.csv``. A value that is undefined is None. Rows of a cell that failed or
        is pending have a ``status`` and a ``reason``, and no values.
        """
        names = result_columns()
        rows = result_rows(self._run.store, self._run.store.load())
        return [{name: row.get(name) for name in names} for row in rows]

    @property
    def failures(self) -> list[Failure]:
        """The cells that ended with an error: condition, separator, title, step and reason of each."""
        return failures_of(self._run)

    def to_pandas(self) -> pd.DataFrame:
        """:attr:`results` as a data frame.

        Returns
        -------
        pandas.DataFrame
            One row for each condition, separator, title and stem. Columns of numbers have the type float64, and
            an undefined value is NaN.

        Raises
        ------
        ImportError
            pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise ImportError("to_pandas() needs pandas: pip install pandas") from None
        frame = pd.DataFrame(self.results, columns=list(result_columns()), dtype="object")
        kinds = {name: column_kind(name) for name in result_columns()}
        frame = frame.fillna({name: "" for name, kind in kinds.items() if kind == "text"})
        types = {"text": "str", "matrix": "object"}
        return frame.astype({name: types.get(kind, "float64") for name, kind in kinds.items()})

    def summary(self) -> dict[str, Any]:
        """Medians over tracks with confidence intervals, and what they are about: the content of ``summary.json``.

        It is computed from the results that are there now. Its fields are described in docs/report.md.

        Raises
        ------
        InvalidArgument
            The run has no results.
        """
        from .report.analysis import analyse
        from .report.data import load as load_data
        from .report.summary import build

        with _invalid_arguments():
            data = load_data(self.folder)
            return dataclasses.asdict(build(data, analyse(data)))

    def report(self, *, audio: bool = True, listen: Sequence[tuple[str, str, str, str]] = ()) -> Path:
        """Write ``results.csv`` and the report from what is there now.

        Parameters
        ----------
        audio : bool
            Whether the report has audio excerpts.
        listen : sequence of (condition, separator, title, stem)
            Excerpts to add to those that are chosen.

        Returns
        -------
        pathlib.Path
            The report's ``index.html``.
        """
        with _invalid_arguments():
            finish(self._run, audio=audio, cells=listen)
        return self._run.store.layout.report

    def resume(
        self,
        *,
        failed: bool = False,
        accept_changes: bool = False,
        scheduler: Scheduler = "inline",
        redis_url: str = "",
        progress: ProgressCallback | None = None,
    ) -> BenchmarkRun:
        """Continue the run, however it was stopped.

        Parameters
        ----------
        failed : bool
            Whether to retry the cells that ended with an error.
        accept_changes : bool
            Whether to continue also if weights, versions or settings differ from those that the run began with. The
            changes are recorded with each new result.
        scheduler, redis_url, progress
            As for :func:`run`.

        Returns
        -------
        BenchmarkRun
            This run.

        Raises
        ------
        Conflict
            Another process is running it, or it was cancelled meanwhile.
        """
        execute = _executor(scheduler, redis_url)
        with _invalid_arguments():
            change = (
                functools.partial(retry_failed, self._run, accept=accept_changes) if failed else no_change
            )
            try:
                execute(self._run, progress or (lambda status: None), change, accept=accept_changes)
            except Cancelled:
                raise Conflict(f"run {self.id} was cancelled; resume() continues it") from None
        return self


def run(
    config: RunConfig | Mapping[str, Any] | str | Path | None = None,
    /,
    *,
    run_id: str = "",
    root: str | Path | None = None,
    scheduler: Scheduler = "inline",
    redis_url: str = "",
    progress: ProgressCallback | None = None,
    **settings: Any,
) -> BenchmarkRun:
    """Run a benchmark: render, separate, evaluate, report. The same call again continues a run that was stopped.

    Parameters
    ----------
    config : RunConfig, mapping, or path of a TOML file, optional
        The configuration. Paths in a :class:`RunConfig` are relative to the data root, those in a TOML file to
        the file's folder, those in a mapping to the working directory.
    run_id : str
        Name of the run. Default: derived from its configuration and the files of the dataset.
    root : path, optional
        The data root, which holds ``runs/``. Default: ``MSSBENCH_DATA_ROOT``, else the working directory.
    scheduler : {"inline", "embedded", "redis"}
        ``inline`` runs the steps one after another in this process. ``embedded`` starts a private Redis and
        worker processes, which use all cores and end with the call. ``redis`` uses the Redis at `redis_url` and
        the workers that are connected to it.
    redis_url : str
        URL of the Redis, for the scheduler ``redis``.
    progress : callable, optional
        Called with a :class:`RunStatus` at the start, while the run makes progress, and at the end. An exception
        that it raises stops the run, which can then be resumed.
    **settings
        Fields of :class:`RunConfig`; they take precedence over `config`. Paths are relative to the working
        directory.

    Returns
    -------
    BenchmarkRun
        The run. Cells that failed are in its ``failures``; they raise no exception.

    Raises
    ------
    InvalidArgument
        A ``ValueError``: an argument, the dataset, the HRIR set or a separator cannot be used.
    NotFound
        A file does not exist.
    Conflict
        Another process is running this run, or it was cancelled meanwhile.
    Unavailable
        None of the separators is available.

    Examples
    --------
    Tracks of two seconds, and the separator that returns the mixture for each stem:

    >>> import mssbench
    >>> folders = mssbench.write_demo("music", tracks=1, seconds=2.0)
    >>> found = mssbench.run(
    ...     dataset="music", separators=["oracle-mixture"], conditions=["stereo"], bsseval=False
    ... )
    >>> found.status.state
    'complete'
    >>> len(found.results)
    4
    """
    _executor(scheduler, redis_url)  # a bad argument is found before any work
    with _invalid_arguments():
        runtime = make_runtime(open_workspace(root).root)
        chosen = parse(RunConfig, _settings(config, runtime.root) | _settings(settings, runtime.root))
        found = BenchmarkRun(prepare(chosen, runtime, "mssbench.run()", run_id))
    return found.resume(scheduler=scheduler, redis_url=redis_url, progress=progress)


def load(run: str | Path, *, root: str | Path | None = None) -> BenchmarkRun:
    """Open a run that exists.

    Parameters
    ----------
    run : str or path
        Its id, or its folder (``runs/<id>`` in a data root).
    root : path, optional
        The data root, where `run` is an id. Default: as for :func:`run`.

    Raises
    ------
    NotFound
        There is no such run.
    InvalidArgument
        A ``ValueError``: `run` is not an id, or ``run.json`` is damaged.
    """
    with _invalid_arguments():
        if isinstance(run, Path) or Path(run).name != run:
            store = RunStore(Path(run).absolute())
            workspace = Workspace(store.folder.parent.parent)
        else:
            workspace = open_workspace(root)
            store = workspace.run(run)
        return BenchmarkRun(open_run(store, make_runtime(workspace.root)))


def list_runs(*, root: str | Path | None = None) -> list[str]:
    """The ids of the runs in a data root, newest first. :func:`load` opens one of them.

    Parameters
    ----------
    root : path, optional
        The data root. Default: as for :func:`run`.
    """
    return open_workspace(root).run_ids()


def write_demo(folder: str | Path, *, tracks: int = 4, seconds: float = 6.0) -> list[Path]:
    """Write a dataset of procedural music in the layout of MUSDB18-HQ.

    Parameters
    ----------
    folder : path
        The dataset's folder. Tracks that are there already stay.
    tracks : int
        Number of tracks.
    seconds : float
        Length of each track.

    Returns
    -------
    list of pathlib.Path
        The folders of the tracks.
    """
    from .datasets import demo

    with _invalid_arguments():
        return demo.write_demo(Path(folder), tracks=tracks, seconds=seconds)


def _executor(scheduler: str, redis_url: str) -> Callable[..., None]:
    """The function that executes a run in that way; it is called with the run, the callback and a change."""
    if scheduler not in ("inline", "embedded", "redis"):
        raise InvalidArgument(f"unknown scheduler {scheduler!r}; expected inline, embedded or redis")
    if bool(redis_url) != (scheduler == "redis"):
        raise InvalidArgument("redis_url is for scheduler='redis', which needs it")
    return executor(scheduler == "inline", redis_url)


def _settings(config: RunConfig | Mapping[str, Any] | str | Path | None, root: DataRoot) -> dict[str, Any]:
    if isinstance(config, RunConfig):
        return dataclasses.asdict(config)
    if isinstance(config, str | Path):
        return with_references(read_config(Path(config)), root)
    require_known(config or {})
    return with_references(config or {}, root)


@contextlib.contextmanager
def _invalid_arguments() -> Iterator[None]:
    """Raise InvalidArgument, a ValueError, in place of BadInput."""
    try:
        yield
    except BadInput as error:
        raise InvalidArgument(error.detail) from error
