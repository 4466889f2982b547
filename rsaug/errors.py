"""What can go wrong, one class a condition that a caller would catch."""

from __future__ import annotations


class RsaugError(Exception):
    """Root of every error that rsaug raises on purpose."""


class InputError(RsaugError, ValueError):
    """Something the user gave cannot be used; the message says what, why and what to do."""


class OutputError(RsaugError, OSError):
    """A result could not be written (disk full, no permission); nothing partial is left."""


class RunError(RsaugError, RuntimeError):
    """Nothing of a run can be made."""
