"""Names of stems. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .errors import BadInput

STEMS = ("vocals", "drums", "bass", "other")
"""The stems of MUSDB18-HQ, and of services that declare none."""

SPLITS = ("train", "test")

MIXTURE = "mixture"
VOCALS, ACCOMPANIMENT = "vocals", "accompaniment"
"""The two targets of every kind of model: the voice, and the sum of all else."""

WELL_KNOWN = (*STEMS, ACCOMPANIMENT, "guitar", "piano")

ALIASES = dict.fromkeys(("instrumental", "instrum", "no_vocals", "music", "karaoke"), ACCOMPANIMENT)
"""Other names of stems. They are read where estimates are imported, and never written."""


def canonical(name: str) -> str:
    """Return the name of the stem that is also called `name`.

    Examples
    --------
    >>> canonical("Instrumental"), canonical("Piano")
    ('accompaniment', 'piano')
    """
    return ALIASES.get(name.lower(), name.lower())


def in_order(stems: Iterable[str]) -> tuple[str, ...]:
    """Return `stems` in the order of all tables: MUSDB18-HQ's four first, the others by name."""
    found = set(stems)
    return (*(stem for stem in STEMS if stem in found), *sorted(found.difference(STEMS)))


def check_stem_names(stems: Sequence[str], owner: str) -> None:
    """Raise ``BadInput`` unless `stems` are distinct names of ``a-z``, ``0-9`` and ``_``, and none is the mixture.

    Beside ``vocals``, the rest has one name only (:data:`ALIASES`).
    """
    for stem in stems:
        if not re.fullmatch(r"[a-z0-9_]{1,64}", stem) or stem == MIXTURE:
            raise BadInput(f"{owner} has a stem called {stem!r:.80}; expected a name of a-z, 0-9 and _")
        if list(stems).count(stem) > 1:
            raise BadInput(f"{owner} has two stems called {stem!r}")
        if stem in ALIASES and VOCALS in stems:
            raise BadInput(f"{owner} has a stem called {stem!r}; it should be called {ALIASES[stem]!r}")
