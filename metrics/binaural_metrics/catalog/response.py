"""Place and timbre of the effective response."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..registry import Metric, Value, error_metric, register

if TYPE_CHECKING:
    from ..stem import Stem


def _response(name: str, stem: Stem) -> Value | None:
    if stem.options.hrir is None and name != "timbre_db":
        return None
    value, reason = getattr(stem.response, name), stem.response.reason(name)
    return None if value is None and not reason else Value(value, reason)


_angle = partial(Metric, unit="°", binaural_only=True, needs_hrir=True, option="dry")
_angle_error = partial(_angle, better="lower", low=0, high=180, perfect=0, decimals=1)

register(
    _angle(
        "heard_azimuth_deg",
        partial(_response, "heard_azimuth_deg"),
        "Azimuth of the HRIR set that is nearest the response to the dry stem that the estimate carries; leakage "
        "averages out.",
        low=0,
        high=360,
    ),
    _angle(
        "heard_elevation_deg",
        partial(_response, "heard_elevation_deg"),
        "Elevation of the same direction; of sets with elevations only.",
        low=-90,
        high=90,
    ),
    _angle_error(
        "lateral_error_deg",
        partial(_response, "lateral_error_deg"),
        "Error to the left or right: difference of the angles between the median plane and the directions of the "
        "responses of estimate and reference.",
        label="Lateral error",
    ),
    _angle_error(
        "polar_error_deg",
        partial(_response, "polar_error_deg"),
        "Error up, down, to the front or to the back: difference of the angles around the interaural axis; of sets "
        "with elevations only.",
        label="Polar error",
    ),
    error_metric(
        "front_back",
        partial(_response, "front_back"),
        "1 if the reference is in front and the estimate behind, or the other way round, else 0; of sets that tell "
        "them apart only.",
        high=1,
        label="Front-back confusion",
        decimals=0,
        binaural_only=True,
        needs_hrir=True,
        option="dry",
    ),
    error_metric(
        "timbre_db",
        partial(_response, "timbre_db"),
        "Change of timbre: standard deviation over bands, weighted by loudness, of the level of the estimate's "
        "response relative to the reference's; mean of both ears.",
        unit="dB",
        label="Timbre",
        binaural_only=True,
        option="dry",
    ),
)
