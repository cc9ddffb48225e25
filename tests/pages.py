"""Documentation pages whose commands and code are run by tests."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


class Page:
    """One page of ``docs/``."""

    def __init__(self, name: str) -> None:
        self._text = (DOCS / name).read_text(encoding="utf-8")

    def blocks(self, kind: str, under: str = "") -> list[str]:
        """Return its code blocks of one kind, such as ``sh``, in order; with `under`, only those below that heading."""
        text = self._text
        if under:
            text = re.split(r"^## ", text.split(f"\n## {under}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
        return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run_commands(commands: str, folder: Path, environment: Mapping[str, str], seconds: float) -> str:
    """Run the shell commands of a page in `folder` and return their output; fail if one of them fails."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
    return done.stdout
