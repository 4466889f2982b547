"""Images side by side."""

import threading
import time
from typing import Any

import pytest
from toy import toy_pipeline

from rsaug.pipelines.lanes import Lanes


def test_items_come_back_in_their_order() -> None:
    lanes = Lanes(toy_pipeline(), 3)

    def late(_: Any, item: int) -> int:
        time.sleep(0.05 * (3 - item))
        return item

    assert lanes.map(late, range(4)) == [0, 1, 2, 3]


def test_when_it_fails_nothing_is_at_work_any_more() -> None:
    """What would be tried next had memory taken away by images that nobody waits for."""
    lanes = Lanes(toy_pipeline(), 2)
    both, failed = threading.Barrier(2, timeout=20), threading.Event()
    ended: list[int] = []

    def work(_: Any, item: int) -> None:
        if item < 2:
            both.wait()
        if item == 0:
            failed.set()
            raise MemoryError("no more")
        failed.wait(20)
        time.sleep(0.3)
        ended.append(item)

    with pytest.raises(MemoryError, match="no more"):
        lanes.map(work, range(4))
    at_the_time = [*ended]
    time.sleep(0.5)
    assert 1 in at_the_time
    assert ended == at_the_time
