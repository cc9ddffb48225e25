"""Pages in headless Chromium: what they load and log, and their accessibility."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
TIMEOUT_MS = 180_000
"""Long enough for a machine under load."""

PLACES = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]
"""Widths of the screen in pixels, and colour schemes."""


@contextmanager
def chromium() -> Iterator[Any]:
    """Start the browser; the test is skipped where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine (set CHROMIUM to one)")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=TIMEOUT_MS)
        yield browser
        browser.close()


class Recorded:
    """A page in a context of its own, which loads only from addresses that start with one of `inside`.

    At its end, it must have had no console message, error or dialog.
    """

    def __init__(
        self, browser: Any, inside: tuple[str, ...], width: int, scheme: str, height: int, **context: Any
    ) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, **context
        )
        self.context.set_default_timeout(TIMEOUT_MS)
        self.page = self.context.new_page()
        self.inside = inside
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.expected: list[str] = []
        """Parts of messages that are no error."""
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("dialog", self._dismiss)
        self.page.on("request", lambda request: self.requests.append(request.url))

    def expect_refusal(self, status: int) -> None:
        """Allow the console message that Chromium writes for a failed request."""
        self.expected.append(f"the server responded with a status of {status} ")

    def wait_for(self, condition: str) -> None:
        # Not `wait_for_function`, which the content security policy of the page does not allow.
        deadline = time.monotonic() + TIMEOUT_MS / 1000
        while not self.page.evaluate(condition):
            assert time.monotonic() < deadline, condition
            self.page.wait_for_timeout(50)

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than the screen."""
        return int(
            self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        )

    def violations(self) -> list[tuple[str, str]]:
        """Return the violations that axe-core finds, with the first element of each."""
        axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
        found = axe.run(self.page).response["violations"]
        return [(one["id"], one["nodes"][0]["html"]) for one in found]

    def _dismiss(self, dialog: Any) -> None:
        self.messages.append(dialog.message)
        dialog.dismiss()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.context.close()
        if kind is not None:
            return  # show the first error
        assert [one for one in self.messages if not any(part in one for part in self.expected)] == []
        assert [url for url in self.requests if not url.startswith(self.inside)] == []


class RecordedPage(Recorded):
    """A page from disk, which requests nothing from the network."""

    def __init__(
        self, browser: Any, path: Path, width: int = 1280, scheme: str = "light", height: int = 900
    ) -> None:
        super().__init__(browser, ("file:",), width, scheme, height)
        self.page.goto(path.resolve().as_uri())
