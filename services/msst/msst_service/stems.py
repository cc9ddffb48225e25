"""Names of the stems that a YAML file of MSST declares.

MSST's names differ from the benchmark's in two ways. "Instrumental" has several names, all of which mean the
accompaniment. And "other" means the mixture without the model's other stems: only in a model with drums and bass is it
the stem of MUSDB18-HQ that has this name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mssbench_service.stems import ACCOMPANIMENT, ALIASES, VOCALS

OTHER = "other"


def stem_names(instruments: Sequence[str], *, other_fix: bool = False) -> list[str]:
    """Names of the stems of a model with these instruments, in the same order.

    Parameters
    ----------
    instruments : sequence of str
        ``training.instruments``.
    other_fix : bool
        ``training.other_fix``: "other" is all but the vocals.

    Examples
    --------
    >>> stem_names(["drums", "bass", "other", "Vocals"])
    ['drums', 'bass', 'other', 'vocals']
    >>> stem_names(["vocals", "other"]), stem_names(["vocals", "Instrumental"])
    (['vocals', 'accompaniment'], ['vocals', 'accompaniment'])
    >>> stem_names(["drums", "other"])
    ['drums', 'no_drums']
    >>> stem_names(["speech", "music", "effects"])
    ['speech', 'music', 'effects']
    """
    plain = [re.sub(r"[^a-z0-9_]+", "_", name.strip().lower()) for name in instruments]
    aliases = ALIASES.keys() if VOCALS in plain else ALIASES.keys() - {"music"}
    names = []
    for name in plain:
        if name in aliases or (name == OTHER and other_fix and VOCALS in plain):
            name = ACCOMPANIMENT
        elif name == OTHER and len(plain) == 2:
            name = rest_of(plain[1 - plain.index(OTHER)])
        names.append(name)
    return names


def rest_of(stem: str) -> str:
    """Name of the mixture without `stem`.

    Examples
    --------
    >>> rest_of("vocals"), rest_of("accompaniment"), rest_of("drums")
    ('accompaniment', 'vocals', 'no_drums')
    """
    return {VOCALS: ACCOMPANIMENT, ACCOMPANIMENT: VOCALS}.get(stem, f"no_{stem}")
