"""What whoever calls a function from Python should know, as a warning that can be filtered."""

from __future__ import annotations

import warnings
from collections.abc import Iterable


class Notice(UserWarning):
    """Something about a result that is no error: what was left out, what a model cannot follow."""


def notify(sentences: Iterable[str], stacklevel: int = 3) -> None:
    """Warn of each sentence at the place that called the function.

    Args:
        sentences: What is to be said.
        stacklevel: How many calls above this one that place is.
    """
    for sentence in sentences:
        warnings.warn(sentence, Notice, stacklevel=stacklevel)
