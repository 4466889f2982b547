"""The page in a real browser: it draws, pans, swipes, filters and decides, and asks nobody else."""

from __future__ import annotations

import io
import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import uvicorn
from numpy.typing import NDArray
from PIL import Image

from rsaug.verification import verify
from rsaug.viewer.review import COLUMN
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
ROAD = 128
"""Red, green and blue of the roads that the painter paints."""

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine"),
    pytest.mark.filterwarnings("ignore:Dataset has no geotransform"),
]


@dataclass
class Page:
    """The page of a run in the browser.

    Attributes:
        tab: Playwright's page.
        folder: Of the run.
        origin: Where the server is.
        asked: Addresses that the page asked for.
        errors: What the browser had to complain of.
    """

    tab: Any
    folder: Path
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

    def picture(self) -> NDArray[np.uint8]:
        """The map as it is seen, (rows, cols, 3)."""
        self.settled()
        shot = self.tab.locator("#stage").screenshot()
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))


@pytest.fixture(scope="module")
def server(painted: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server with a run that has scores: its address and the folder."""
    folder = Path(shutil.copytree(painted, tmp_path_factory.mktemp("page") / "run"))
    names = [*View(folder).catalogue.images]
    (folder / "quality").mkdir()
    rows = [f"{name},{k / len(names)}" for k, name in enumerate(names)]
    (folder / "quality" / "images.csv").write_text("\n".join(["id,score", *rows, ""]))
    view = View(folder)
    sock = socket.create_server(("127.0.0.1", 0))
    app = make_app(view, "127.0.0.1", "token")
    web = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
    thread = threading.Thread(target=web.run, kwargs={"sockets": [sock]}, daemon=True)
    view.start()
    thread.start()
    yield f"http://127.0.0.1:{sock.getsockname()[1]}/", folder
    web.should_exit = True
    thread.join(30)
    sock.close()


@pytest.fixture(scope="module")
def page(server: tuple[str, Path]) -> Iterator[Page]:
    """The page of that run, opened once for all tests, which run in their order."""
    sync_api = pytest.importorskip("playwright.sync_api")
    origin, folder = server
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        context = browser.new_context(
            viewport={"width": 1200, "height": 640}, reduced_motion="reduce"
        )
        context.set_default_timeout(1000 * PATIENCE_S)
        opened = Page(context.new_page(), folder, origin)
        opened.tab.on("request", lambda request: opened.asked.append(request.url))
        opened.tab.on("pageerror", lambda error: opened.errors.append(str(error)))
        opened.tab.on(
            "console",
            lambda said: opened.errors.append(said.text) if said.type == "error" else None,
        )
        opened.tab.goto(f"{origin}#mask=0&frames=0")
        opened.settled()
        yield opened
        browser.close()


def greys(picture: NDArray[np.uint8]) -> float:
    """Share of a picture that is a road of the painter's."""
    return float((picture == ROAD).all(axis=2).mean())


def masked(picture: NDArray[np.uint8]) -> float:
    """Share of a picture that is the road mask, not seen through."""
    return float((picture == (255, 176, 0)).all(axis=2).mean())


def test_it_draws_the_images_as_they_are(page: Page) -> None:
    page.tab.keyboard.press("j")
    page.settled()
    shown = page.picture()
    assert greys(shown) > 0.01
    # The painter's ground is green.
    ground = shown[(shown[..., 1] > shown[..., 0]) & (shown[..., 1] < 130)]
    assert len(ground) > 10_000
    assert page.state()["selected"] in View(page.folder).catalogue.images
    assert page.tab.locator("#tile-name").inner_text() == page.state()["selected"]
    page.until("document.querySelector('#detail .ok')")
    assert "painter" in page.tab.locator("#detail").inner_text()


def test_the_mask_lies_on_the_roads(page: Page) -> None:
    bare = page.picture()
    page.tab.keyboard.press("m")
    page.tab.evaluate("() => rsaug.state.set({opacity: 1})")
    covered = page.picture()
    assert masked(bare) == 0
    assert masked(covered) > 0.01
    assert greys(covered) < 0.1 * greys(bare)
    page.tab.keyboard.press("m")


def test_it_pans_and_the_address_follows(page: Page) -> None:
    before, address = page.picture(), page.tab.url
    page.tab.locator("#map-a canvas").focus()
    page.tab.keyboard.press("ArrowRight")
    page.settled()
    after = page.picture()
    page.until(f"location.href !== {json.dumps(address)}")
    assert (before != after).any(axis=2).mean() > 0.05
    # All of it has gone to the left by some pixels.
    shifted = max(range(50, 200, 1), key=lambda by: (before[:, by:] == after[:, :-by]).mean())
    assert (
        before[150:-150, shifted + 50 : -60] == after[150:-150, 50 : -60 - shifted]
    ).mean() > 0.9


def test_an_address_shows_the_same_again(page: Page) -> None:
    page.tab.wait_for_timeout(300)
    shown, state = page.picture(), page.state()
    again = page.tab.context.new_page()
    again.goto(page.tab.url)
    other = Page(again, page.folder, page.origin)
    # Without the border, which shows where the keyboard is; and at the borders of pixels the map's
    # own rounding decides.
    inner = np.s_[60:-60, 60:-60]
    assert (other.picture()[inner] == shown[inner]).mean() > 0.95
    found = other.state()
    assert {k: v for k, v in found.items() if k != "view"} == {
        k: v for k, v in state.items() if k != "view"
    }
    again.close()
    page.tab.bring_to_front()


def test_it_swipes_between_two_layers(page: Page) -> None:
    page.tab.evaluate("() => rsaug.state.set({compare: 'swipe', other: 'label', swipe: 0.5})")
    half = page.picture()
    middle = half.shape[1] // 2
    label = (half == 236).all(axis=2) | (half == 38).all(axis=2)
    assert label[:, middle + 20 :].mean() > 0.05
    assert label[:, : middle - 20].mean() < 0.01
    box = page.tab.locator("#swipe").bounding_box()
    page.tab.mouse.move(box["x"] + 12, box["y"] + 100)
    page.tab.mouse.down()
    page.tab.mouse.move(box["x"] - middle / 2, box["y"] + 100, steps=4)
    page.tab.mouse.up()
    further = page.picture()
    seen = (further == 236).all(axis=2) | (further == 38).all(axis=2)
    assert seen.sum() > 1.2 * label.sum()
    assert page.state()["swipe"] == pytest.approx(0.25, abs=0.03)
    page.tab.keyboard.press("c")
    page.picture()
    assert page.state()["compare"] == "side"
    page.tab.keyboard.press("c")


def test_it_filters_by_score_and_by_class(page: Page) -> None:
    places = page.tab.evaluate("() => rsaug.run.places.length")
    assert page.tab.locator("#count").inner_text() == f"{places} tiles"
    page.tab.locator("#low").focus()
    for _ in range(3):
        page.tab.keyboard.press("PageUp")
    assert page.state()["low"] > 0
    left = int(page.tab.locator("#count").inner_text().split(" of ")[0])
    wanted = page.tab.evaluate(
        "() => rsaug.run.images.filter(i => i.variant === 0 && "
        "rsaug.run.value(i, 'score') >= rsaug.state.now.low).length"
    )
    assert 0 < left == wanted < places
    page.tab.locator("#filter-reset").click()
    page.until("document.querySelector('#classes input[value=forest]')")
    page.tab.locator("#classes input[value=forest]").check()
    with_wood = [
        tile
        for tile, held in page.tab.evaluate("() => Object.entries(rsaug.run.shares)")
        if held.get("forest", 0) >= 0.01
    ]
    assert page.tab.locator("#count").inner_text() == (
        f"{len(with_wood)} of {places} tiles" if len(with_wood) < places else f"{places} tiles"
    )
    page.tab.evaluate("() => rsaug.state.set({classes: []})")


def test_keys_decide_and_the_manifest_has_it(page: Page) -> None:
    page.tab.keyboard.press("Escape")
    page.tab.keyboard.press("j")
    first = page.state()["selected"]
    page.tab.keyboard.press("a")
    second = page.state()["selected"]
    assert second != first
    page.tab.keyboard.press("r")
    page.until("Number(document.body.dataset.kept) >= 1 && rsaug.run.verdicts.size === 2")
    page.until("Number(document.body.dataset.kept) >= 2")
    table = pq.read_table(page.folder / "manifest.parquet", columns=["id", COLUMN]).to_pydict()
    said = {n: v for n, v in zip(table["id"], table[COLUMN], strict=True) if v}
    assert said == {first: "accepted", second: "rejected"}
    scores = json.loads((page.folder / "review" / "scores.json").read_text())
    assert (scores[first], scores[second]) == (1, 0)
    assert verify(page.folder).findings == ()
    page.tab.keyboard.press("z")
    page.until("Number(document.body.dataset.kept) >= 3")
    assert page.tab.locator("#done").inner_text().startswith("1 accepted, 0 rejected")
    decisions = json.loads((page.folder / "review" / "decisions.json").read_text())
    assert [*decisions] == [first]


def test_help_says_the_keys(page: Page) -> None:
    page.tab.keyboard.press("?")
    assert page.tab.locator("#help").is_visible()
    page.tab.keyboard.press("Escape")
    assert not page.tab.locator("#help").is_visible()


def test_nothing_left_the_machine_and_nothing_went_wrong(page: Page) -> None:
    assert len(page.asked) > 20
    strange = [url for url in page.asked if not url.startswith((page.origin, "blob:", "data:"))]
    assert strange == []
    assert page.errors == []
