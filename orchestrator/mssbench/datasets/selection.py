"""Parts of a dataset: tracks by their titles, and an excerpt of each track."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from binaural_metrics.layouts import composed
from mssbench_service.errors import BadInput

EXCERPT_FILE = "excerpt.json"
"""Record in the folder of an excerpt: where it lies in the track, and the checksums of its files."""

_NUMBER = re.compile(r"\d{1,9}(\.\d{0,9})?|\.\d{1,9}", re.ASCII)


def choose_titles(wanted: Sequence[str], titles: Sequence[str]) -> list[str]:
    """The `titles` that `wanted` names, in their own order; all of them if `wanted` is empty.

    Each of `wanted` is a title, a pattern such as ``Music Delta*``, or several of them with commas between them.

    Raises
    ------
    BadInput
        One of them matches no title; the message has the nearest one.

    Examples
    --------
    >>> choose_titles(["B*"], ["Aria", "Ballad", "Blues"])
    ['Ballad', 'Blues']
    """
    by_form = {composed(title): title for title in titles}
    chosen: set[str] = set()
    for text in wanted:
        # A title may contain a comma or a bracket, so the whole text is looked up first.
        parts = [text] if _matching(text, by_form) else [part.strip() for part in text.split(",")]
        for part in parts:
            if not (found := _matching(part, by_form)):
                near = [title for title in titles if part and part.casefold() in title.casefold()]
                near = near or difflib.get_close_matches(part, titles, n=1, cutoff=0.4)
                hint = f"there are {len(titles)}, such as {titles[0]!r}"
                raise BadInput(
                    f"no track has the title {part!r}; {f'did you mean {near[0]!r}?' if near else hint}"
                )
            chosen.update(found)
    return [title for title in titles if title in chosen] if wanted else list(titles)


def _matching(text: str, titles: dict[str, str]) -> list[str]:
    form = composed(text)
    if form in titles:
        return [titles[form]]
    return [title for known, title in titles.items() if fnmatch.fnmatchcase(known, form)]


def titles_in(path: Path) -> list[str]:
    """Titles or patterns in a text file, one per line. Raises BadInput if it cannot be read or has none."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{path} cannot be read as a list of titles: {getattr(error, 'strerror', None) or error}"
        ) from None
    if not (found := [line.strip() for line in lines if line.strip()]):
        raise BadInput(f"{path} contains no title; expected one per line")
    return found


@dataclass(frozen=True)
class Excerpt:
    """`seconds` of a track from `start` on; from the start of its loudest part if `start` is None."""

    seconds: float
    start: float | None = None

    @classmethod
    def parse(cls, text: str) -> Excerpt:
        """Read ``START:LENGTH`` or ``LENGTH``, in seconds.

        Raises
        ------
        BadInput
            It is neither, or the length is 0.

        Examples
        --------
        >>> Excerpt.parse("30:7.5")
        Excerpt(seconds=7.5, start=30.0)
        """
        parts = [part.strip() for part in text.split(":")]
        if len(parts) > 2 or not all(_NUMBER.fullmatch(part) for part in parts) or not float(parts[-1]) > 0:
            raise BadInput(
                f"the excerpt is {text!r}; expected START:LENGTH in seconds, such as 30:10, or LENGTH, with a start "
                "of 0 or more and a length above 0"
            )
        return cls(float(parts[-1]), float(parts[0]) if len(parts) == 2 else None)
