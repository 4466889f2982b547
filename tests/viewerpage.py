"""The viewer's page in a real browser, and where on it something is drawn."""

from __future__ import annotations

import contextlib
import io
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import uvicorn
from numpy.typing import NDArray
from PIL import Image

from rsaug.viewer.server import make_app
from rsaug.viewer.view import View

CHROMIUM = shutil.which("chromium")
ARGS = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE_S = 120


@dataclass
class Page:
    """The page of a run in the browser.

    Attributes:
        tab: Playwright's page.
        origin: Where the server is.
        asked: Addresses that the page asked for.
        errors: What the browser had to complain of.
    """

    tab: Any
    origin: str
    asked: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def until(self, script: str) -> None:
        """Wait for something to hold; the page's policy forbids Playwright's own way."""
        end = time.monotonic() + PATIENCE_S
        while not self.tab.evaluate(f"() => Boolean({script})"):
            assert time.monotonic() < end, f"{script} does not hold; {self.errors}"
            self.tab.wait_for_timeout(50)

    def settled(self) -> None:
        """Wait until all maps have drawn all."""
        self.until(
            "window.rsaug && rsaug.maps.all().every("
            "m => m.loaded() && m.areTilesLoaded() && !m.isMoving())"
        )
        self.tab.wait_for_timeout(100)

    def state(self) -> dict[str, Any]:
        """What the page shows."""
        found: dict[str, Any] = self.tab.evaluate("() => ({...rsaug.state.now})")
        return found

    def set(self, **changes: object) -> None:
        """Have the page show something else."""
        self.tab.evaluate("changes => rsaug.state.set(changes)", changes)

    def picture(self) -> NDArray[np.uint8]:
        """The map as it is seen, (rows, cols, 3)."""
        self.settled()
        shot = self.tab.locator("#stage").screenshot()
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))

    def places(self, points: NDArray[np.float64], which: str = "a") -> NDArray[np.intp]:
        """Where in the picture a map draws points, as (col, row) each.

        Args:
            points: Longitude and latitude each.
            which: The map, ``a`` or ``b``.
        """
        script = """([which, points]) => {
            const map = rsaug.maps[which];
            const box = map.getCanvas().getBoundingClientRect();
            const stage = document.getElementById("stage").getBoundingClientRect();
            return points.map((point) => {
                const { x, y } = map.project(point);
                return [x + box.left - stage.left, y + box.top - stage.top];
            });
        }"""
        found = np.array(self.tab.evaluate(script, [which, points.tolist()]))
        pixels: NDArray[np.intp] = np.floor(found.reshape(-1, 2)).astype(np.intp)
        return pixels


@contextlib.contextmanager
def served(view: View) -> Iterator[str]:
    """The address of a server of this process, gone afterwards."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as sock:
        app = make_app(view, "127.0.0.1", "token")
        web = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
        thread = threading.Thread(target=web.run, kwargs={"sockets": [sock]}, daemon=True)
        view.start()
        thread.start()
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}/"
        finally:
            web.should_exit = True
            thread.join(30)


@contextlib.contextmanager
def browsed(width: int = 1200, height: int = 640) -> Iterator[Any]:
    """A browser's context, in which nothing moves by itself.

    Args:
        width: Of a page, pixels.
        height: Of a page, pixels.
    """
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        context = browser.new_context(
            viewport={"width": width, "height": height}, reduced_motion="reduce"
        )
        context.set_default_timeout(1000 * PATIENCE_S)
        yield context
        browser.close()


def opened(context: Any, origin: str, shown: str) -> Page:
    """The page of a server in a tab of its own.

    Args:
        context: Of the browser.
        origin: Where the server is.
        shown: The part of the address after ``#``.
    """
    page = Page(context.new_page(), origin)
    page.tab.on("request", lambda request: page.asked.append(request.url))
    page.tab.on("pageerror", lambda error: page.errors.append(str(error)))
    page.tab.on(
        "console", lambda said: page.errors.append(said.text) if said.type == "error" else None
    )
    page.tab.goto(f"{origin}#{shown}")
    page.settled()
    return page
