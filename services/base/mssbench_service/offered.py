"""The separators of a service, and which of them can be used at present."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict
from typing import Any

from .errors import BadInput, NotReady
from .separation import Separator, Separators, describe, set_up

RETRY_SECONDS = 1.0
"""Least time between two attempts to set up separators that cannot be used, which read their files."""

WAIT_SECONDS = 2.0
"""Time that a request waits for such an attempt. A model that takes longer to load is available later."""


class OfferedSeparators:
    """Instances of `separators`; the first is the default.

    Those that cannot be used, for example because their weights are missing, are set up again when the service is
    asked for its separators or for a separation.
    """

    def __init__(self, separators: Separators) -> None:
        self._instances = {label: make() for label, make in separators.items()}
        self._failed: dict[str, NotReady] = {}
        self._retrying = threading.Lock()
        self._tried = 0.0

    @property
    def default(self) -> Separator:
        return next(iter(self._instances.values()))

    def set_up(self) -> None:
        """Set up all. Raises :class:`NotReady` if none can be used."""
        self._failed = set_up({label: instance.setup for label, instance in self._instances.items()})

    def retry(self) -> None:
        """Set up those that cannot be used. Waits no longer than :data:`WAIT_SECONDS`."""
        due = time.monotonic() - self._tried >= RETRY_SECONDS
        if self._failed and due and self._retrying.acquire(blocking=False):
            thread = threading.Thread(target=self._retry, daemon=True)
            thread.start()
            thread.join(WAIT_SECONDS)

    def _retry(self) -> None:
        try:
            for label in list(self._failed):
                try:
                    self._instances[label].setup()
                    del self._failed[label]
                except NotReady as error:
                    self._failed[label] = error
                except Exception as error:  # a library's failure to load
                    detail = getattr(error, "detail", f"{type(error).__name__}: {error}")
                    self._failed[label] = NotReady(f"setup of {label} failed: {detail}")
        finally:
            self._tried = time.monotonic()
            self._retrying.release()

    def describe(self) -> list[dict[str, Any]]:
        """For ``GET /info``."""
        return [asdict(described) for described in describe(self._instances, dict(self._failed))]

    def choose(self, label: str) -> tuple[str, Separator]:
        """The name and the instance of a separator (empty: the default).

        Raises
        ------
        BadInput
            There is none of this name.
        NotReady
            It cannot be used.
        """
        label = label or next(iter(self._instances))
        if label not in self._instances:
            raise BadInput(f"unknown separator {label!r}; this service offers {', '.join(self._instances)}")
        if (error := self._failed.get(label)) is not None:
            raise error
        return label, self._instances[label]
