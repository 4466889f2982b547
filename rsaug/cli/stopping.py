"""Commands that are told to stop: Ctrl-C and SIGTERM end them in the same orderly way."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 128 + signal.SIGINT
"""Exit code of what was stopped by Ctrl-C, as shells have it."""

_HOW_TO_GO_ON = {
    "synth": "The same command goes on from there.",
    "conditions": "The same command goes on from there.",
    "restyle": "The same command goes on from there.",
    "inpaint": "The same command goes on from there.",
    "upscale": "The same command goes on from there.",
    "train autoencoder": "The same command goes on from the last checkpoint, if there is one.",
    "train generator": "The same command goes on from the last checkpoint, if there is one.",
    "train decoder": "The same command goes on from the last checkpoint, if there is one.",
    "train roads": "The same command goes on from the last whole epoch, if there is one.",
    "bench run": "The same command goes on with the detectors that are missing.",
    "models pull": "The same command goes on with the files that are missing.",
}


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived; whatever cleans up after Ctrl-C cleans up after it."""


def how_to_go_on(command: str) -> str:
    """A sentence on what to do after a command was stopped.

    Args:
        command: Its name, as in ``train roads``.
    """
    return _HOW_TO_GO_ON.get(command, "Run the same command again; it begins anew.")


def exit_code(stop: KeyboardInterrupt) -> int:
    """128 and the number of the signal, as shells have it."""
    return 128 + signal.SIGTERM if isinstance(stop, Terminated) else INTERRUPTED


@contextmanager
def sigterm_like_ctrl_c() -> Iterator[None]:
    """Inside, SIGTERM raises `Terminated` in the main thread of this process.

    Processes that are forked from it die of SIGTERM as they always did.
    """
    own = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() != own:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
