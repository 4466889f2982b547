"""Random numbers that belong to a name, whatever is drawn before or beside them."""

from __future__ import annotations

import hashlib

import torch


def keyed_generator(*key: int | str) -> torch.Generator:
    """A generator on the CPU whose numbers depend on the key alone.

    Args:
        key: what the numbers are for, such as a seed and a place.
    """
    digest = hashlib.sha256("/".join(str(part) for part in key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
