"""Every hostile input through every door: refused with a problem document or one line, or right.

What is observed must be what ``docs/bad-input.md`` says; ``make bad-input`` writes that page anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import documented
import pytest
from documented import Table
from doors import Commands, Server, serving
from matrix import MATRICES, Matrix, Place
from mssbench.execution.embedded import embedded_redis

SERVICES = {
    "oracle": "oracle_service.app:app",
    "synth": "synth_service.app:app",
    "evaluator": "evaluator_service.app:app",
    "orchestrator": "mssbench.server.app:app",
}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Server]]:
    root = tmp_path_factory.mktemp("servers")
    with ExitStack() as stack:
        redis = stack.enter_context(embedded_redis())
        found = {
            name: stack.enter_context(serving(app, root / name, MSSBENCH_REDIS_URL=redis))
            for name, app in SERVICES.items()
        }
        (found["orchestrator"].data / "runs").mkdir()
        yield found


@pytest.fixture
def places(
    servers: Mapping[str, Server],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[], Place]:
    """Makes a place for each cell."""
    for name in ("MSSBENCH_DATA_ROOT", "MSSBENCH_REDIS_URL", "MSSBENCH_TRANSPORT", "MSSBENCH_SERVICES"):
        monkeypatch.delenv(name, raising=False)
    command = Commands(capfd, monkeypatch, tmp_path)
    return lambda: Place(servers, command, Path(tempfile.mkdtemp(prefix="here-", dir=tmp_path)))


@pytest.fixture(scope="module")
def tables() -> Iterator[dict[str, Table]]:
    """The page's tables; or, where it is to be written, new ones that become it."""
    if not documented.WRITES:
        yield documented.read()
        return
    old = documented.read()
    new = {}
    for matrix in MATRICES:
        columns = [*matrix.doors, documented.SAID]
        known = old.get(matrix.title)
        new[matrix.title] = Table(matrix.title, matrix.corner, columns)
        if known is not None and known.doors == columns:  # what is not run now stays as it is
            new[matrix.title].rows |= {row: known.rows[row] for row in matrix.rows if row in known.rows}
    yield new
    for matrix in MATRICES:
        table = new[matrix.title]
        table.rows = {row: table.rows[row] for row in matrix.rows if row in table.rows}
    documented.write(new, {matrix.title: matrix.introduction for matrix in MATRICES})


@pytest.mark.parametrize(
    ("matrix", "row"),
    [(m, row) for m in MATRICES for row in m.rows],
    ids=lambda value: value if isinstance(value, str) else value.title,
)
def test_each_input_through_one_door(
    matrix: Matrix, row: str, places: Callable[[], Place], tables: dict[str, Table]
) -> None:
    """The doors take turns, so that each input and each door is covered."""
    names = list(matrix.doors)
    door = names[matrix.rows.index(row) % len(names)]
    assert matrix.doors[door](places(), row).code == tables[matrix.title].cell(row, door)


@pytest.mark.long
@pytest.mark.parametrize(
    ("matrix", "row"),
    [(m, row) for m in MATRICES for row in m.rows],
    ids=lambda value: value if isinstance(value, str) else value.title,
)
def test_every_input_through_every_door(
    matrix: Matrix, row: str, places: Callable[[], Place], tables: dict[str, Table]
) -> None:
    outcomes = [door(places(), row) for door in matrix.doors.values()]
    said = next((outcome.said for outcome in outcomes if outcome.said), "")
    cells = [*(outcome.code for outcome in outcomes), documented.shown(said)]
    if documented.WRITES:
        tables[matrix.title].rows[row] = cells
    assert tables[matrix.title].rows[row] == cells


def test_the_page_has_every_row_and_no_other() -> None:
    tables = documented.read()
    assert {title: list(table.rows) for title, table in tables.items()} == {
        matrix.title: matrix.rows for matrix in MATRICES
    }
    assert {title: table.doors for title, table in tables.items()} == {
        matrix.title: [*matrix.doors, documented.SAID] for matrix in MATRICES
    }
