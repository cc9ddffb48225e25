"""Conditions on the command line: ``--condition NAME=…`` and several ``--hrir``."""

from __future__ import annotations

import importlib
import re
import tomllib
from typing import Any

from mssbench_service.errors import BadInput, NotReady
from mssbench_service.files import DataRoot
from mssbench_service.wire import Room

from ..runs.conditions import BINAURAL, Condition

_COMMA = re.compile(r",(?![^\[]*\])(?![^{]*\})")
"""A comma that is not within brackets."""


def read_condition(text: str) -> str | dict[str, Any]:
    """Read the value of ``--condition``.

    Parameters
    ----------
    text : str
        ``NAME``, ``NAME=HRIR``, or ``NAME=setting=value,setting=value`` with values as in TOML. The quotes of a plain
        text may be left out.

    Raises
    ------
    BadInput
        It has another form.

    Examples
    --------
    >>> read_condition("listener-2=sadie/D2")
    {'name': 'listener-2', 'hrir': 'sadie/D2'}
    >>> read_condition("elevated=hrir=set.sofa,placement=sphere,elevations=[-45,60]")
    {'name': 'elevated', 'hrir': 'set.sofa', 'placement': 'sphere', 'elevations': [-45, 60]}
    """
    name, given, settings = text.partition("=")
    if not given:
        return name
    if "=" not in settings:
        return {"name": name, "hrir": settings}
    found: dict[str, Any] = {"name": name}
    for part in _COMMA.split(settings):
        setting, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not setting or setting in found:
            raise BadInput(
                f"--condition {text!r:.100}: {part!r:.60} is not setting=value, or is given twice; expected "
                "NAME=HRIR or NAME=setting=value,…"
            )
        try:
            found[setting] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[setting] = value
    return found


def demo_scenes(root: DataRoot) -> list[Condition]:
    """The conditions of ``mssbench demo --scenes``. Their heads are written to the data root.

    Raises
    ------
    NotReady
        The synthesis is not installed here.
    """
    try:
        heads = importlib.import_module("synth_service.heads")
    except ImportError as error:
        raise NotReady(f"the demo of scenes needs the package synth_service here ({error})") from None
    folder = root.root / "data" / "demo-heads"
    for name, radius in (("head", 0.0875), ("large-head", 0.0975)):
        heads.write_head(folder / f"{name}.sofa", radius)
    return [
        Condition("elevated", root.reference(folder / "head.sofa"), "sphere", elevations=[-45, 60]),
        Condition("moving", placement="moving", speed_deg_s=[10, 60]),
        Condition("room", room=Room([6.0, 4.0, 3.0], 0.3, [2.5, 2.0, 1.5], 1.5)),
        Condition("listener-2", root.reference(folder / "large-head.sofa"), same_placement_as=BINAURAL),
    ]
