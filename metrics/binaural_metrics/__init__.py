"""Metrics of music source separation that say whether a stem kept its spatial image."""

from .cues import Hrirs
from .signals import InputError

__version__ = "0.2.0"
__all__ = ["Hrirs", "InputError"]
