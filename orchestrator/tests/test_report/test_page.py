"""The report's page and numbers, on synthetic runs whose numbers are known."""

from __future__ import annotations



