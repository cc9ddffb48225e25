"""What the fuzz tests share: the number of examples, and strategies for values that are almost valid.

``MSSBENCH_FUZZ`` multiplies the number of examples: 0.1 by default (``make test``), 1 in ``make test-long``. Up to 1
the examples are the same each time, so that a failure is due to a change. Above 1 they are random (``make fuzz``,
which prints the seed).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase
from mssbench_service.errors import BenchError

FACTOR = float(os.environ.get("MSSBENCH_FUZZ") or 0.1)
RANDOM = FACTOR > 1
SEED = int(os.environ.get("MSSBENCH_FUZZ_SEED") or 0)


def examples(number: int) -> settings:
    """Settings for `number` examples times :data:`FACTOR`."""
    return settings(
        max_examples=max(1, round(number * FACTOR)),
        derandomize=not RANDOM,
        database=DirectoryBasedExampleDatabase(".hypothesis/examples") if RANDOM else None,
        deadline=None,  # a slow machine is not a failure
        suppress_health_check=list(HealthCheck),
        phases=[phase for phase in Phase if phase is not Phase.explain],
        print_blob=True,
    )


_AWKWARD_TEXT = st.sampled_from(
    [
        "",
        "..",
        "/etc/passwd",
        "a\0b",
        "\ud800",
        "é",
        "e\u0301",
        "x" * 300,
        "../" * 20 + "x",
        " ",
        "\n",
        "-1",
        "nan",
    ]
)
TEXT = st.text(max_size=12) | _AWKWARD_TEXT
LATIN = st.text(st.characters(max_codepoint=255), max_size=40)
"""Text that a header can hold."""

NUMBERS = (
    st.integers()
    | st.floats()
    | st.sampled_from([0, -1, 10**400, 2**63, 1e308, -0.0, 5e-324, float("nan"), float("inf")])
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def json_near(draw: st.DrawFn, value: Any) -> Any:
    """Parsed JSON like `value`, with one to three parts removed, added or replaced."""
    value = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(1, 3))):
        value = _edited(draw, value)
    return value


def _edited(draw: st.DrawFn, value: Any) -> Any:
    places: Sequence[Any] = list(value) if isinstance(value, dict) else []
    if isinstance(value, list):
        places = range(len(value))
    what = draw(st.sampled_from(["replace", "descend", "descend", "remove", "add"])) if places else "replace"
    if what == "replace":
        return draw(JSON)
    if what == "add":
        if isinstance(value, dict):
            return value | {draw(TEXT): draw(JSON)}
        return [*value, draw(st.sampled_from(value) | JSON)]
    place = draw(st.sampled_from(places))
    if what == "descend":
        inner = _edited(draw, value[place])
        if isinstance(value, dict):
            return value | {place: inner}
        return [*value[:place], inner, *value[place + 1 :]]
    if isinstance(value, dict):
        return {name: kept for name, kept in value.items() if name != place}
    return [*value[:place], *value[place + 1 :]]


@st.composite
def bytes_near(draw: st.DrawFn, seed: bytes) -> bytes:
    """`seed` with one to four pieces overwritten, removed, repeated, inserted or cut off."""
    content = bytearray(seed)
    for _ in range(draw(st.integers(1, 4))):
        # Prefer the first bytes, because headers are at the start.
        at = draw(st.integers(0, min(len(content), 128)) | st.integers(0, len(content)))
        length = draw(st.integers(1, 16))
        match draw(st.sampled_from(["byte", "number", "remove", "repeat", "cut", "insert"])):
            case "byte":
                content[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "number":
                number = draw(st.sampled_from([b"\0", b"\xff", b"\x7f", b"\x80"])) * draw(
                    st.sampled_from([2, 4, 8])
                )
                content[at : at + len(number)] = number
            case "remove":
                del content[at : at + length]
            case "repeat":
                content[at:at] = content[at : at + length]
            case "cut":
                del content[at:]
            case "insert":
                content[at:at] = draw(st.binary(max_size=16))
    return bytes(content)


@st.composite
def text_near(draw: st.DrawFn, seed: str) -> bytes:
    """The text `seed` with words replaced, and in some examples with bytes changed."""
    words = re.findall(r"\w+|\s+|[^\w\s]", seed)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(words) - 1))
        other = draw(
            st.sampled_from(words)
            | st.sampled_from(["=", "[", "]", "{", "}", '"', "\n", "nan", "-1", "true", "''", "[]", "1e400"])
            | TEXT
        )
        words[at : at + draw(st.integers(0, 2))] = [other]
    content = "".join(words).encode(errors="surrogatepass")
    return draw(bytes_near(content)) if draw(st.booleans()) else content


@st.composite
def json_bytes_near(draw: st.DrawFn, seed: bytes) -> bytes:
    """A JSON file like `seed`: usually valid JSON with another structure."""
    if draw(st.integers(0, 4)) == 0:
        return draw(bytes_near(seed))
    return json.dumps(draw(json_near(json.loads(seed)))).encode()


def is_one_line(error: BenchError) -> bool:
    """Whether the message of `error` is one printable line."""
    return bool(error.detail) and "\n" not in error.detail and bool(error.detail.encode())
