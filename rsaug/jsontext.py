"""JSON that others wrote: what cannot be taken up is a `ValueError`, whatever is wrong with it."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """The value that a JSON text in UTF-8 stands for.

    Raises:
        ValueError: if it is no JSON or no UTF-8, is nested deeper than Python's stack, holds a
            number of more digits than Python reads, or a half of a surrogate pair, which is a
            text that cannot be written down again.
    """
    if isinstance(text, bytes):
        # json.loads would let surrogates through, and take UTF-16 for what it is.
        text = text.decode("utf-8-sig")
    try:
        value = json.loads(text)
    except RecursionError:
        # Its own trace is as long as the stack.
        raise ValueError("it is nested too deeply") from None
    if "\\ud" in text or "\\uD" in text:
        json.dumps(value, ensure_ascii=False).encode()
    return value
