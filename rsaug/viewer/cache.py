"""What was computed last, by key, in bounded memory; nothing is computed twice at once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")

ENTRY_BYTES = 512
"""What a key and the place of a value cost; values of no size would be kept without an end."""


class Cache(Generic[T]):
    """The values of the last keys asked for.

    Two threads that ask for one key wait for one computation. A computation may ask for further
    keys as long as none leads back to its own.

    Args:
        most_bytes: How much is kept, each value with `ENTRY_BYTES`.
        size_of: Bytes of a value.
    """

    def __init__(self, most_bytes: int, size_of: Callable[[T], int]) -> None:
        self._most, self._size_of = most_bytes, size_of
        self._kept: OrderedDict[Hashable, T] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._making: dict[Hashable, threading.Lock] = {}

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return key in self._kept

    def get(self, key: Hashable, make: Callable[[], T], *, spare: bool = False) -> T:
        """The value of a key, computed where it is not kept; what ``make`` raises is passed on.

        Args:
            key: Of the value.
            make: Computes it.
            spare: Whether it is kept only where there is room: no other goes for it.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            turn = self._making.setdefault(key, threading.Lock())
        with turn:
            with self._lock:
                if key in self._kept:
                    return self._kept[key]
            try:
                value = make()
                self._keep(key, value, spare=spare)
            finally:
                with self._lock:
                    self._making.pop(key, None)
            return value

    def _keep(self, key: Hashable, value: T, *, spare: bool) -> None:
        size = self._size_of(value) + ENTRY_BYTES
        with self._lock:
            if key in self._kept or (spare and self._bytes + size > self._most):
                return
            self._kept[key] = value
            self._bytes += size
            while self._bytes > self._most and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= self._size_of(dropped) + ENTRY_BYTES
