"""Pages of a running orchestrator in headless Chromium, and the steps of their users."""

from __future__ import annotations

import re
from typing import Any

from browsing import Recorded


class Watched(Recorded):
    """A page of the service `system`, from which alone it loads."""

    def __init__(self, browser: Any, system: Any, width: int = 1280, scheme: str = "light") -> None:
        inside = (system.url, "data:")  # reports embed their audio
        super().__init__(browser, inside, width, scheme, 900, base_url=system.url)


def separator(page: Any, name: str) -> Any:
    """The checkbox of a separator. Its label may hold more than the name."""
    return page.locator(f"input[name=separators][value='{name}']")


def open_form(page: Any) -> None:
    """Open the page of runs and wait until the separators are listed."""
    page.goto("/")
    separator(page, "oracle-identity").wait_for()


def fill_form(page: Any, *separators: str, tracks: int | None = None, binaural: bool = False) -> None:
    open_form(page)
    page.get_by_label("Dataset").fill("data/music")
    page.get_by_role("checkbox", name="binaural").set_checked(binaural)
    page.get_by_role("checkbox", name="BSS Eval").uncheck()
    if tracks:
        page.get_by_role("spinbutton", name="Tracks").fill(str(tracks))
    for name in separators:
        separator(page, name).check()


def launch(page: Any, *separators: str, **options: Any) -> str:
    """Start a run with the form, and return its id."""
    fill_form(page, *separators, **options)
    page.get_by_role("button", name="Launch").click()
    return run_id_of_page(page)


def run_id_of_page(page: Any) -> str:
    page.wait_for_url(re.compile(r"/ui/runs/[\w-]+$"))
    return str(page.url.rsplit("/", 1)[1])


def give_token(page: Any) -> None:
    """Type the token into the dialog, which has the focus."""
    page.get_by_role("dialog", name="Access token").wait_for()
    page.keyboard.type("sesame")
    page.keyboard.press("Enter")


def state(page: Any, name: str) -> None:
    """Wait until the page shows the state, without loading it again."""
    page.locator(f"h1 .state.{name}").wait_for()
