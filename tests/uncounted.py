"""Programs that coverage is not to count, for their disk is full."""

from __future__ import annotations

import os


def uncounted() -> dict[str, str]:
    """The environment without what has coverage begin in a program of its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}
