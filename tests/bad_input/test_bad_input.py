"""Every bad input at every entry point is refused with a problem document or one line, or gives a correct result.

The observed outcomes must equal those in ``docs/bad-input.md``, which ``make bad-input`` writes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
import tables_page
from cells import Matrix, Sandbox
from entry_points import Commands, Server, serving
from matrix import MATRICES
from mssbench.execution.embedded import embedded_server
from tables_page import Table

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
        redis = stack.enter_context(embedded_server())
        found = {
            name: stack.enter_context(serving(app, root / name, MSSBENCH_REDIS_URL=redis.url))
            for name, app in SERVICES.items()
        }
        (found["orchestrator"].data / "runs").mkdir(exist_ok=True)
        yield found


@pytest.fixture
def sandboxes(
    servers: Mapping[str, Server],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[], Sandbox]:
    """A factory of sandboxes, one for each cell."""
    for name in ("MSSBENCH_DATA_ROOT", "MSSBENCH_REDIS_URL", "MSSBENCH_TRANSPORT", "MSSBENCH_SERVICES"):
        monkeypatch.delenv(name, raising=False)
    command = Commands(capfd, monkeypatch, tmp_path)
    return lambda: Sandbox(servers, command, Path(tempfile.mkdtemp(prefix="here-", dir=tmp_path)))


@pytest.fixture(scope="module")
def tables() -> Iterator[dict[str, Table]]:
    """The tables of the page. With ``WRITE_BAD_INPUT`` set, new tables, which are written to the page."""
    if not tables_page.UPDATE:
        yield tables_page.read()
        return
    old = tables_page.read()
    new = {}
    for matrix in MATRICES:
        columns = [*matrix.entry_points, tables_page.MESSAGE]
        known = old.get(matrix.title)
        new[matrix.title] = Table(matrix.title, matrix.row_heading, columns)
        if known is not None and known.entry_points == columns:  # rows that are not run stay as they are
            new[matrix.title].rows |= {row: known.rows[row] for row in matrix.rows if row in known.rows}
    yield new
    for matrix in MATRICES:
        table = new[matrix.title]
        table.rows = {row: table.rows[row] for row in matrix.rows if row in table.rows}
    tables_page.write(new, {matrix.title: matrix.introduction for matrix in MATRICES})


ACCEPTED = {"200", "202", "0"}

each_input = pytest.mark.parametrize(
    ("matrix", "row"),
    [(m, row) for m in MATRICES for row in m.rows],
    ids=lambda value: value if isinstance(value, str) else value.title,
)


@each_input
def test_each_input_at_one_entry_point(
    matrix: Matrix, row: str, sandboxes: Callable[[], Sandbox], tables: dict[str, Table]
) -> None:
    """The entry points alternate, so that each input and each entry point is covered.

    The page has the message of the first entry point that refuses.
    """
    names = list(matrix.entry_points)
    entry_point = names[matrix.rows.index(row) % len(names)]
    outcome, table = matrix.entry_points[entry_point](sandboxes(), row), tables[matrix.title]
    assert outcome.code == table.cell(row, entry_point)
    if outcome.message and all(
        table.cell(row, name) in ACCEPTED for name in names[: names.index(entry_point)]
    ):
        assert tables_page.shown(outcome.message) == table.cell(row, tables_page.MESSAGE)


@pytest.mark.long
@each_input
def test_every_input_at_every_entry_point(
    matrix: Matrix, row: str, sandboxes: Callable[[], Sandbox], tables: dict[str, Table]
) -> None:
    outcomes = [entry_point(sandboxes(), row) for entry_point in matrix.entry_points.values()]
    message = next((outcome.message for outcome in outcomes if outcome.message), "")
    cells = [*(outcome.code for outcome in outcomes), tables_page.shown(message)]
    if tables_page.UPDATE:
        tables[matrix.title].rows[row] = cells
    assert tables[matrix.title].rows[row] == cells


def test_the_page_has_every_row_and_no_other() -> None:
    tables = tables_page.read()
    assert {title: list(table.rows) for title, table in tables.items()} == {
        matrix.title: matrix.rows for matrix in MATRICES
    }
    assert {title: table.entry_points for title, table in tables.items()} == {
        matrix.title: [*matrix.entry_points, tables_page.MESSAGE] for matrix in MATRICES
    }
