"""Commands that are told to stop: Ctrl-C and SIGTERM end them in the same orderly way."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

INTERRUPTED = 128 + signal.SIGINT
"""Exit code of what was stopped by Ctrl-C, as shells have it."""

_AGAIN_S = 0.05
_again: list[threading.Timer] = []

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
    """Inside, SIGTERM raises `Terminated` in the main thread, and neither it nor Ctrl-C is lost.

    Processes that are forked from this one die of SIGTERM as they always did.
    """
    own = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() != own:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        raise Terminated

    before, said = signal.signal(signal.SIGTERM, stop), sys.unraisablehook
    sys.unraisablehook = _raised_again(said, own)
    try:
        yield
    finally:
        heard()
        sys.unraisablehook = said
        signal.signal(signal.SIGTERM, before)


def heard() -> None:
    """A stop has got through, so none is sent again."""
    while _again:
        _again.pop().cancel()


def _raised_again(said: Callable[[Any], Any], own: int) -> Callable[[Any], None]:
    """A hook for what Python cannot raise: a signal is sent again, all else is ``said``.

    What is raised while an object is taken down is dropped, as in a generator that is left early.
    Much is taken down while a checkpoint is written.
    """
    main = threading.main_thread()

    def hook(dropped: Any) -> None:
        stop = dropped.exc_type
        if not issubclass(stop, KeyboardInterrupt) or os.getpid() != own or main.ident is None:
            said(dropped)
            return
        number = signal.SIGTERM if issubclass(stop, Terminated) else signal.SIGINT
        # Sent now, it would be raised here, and be lost as well.
        timer = threading.Timer(_AGAIN_S, signal.pthread_kill, (main.ident, number))
        timer.daemon = True
        _again.append(timer)
        timer.start()

    return hook
