"""Model cards in ``weights.toml``: what is known of a model besides its files.

.. code-block:: toml

    [cards.htdemucs]
    architecture = "HT Demucs"
    parameters = 41_984_456
    training_data = "MUSDB18-HQ, train, and 800 songs"
    training_tracks = ["musdb18:train"]   # titles, or all of a split of MUSDB18
    contains_test_set = "no"              # of MUSDB18: yes, no or unknown
    licence = "MIT"
    author = "Meta AI"

The cards of the user's own models are in ``presets.toml`` (:mod:`mssbench_service.weights`).
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from .errors import BadInput
from .weights import PRESETS_FILE, read_tables
from .wire import ModelCard, parse


def read_card(weights_toml: Path, folder: Path, model: str) -> ModelCard:
    """Card of `model` in ``weights.toml``, or in the user's ``presets.toml`` in the service's weights `folder`.

    Empty if there is none.

    Raises
    ------
    BadInput
        It has an unknown key or a wrong value. The message names the file.
    """
    values: dict[str, object] = {}
    for path in (folder / PRESETS_FILE, weights_toml):
        if path.is_file():
            cards = read_tables(path).get("cards", {})
            entry = cards.get(model, {}) if isinstance(cards, dict) else cards
            values |= checked_card(entry, f"{path}: [cards.{model}]")
    return parse(ModelCard, values)


def checked_card(entry: object, where: str) -> dict[str, Any]:
    """The keys and values of a card. `where` begins the message of the error, ``BadInput``."""
    if not isinstance(entry, dict):
        raise BadInput(f"{where} is not a table")
    known = [field.name for field in fields(ModelCard)]
    if unknown := [key for key in entry if key not in known]:
        raise BadInput(f"{where} has the unknown key {unknown[0]!r}; known: {', '.join(known)}")
    try:
        parse(ModelCard, entry)
    except BadInput as error:
        raise BadInput(f"{where}: {error.detail}") from None
    return entry
