"""Model cards as text, for the command line, reports and the leaderboard."""

from __future__ import annotations

from collections.abc import Sequence

from mssbench_service.wire import ModelCard


def parameters_text(parameters: int | None) -> str:
    """Number of parameters in short form; empty if it is unknown.

    Examples
    --------
    >>> parameters_text(10_578_768), parameters_text(228_202_852), parameters_text(0), parameters_text(1_234)
    ('10.6 M', '228 M', '0', '1,234')
    """
    if parameters is None:
        return ""
    millions = parameters / 1e6
    return f"{parameters:,}" if millions < 1 else f"{millions:.{0 if millions >= 99.95 else 1}f} M"


def card_facts(card: ModelCard, stems: Sequence[str]) -> dict[str, str]:
    """What is known of a model, by heading; no entry for what is unknown, except for the test set."""
    facts = {
        "Architecture": card.architecture,
        "Parameters": parameters_text(card.parameters),
        "Training data": card.training_data,
        "Contains the test set of MUSDB18": card.contains_test_set,
        "Stems": ", ".join(stems) or "those that it is asked for",
        "Licence of the weights": card.licence,
        "Author": card.author,
    }
    return {name: value for name, value in facts.items() if value} if card != ModelCard() else {}


def card_line(card: ModelCard, stems: Sequence[str]) -> str:
    """A model card in one line; empty if nothing is known."""
    facts = card_facts(card, stems)
    forms = {
        "Architecture": "{}",
        "Parameters": "{} parameters",
        "Stems": "{}",
        "Training data": "trained on {}",
        "Contains the test set of MUSDB18": "MUSDB18 test set in it: {}",
        "Licence of the weights": "licence {}",
    }
    return "; ".join(form.format(facts[name]) for name, form in forms.items() if name in facts)
