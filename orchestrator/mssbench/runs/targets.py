"""What a run scores: the targets, and the stems of a separator that estimate each of them.

A target is a set of the dataset's stems, whose sum is its reference. Most have one stem and its name;
``accompaniment`` is composite: all stems but ``vocals``. A track that lacks all stems of a target has no row of it.

A separator with finer stems than the dataset is folded: its further stems are added to ``other``. One that estimates
``vocals`` and a complete rest offers ``accompaniment``, as the sum of the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from mssbench_service.errors import BadInput
from mssbench_service.names import suggestion
from mssbench_service.stems import ACCOMPANIMENT, VOCALS, canonical, check_stem_names, in_order
from mssbench_service.wire import SeparatorInfo, Target

REST = "other"
"""The stem that stands for everything without a stem of its own."""


def reference(target: str, stems: Sequence[str]) -> list[str]:
    """Those of the `stems` of a track that `target` is the sum of; empty if it cannot be built from them."""
    if target in stems:
        return [target]
    rest = [stem for stem in stems if stem != VOCALS]
    return rest if target == ACCOMPANIMENT and VOCALS in stems else []


def estimate(
    target: str, separator: SeparatorInfo, stems: Sequence[str], own: Sequence[str] | None = None
) -> list[str]:
    """The separator's stems that estimate `target`; empty if it does not offer the target.

    `stems` are those of the dataset, and `own` those of the track, where they differ.
    """
    given = separator.needs_references and not separator.stems
    offered = separator.stems or ((own or stems) if given else [target])
    finer = [one for one in offered if one not in (*stems, ACCOMPANIMENT)]
    if target in offered:
        return [target, *finer] if target == REST else [target]
    complete = given or REST in offered or set(offered) >= set(stems)
    if target == ACCOMPANIMENT and VOCALS in offered and complete:
        return [one for one in offered if one != VOCALS]
    return []


def offered(
    targets: Sequence[str], separator: SeparatorInfo, stems: Sequence[str], own: Sequence[str] | None = None
) -> list[str]:
    """Those of `targets` that the separator offers and, if `own` is given, that the track has the stems of."""
    own = stems if own is None else own
    return [one for one in targets if reference(one, own) and estimate(one, separator, stems, own)]


def scored_targets(
    targets: Sequence[str], separator: SeparatorInfo, stems: Sequence[str], own: Sequence[str]
) -> dict[str, Target]:
    """The reference and the estimate of each of `targets`, by name, in the form of a request to the evaluator."""
    return {one: Target(reference(one, own), estimate(one, separator, stems, own)) for one in targets}


def choose_targets(
    asked: Sequence[str],
    separators: Sequence[SeparatorInfo],
    stems: Sequence[str],
    tracks: Sequence[Sequence[str]] = (),
) -> list[str]:
    """The targets of a run.

    Parameters
    ----------
    asked : sequence of str
        Targets that the user names, by any of their names. Empty: the dataset's stems, and ``accompaniment`` if a
        separator has that stem.
    separators : sequence of SeparatorInfo
        The separators that can be used. A target that none of them offers is left out.
    stems : sequence of str
        Stems of the dataset.
    tracks : sequence of sequence of str
        Stems of each track of the run, where they differ. A target that no track has the stems of is left out.

    Raises
    ------
    BadInput
        A target cannot be built from the stems, no separator offers any, or a separator has two stems of one name.
    """
    sets = {tuple(own): None for own in tracks} or {tuple(stems): None}
    for separator in separators:
        check_stem_names(separator.stems, separator.name)
    asked = list(map(canonical, asked))
    for target in asked:
        if asked.count(target) > 1:
            raise BadInput(f"the target {target!r} is given twice")
        if not any(reference(target, own) for own in sets):
            held = in_order({stem for own in sets for stem in own})
            near = suggestion(target, [*held, ACCOMPANIMENT])
            raise BadInput(f"the target {target!r} cannot be built from the stems {', '.join(held)}{near}")
    own = any(ACCOMPANIMENT in separator.stems for separator in separators)
    composite = [ACCOMPANIMENT] if own and ACCOMPANIMENT not in stems else []
    wanted = list(asked) or [*stems, *composite]
    found = [
        target
        for target in wanted
        if any(offered([target], one, stems, own) for one in separators for own in sets)
    ]
    if not found:
        names = ", ".join(separator.name for separator in separators)
        raise BadInput(f"none of the targets {', '.join(wanted)} is offered by {names}")
    return found


def folding(
    targets: Sequence[str], separator: SeparatorInfo, stems: Sequence[str], own: Sequence[str] | None = None
) -> list[str]:
    """One line for each target that is estimated by a sum of the separator's stems, or by more than its reference."""
    parts = {target: estimate(target, separator, stems, own) for target in targets}
    lines = [f"{target} is {' + '.join(names)}" for target, names in parts.items() if len(names) > 1]
    missing = [one for one in own or stems if one not in (*separator.stems, VOCALS, ACCOMPANIMENT)]
    if REST in parts and separator.stems and missing:
        lines.append(f"{REST} may hold {' and '.join(missing)}, which the separator does not estimate")
    return lines
