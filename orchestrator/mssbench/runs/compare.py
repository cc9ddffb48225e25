"""Compares two runs: their settings, inputs and versions, and their scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from .records import RunRecord
from .results import Row

_KEY = ("condition", "separator", "title", "source")


@dataclass(frozen=True)
class Change:
    """One value that differs. An empty `column` means that only one run has the row."""

    condition: str
    separator: str
    title: str
    source: str
    column: str
    before: object
    after: object

    def __str__(self) -> str:
        where = f"{self.condition}/{self.separator}/{self.title}/{self.source}"
        return f"{where} {self.column or 'row'}: {_shown(self.before)} -> {_shown(self.after)}"


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "(nothing)" if value is None or value == "" else str(value)


def changes(before: Iterable[Row], after: Iterable[Row], tolerance: float = 0.0) -> list[Change]:
    """Find the values that differ between two tables of results, in the order of the first one.

    Parameters
    ----------
    before, after
        Rows of :func:`mssbench.runs.results.result_rows`.
    tolerance : float
        Largest difference of two equal numbers: absolute, or relative to the larger one.
    """
    first, second = _by_key(before), _by_key(after)
    found = []
    for key in dict.fromkeys([*first, *second]):
        one, other = first.get(key), second.get(key)
        if one is None or other is None:
            found.append(Change(*key, "", *("absent" if row is None else "present" for row in (one, other))))
            continue
        columns = [name for name in dict.fromkeys([*one, *other]) if name not in _KEY]
        found += [
            Change(*key, name, one.get(name), other.get(name))
            for name in columns
            if not _same(one.get(name), other.get(name), tolerance)
        ]
    return found


def _by_key(rows: Iterable[Row]) -> dict[tuple[str, str, str, str], Row]:
    return {(row["condition"], row["separator"], row["title"], row["source"]): row for row in rows}


def _same(one: object, other: object, tolerance: float) -> bool:
    if _is_number(one) and _is_number(other):
        return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)  # type: ignore[arg-type]
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_same(a, b, tolerance) for a, b in zip(one, other, strict=True))
    # An empty string and None are both an empty field in the CSV file.
    return (one if one is not None else "") == (other if other is not None else "")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def differences(before: RunRecord, after: RunRecord) -> list[str]:
    """Find differences in settings, code, files, HRIR set, separators and machine; one line each."""
    lines = [
        *pairs("setting", asdict(before.config), asdict(after.config)),
        *pairs("version of", before.versions, after.versions),
        *pairs("image of", before.images, after.images),
        *pairs("", {"commit": before.commit}, {"commit": after.commit}),
        *pairs("HRIR set:", _flat(before.hrir), _flat(after.hrir)),
        *pairs("machine:", before.machine, after.machine),
    ]
    for kind, described in (("track", _tracks), ("separator", _separators)):
        first, second = described(before), described(after)
        lines += pairs(kind, dict.fromkeys(first, "present"), dict.fromkeys(second, "present"))
        for name in first.keys() & second.keys():
            lines += pairs(f"{name}:", first[name], second[name])
    return lines


def _tracks(record: RunRecord) -> dict[str, dict[str, object]]:
    names = ("files", "samples", "start", "angles", "source")
    return {track.title: {name: getattr(track, name) for name in names} for track in record.tracks}


def _separators(record: RunRecord) -> dict[str, dict[str, object]]:
    return {separator.name: asdict(separator) for separator in record.separators}


def _flat(value: Any) -> dict[str, object]:
    return {} if value is None else asdict(value)


def pairs(what: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """One line for each name whose values differ; `what` begins it."""
    for name in dict.fromkeys([*before, *after]):
        one, other = before.get(name), after.get(name)
        if one != other:
            yield f"{what} {name}: {_short(one)} -> {_short(other)}".strip()


def _short(value: object) -> str:
    text = _shown(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
