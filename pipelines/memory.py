"""Memory that does not suffice, told from other errors of torch: it is no fault of an image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# torch's allocator on the CPU raises a plain RuntimeError.
_WORDS = ("can't allocate memory", "not enough memory", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice, on a CPU or a GPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(w in str(error).lower() for w in _WORDS)


@contextmanager
def memory_told() -> Iterator[None]:
    """Inside, lack of memory is a `MemoryError` that says what to do, whoever found it.

    Raises:
        MemoryError: in place of what torch raises.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryError(
            "There is not enough memory to make an image; give a smaller --tile-size, "
            "--vae-tiling or --offload, or close other programs."
        ) from error
