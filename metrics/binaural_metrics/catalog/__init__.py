"""The metrics of this package: one entry each, in the order in which they are computed."""

from . import listener, spauq, cues, response, paper2026, standard  # noqa: F401, I001  # the order of the columns
