"""How conditions were rendered, as ``summary.json`` has it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from mssbench_service.wire import HrirInfo, Room

from ..runs.fingerprint import digest
from ..runs.records import RunRecord


@dataclass
class RenderingSummary:
    """How a condition with settings of its own was rendered. `placements` is a hash of where all stems were."""

    condition: str
    hrir: str
    hrir_sha256: str
    profile: str
    placement: str
    placements: str
    seeds: list[int]
    same_placement_as: str
    interpolate: bool
    room: Room | None


def rendering_summary(record: RunRecord, name: str, hrir: HrirInfo) -> RenderingSummary:
    """The entry of the condition `name`, which was rendered with the set `hrir`."""
    condition, keys = record.config.rendered(name), record.config.replicates[name]
    places = [[track.title, [asdict(track.placements[key]) for key in keys]] for track in record.tracks]
    return RenderingSummary(
        name,
        hrir.name,
        hrir.sha256,
        condition.profile,
        condition.placement,
        digest(places)[:20],
        condition.seeds,
        condition.same_placement_as,
        condition.interpolate,
        condition.room,
    )
