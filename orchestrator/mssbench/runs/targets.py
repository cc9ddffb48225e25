"""What a run scores: the targets, and the stems of a separator that estimate each of them.

A target is a set of the dataset's stems, whose sum is its reference. Most have one stem and its name;
``accompaniment`` is composite: all stems but ``vocals``. All functions take the stems of the dataset.

A separator with finer stems than the dataset is folded: its further stems are added to ``other``. One that estimates
``vocals`` and a complete rest offers ``accompaniment``, as the sum of the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from mssbench_service.errors import BadInput
from mssbench_service.stems import ACCOMPANIMENT, VOCALS, check_stem_names
from mssbench_service.wire import SeparatorInfo

REST = "other"
"""The stem that stands for everything without a stem of its own."""


def reference(target: str, stems: Sequence[str]) -> list[str]:
    """The dataset's stems that `target` is the sum of; empty if it cannot be built from them."""
    if target in stems:
        return [target]
    rest = [stem for stem in stems if stem != VOCALS]
    return rest if target == ACCOMPANIMENT and VOCALS in stems else []


def estimate(target: str, separator: SeparatorInfo, stems: Sequence[str]) -> list[str]:
    """The separator's stems that estimate `target`; empty if it does not offer the target."""
    offered = separator.stems or (stems if separator.needs_references else [target])
    finer = [one for one in offered if one not in (*stems, ACCOMPANIMENT)]
    if target in offered:
        return [target, *finer] if target == REST else [target]
    complete = REST in offered or set(offered) >= set(stems)
    if target == ACCOMPANIMENT and VOCALS in offered and complete:
        return [one for one in offered if one != VOCALS]
    return []


def offered(targets: Sequence[str], separator: SeparatorInfo, stems: Sequence[str]) -> list[str]:
    """Those of `targets` that the separator offers."""
    return [target for target in targets if estimate(target, separator, stems)]


def choose_targets(
    asked: Sequence[str], separators: Sequence[SeparatorInfo], stems: Sequence[str]
) -> list[str]:
    """The targets of a run.

    Parameters
    ----------
    asked : sequence of str
        Targets that the user names. Empty: the dataset's stems, and ``accompaniment`` if a separator has that stem.
    separators : sequence of SeparatorInfo
        The separators that can be used. A target that none of them offers is left out.
    stems : sequence of str
        Stems of the dataset.

    Raises
    ------
    BadInput
        A target cannot be built from `stems`, no separator offers any, or a separator has two stems of one name.
    """
    for separator in separators:
        check_stem_names(separator.stems, separator.name)
    for target in asked:
        if not reference(target, stems):
            raise BadInput(f"the target {target!r} cannot be built from the stems {', '.join(stems)}")
    own = any(ACCOMPANIMENT in separator.stems for separator in separators)
    composite = [ACCOMPANIMENT] if own and len(reference(ACCOMPANIMENT, stems)) > 1 else []
    wanted = list(asked) or [*stems, *composite]
    found = [target for target in wanted if any(estimate(target, one, stems) for one in separators)]
    if not found:
        names = ", ".join(separator.name for separator in separators)
        raise BadInput(f"none of the targets {', '.join(wanted)} is offered by {names}")
    return found


def folding(targets: Sequence[str], separator: SeparatorInfo, stems: Sequence[str]) -> list[str]:
    """One line for each target that is estimated by a sum of the separator's stems."""
    parts = {target: estimate(target, separator, stems) for target in targets}
    return [f"{target} is {' + '.join(names)}" for target, names in parts.items() if len(names) > 1]
