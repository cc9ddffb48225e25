"""Colour and marker of each condition in all figures."""

from __future__ import annotations

from dataclasses import dataclass

from . import svg


@dataclass(frozen=True)
class Mark:
    """Colour and marker of a condition."""

    colour: str
    marker: str


MARKS = {"stereo": Mark(svg.BLUE, "o"), "binaural": Mark(svg.ORANGE, "D")}
_OTHER = Mark(svg.GREEN, "s")


def mark_of(condition: str) -> Mark:
    """The mark of a condition; all but ``stereo`` and ``binaural`` have the same one."""
    return MARKS.get(condition, _OTHER)


def mark_order(condition: str) -> int:
    """Sort key of conditions in legends."""
    return [*MARKS].index(condition) if condition in MARKS else len(MARKS)
