"""Secrets: from an environment variable, or from a file that an environment variable names."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mssbench_service.errors import BadInput


def secret(name: str) -> str:
    """Read a secret from the variable `name`, or from the file that ``<name>_FILE`` names. Empty if neither is set.

    Raises
    ------
    BadInput
        The file cannot be read or is empty, or both variables are set.
    """
    value, file = os.environ.get(name, ""), os.environ.get(f"{name}_FILE", "")
    if not file:
        return value
    if value:
        raise BadInput(f"both {name} and {name}_FILE are set; expected one of them")
    try:
        value = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{name}_FILE={file} cannot be read: {error}") from None
    if not value:
        raise BadInput(f"{name}_FILE={file} is empty")
    return value


def without_password(text: str) -> str:
    """Remove the user and password of every URL in `text`, for messages, logs and records."""
    return re.sub(r"(?<=[?&]password=)[^&\s]*", "…", re.sub(r"(?<=://)\S*@", "", text))
