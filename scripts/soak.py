r"""Does what is used for hours stay in its memory? The viewer's server, and the library.

    python scripts/soak.py viewer town --minutes 60
    python scripts/soak.py library --roads roads.geojson --landcover landcover.geojson \
        --real massachusetts-roads --dataset massachusetts --minutes 60

Each is one process that does the same again and again and rests between, so that it takes a share
of a core. What it has of memory, objects, open files and threads is written as a line of JSON every
so often. A line is laid through the last two thirds of the time; where it climbs by more than
`BOUNDS` allow, the exit code is 1. Linux alone, since it reads ``/proc``.
"""

from __future__ import annotations

import contextlib
import gc
import http.client
import itertools
import json
import math
import os
import random
import re
import shutil
import tempfile
import threading
import time
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from rsaug.cli.group import Commands
from rsaug.errors import RunError

app = typer.Typer(cls=Commands, help=__doc__, no_args_is_help=True)


@dataclass(frozen=True)
class Bound:
    """How far a number may climb: by both, a share of what it was and so much.

    Attributes:
        share: Of the line's first value.
        least: What is no climb yet, in units of the number.
    """

    share: float
    least: float


BOUNDS = {
    "rss_mib": Bound(0.05, 32),
    "objects": Bound(0.02, 2000),
    "files": Bound(0.0, 3),
    "threads": Bound(0.0, 3),
}
"""Memory goes up and down by what the allocator keeps; the other numbers hardly move."""

Done = Mapping[str, int]
"""How often each thing was done."""

_PATIENCE_S = 120
_DEEPEST = 20
_STEPS_OF_A_WALK = {"tile": 24, "image": 4, "roads": 3, "review": 2}
_BATCHES = 3
_TILES = 2

Minutes = Annotated[float, typer.Option(min=0.01, help="How long.")]
Share = Annotated[float, typer.Option(min=0.01, max=1, help="Share of a core that it may take.")]
Every = Annotated[float, typer.Option(min=0.1, help="Seconds from line to line.")]
Trace = Annotated[bool, typer.Option(help="Say which lines of code hold more than at a third.")]


@dataclass(frozen=True)
class Sample:
    """What a process has at a moment.

    Attributes:
        seconds: Since the start.
        cycles: Rounds of use by then.
        rss_mib: Memory in the machine, MiB.
        objects: Objects that the garbage collector knows, after it has run.
        files: Open files.
        threads: Threads.
        processor_s: Processor time since the start.
        done: How often each thing was done.
    """

    seconds: float
    cycles: int
    rss_mib: float
    objects: int
    files: int
    threads: int
    processor_s: float
    done: Done


def sample(seconds: float, cycles: int, processor_s: float, done: Done) -> Sample:
    """What this process has now."""
    gc.collect()
    own = Path("/proc/self")
    pages = int((own / "statm").read_text(encoding="ascii").split()[1])
    return Sample(
        round(seconds, 1),
        cycles,
        round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 2),
        len(gc.get_objects()),
        len([*(own / "fd").iterdir()]),
        len([*(own / "task").iterdir()]),
        round(processor_s, 1),
        dict(done),
    )


def soak(
    cycle: Callable[[], Done],
    out: Path,
    *,
    minutes: float,
    share: float,
    every_s: float,
    trace: bool = False,
) -> list[Sample]:
    """Do something again and again, at rest for so long that it takes its share of a core.

    Args:
        cycle: Does it once, and says how often it did what.
        out: Takes the samples, a line of JSON each.
        minutes: How long.
        share: Of a core.
        every_s: Seconds from sample to sample.
        trace: Whether to say at the end which lines of code hold more memory than at a third.
    """
    began, used = time.monotonic(), time.process_time()
    done, samples = Counter[str](), list[Sample]()
    held: tracemalloc.Snapshot | None = None
    with out.open("w", encoding="utf-8") as file:
        for number in itertools.count():
            passed, busy = time.monotonic() - began, time.process_time() - used
            if not samples or passed - samples[-1].seconds >= every_s or passed >= 60 * minutes:
                samples.append(sample(passed, number, busy, done))
                file.write(json.dumps(asdict(samples[-1])) + "\n")
                file.flush()
            if trace and held is None and passed >= 20 * minutes:
                tracemalloc.start(8)
                held = tracemalloc.take_snapshot()
            if passed >= 60 * minutes:
                break
            done.update(cycle())
            busy = time.process_time() - used
            time.sleep(min(max(0.0, busy / share - (time.monotonic() - began)), 60 * minutes))
    if held is not None:
        for grown in tracemalloc.take_snapshot().compare_to(held, "lineno")[:15]:
            typer.echo(str(grown))
    return samples


def settled(samples: Sequence[Sample]) -> list[Sample]:
    """The last two thirds of the time."""
    return [each for each in samples if each.seconds >= samples[-1].seconds / 3]


def line(samples: Sequence[Sample], name: str) -> tuple[float, float]:
    """The least-squares line of a number: its value at the first sample, and at the last."""
    seconds = np.array([each.seconds for each in samples])
    values = np.array([float(getattr(each, name)) for each in samples])
    if len(samples) < 2 or np.ptp(seconds) == 0:
        return float(values[0]), float(values[-1])
    slope = float(np.cov(seconds, values, bias=True)[0, 1] / np.var(seconds))
    middle, mean = float(values.mean()), float(seconds.mean())
    return middle + slope * (seconds[0] - mean), middle + slope * (seconds[-1] - mean)


def climbs(samples: Sequence[Sample]) -> list[str]:
    """What climbs by more than its bound in the last two thirds, one sentence each."""
    late, found = settled(samples), []
    for name, bound in BOUNDS.items():
        first, last = line(late, name)
        if last - first > max(bound.least, bound.share * first):
            found.append(f"{name} climbs from {first:.1f} to {last:.1f}.")
    return found


def told(samples: Sequence[Sample]) -> str:
    """What came of it, for a reader."""
    late, end = settled(samples), samples[-1]
    hours = (late[-1].seconds - late[0].seconds) / 3600
    lines = [
        f"{end.seconds / 60:.1f} minutes, {end.cycles} cycles, {end.processor_s:.0f} s of "
        f"processor time; {len(late)} of {len(samples)} samples are judged",
        ", ".join(f"{name} {count}" for name, count in sorted(end.done.items())),
    ]
    for name in BOUNDS:
        first, last = line(late, name)
        slope = (last - first) / hours if hours else 0.0
        values = [getattr(each, name) for each in late]
        lines.append(
            f"{name}: {getattr(samples[0], name):g} at the start, {values[0]:g} at a third, "
            f"{values[-1]:g} at the end ({min(values):g} to {max(values):g}), "
            f"the line climbs by {slope:.2f} an hour"
        )
    return "\n".join(lines)


def finish(samples: Sequence[Sample]) -> None:
    """Say what came of it.

    Raises:
        RunError: if something climbs.
    """
    typer.echo(told(samples))
    if found := climbs(samples):
        raise RunError(" ".join(found))


# ---- The viewer ----------------------------------------------------------------------------------


class Reader:
    """Somebody who looks at a run in the browser, over HTTP, a walk at a time.

    Args:
        address: Of the page.
        seed: Decides where it looks.
    """

    def __init__(self, address: str, seed: int) -> None:
        host = address.removeprefix("http://").rstrip("/")
        self._web = http.client.HTTPConnection(host, timeout=_PATIENCE_S)
        self._rng = random.Random(seed)
        self._about: dict[str, Any] = {}
        self._headers: dict[str, str] = {}

    def close(self) -> None:
        """Go."""
        self._web.close()

    def walk(self) -> Done:
        """Open the page with all its parts, then ask for tiles, images, roads and decisions."""
        done = Counter(page=1)
        page = self._get("/").decode()
        parts = re.findall(r'(?:src|href)="(/?static/[^"]+)"', page)
        for part in parts:
            self._get("/" + part.lstrip("/"))
        token = re.search(r'name="token" content="([^"]+)"', page)
        if token is None:
            raise RunError("The page has no token.")
        self._headers = {"x-rsaug-token": token[1], "content-type": "application/json"}
        self._about = json.loads(self._get("/api/run"))
        self._get("/api/shares")
        done["part"] = len(parts) + 2
        kinds = [kind for kind, count in _STEPS_OF_A_WALK.items() for _ in range(count)]
        self._rng.shuffle(kinds)
        for kind in kinds:
            getattr(self, f"_{kind}")()
            done[kind] += 1
        return done

    def _tile(self) -> None:
        layer = self._rng.choice(self._about["layers"])
        zoom = self._rng.randint(max(10, layer["minzoom"]), min(_DEEPEST, layer["maxzoom"]))
        lon, lat = self._place()
        x = int((lon + 180) / 360 * 2**zoom)
        # Spherical Mercator, EPSG:3857.
        y = int((1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * 2**zoom)
        self._get(f"/tiles/soak/{layer['id']}/{zoom}/{x}/{y}")

    def _image(self) -> None:
        self._get(f"/api/images/{self._rng.choice(self._about['images']['name'])}")

    def _roads(self) -> None:
        (west, south), side = self._place(), self._rng.uniform(0.0005, 0.005)
        self._get(f"/api/roads?west={west}&south={south}&east={west + side}&north={south + side}")

    def _review(self) -> None:
        name = self._rng.choice(self._about["images"]["name"])
        verdict = self._rng.choice(("accepted", "rejected", None))
        self._ask("POST", "/api/review", json.dumps({"verdicts": {name: verdict}}))

    def _place(self) -> tuple[float, float]:
        west, south, east, north = self._about["bounds"]
        return self._rng.uniform(west, east), self._rng.uniform(south, north)

    def _get(self, path: str) -> bytes:
        return self._ask("GET", path, None)

    def _ask(self, method: str, path: str, body: str | None) -> bytes:
        self._web.request(method, path, body, self._headers if body else {})
        answer = self._web.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RunError(f"{method} {path}: {answer.status} {content[:200]!r}")
        return content


@app.command()
def viewer(
    run: Annotated[Path, typer.Argument(help="A run of rsaug synth --mosaic; it is decided on.")],
    out: Annotated[Path, typer.Option(help="File of the samples.")] = Path("soak-viewer.jsonl"),
    minutes: Minutes = 60,
    share: Share = 0.15,
    every: Every = 20,
    seed: int = 0,
    trace: Trace = False,
) -> None:
    """Ask the server of rsaug view, in this process, for all that its page asks for."""
    from rsaug.viewer.server import serve
    from rsaug.viewer.view import View

    seen, ready = View(run), threading.Event()
    addresses: list[str] = []

    def on_ready(address: str) -> None:
        addresses.append(address)
        ready.set()

    # It ends with the process, as the server does.
    threading.Thread(target=serve, args=(seen, "127.0.0.1", 0, on_ready), daemon=True).start()
    if not ready.wait(_PATIENCE_S):
        raise RunError("The server does not start.")
    with contextlib.closing(Reader(addresses[0], seed)) as reader:
        finish(soak(reader.walk, out, minutes=minutes, share=share, every_s=every, trace=trace))


# ---- The library ---------------------------------------------------------------------------------


@dataclass
class Notebook:
    """Somebody who makes tiles, trains on them and predicts, in one process.

    Attributes:
        roads: Layer of roads.
        landcover: Layer of areas, or None.
        real: Folder of real tiles.
        dataset: Which data set they are.
        model: What makes tiles.
        steps: Denoising steps.
        folder: Holds what is made, for as long as a cycle takes.
        numbers: Numbers of the cycles.
    """

    roads: Path
    landcover: Path | None
    real: Path
    dataset: str
    model: str
    steps: int
    folder: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def cycle(self) -> Done:
        """Make a run, control maps, batches and a prediction, each in a folder of its own."""
        number = next(self.numbers)
        place = self.folder / f"cycle-{number}"
        try:
            return {
                "image": self._make(place / "run", number) + self._look(number),
                "conditions": self._draw(place / "conditions"),
                "batch": self._train(place / "run"),
                "prediction": self._predict(place),
            }
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _asked(self, **more: Any) -> dict[str, Any]:
        cover = None if self.landcover is None else str(self.landcover)
        tiles = {"gsd": 0.6, "tile_size": 64, "limit": _TILES}
        return {"roads": str(self.roads), "landcover": cover, **tiles, **more}

    def _make(self, out: Path, seed: int) -> int:
        """A run into a folder, by a model that is loaded anew."""
        from rsaug.options import SynthOptions
        from rsaug.pipelines.loading import generator_for, quiet_loading
        from rsaug.synthesis import make_plan
        from rsaug.synthesis import run as make

        more = {"model": self.model, "steps": self.steps, "seed": seed, "mosaic": True}
        options = SynthOptions(**self._asked(out=str(out), **more))
        with quiet_loading():
            generator = generator_for(options, workers=1)
        return make(make_plan(options), generator).progress.done

    def _look(self, seed: int) -> int:
        """An image in memory, from tables instead of files."""
        import geopandas as gpd

        import rsaug

        asked = self._asked(model=self.model, steps=self.steps, seed=seed, workers=1)
        tiles = rsaug.synthesize(**{**asked, "roads": gpd.read_file(self.roads)})
        return int(tiles[0].image.ndim == 3)

    def _draw(self, out: Path) -> int:
        from rsaug.conditioning import make_conditions_plan, write_conditions
        from rsaug.options import ConditionsOptions

        options = ConditionsOptions(**self._asked(out=str(out)))
        return write_conditions(make_conditions_plan(options)).progress.done

    def _train(self, run: Path) -> int:
        """A few batches, half of them synthetic, as a training gets them."""
        from rsaug.downstream.datamodules.roads import RoadDataModule

        data = RoadDataModule(
            self.dataset, str(self.real), synthetic=[str(run)], batch_size=4, chip_size=64
        )
        data.setup("fit")
        augment: Any = data.train_aug
        batches = itertools.islice(data.train_dataloader(), _BATCHES)
        return sum(augment(batch)["image"].ndim == 4 for batch in batches)

    def _predict(self, place: Path) -> int:
        """Roads of an image of the run, by a detector that is saved and loaded."""
        from rsaug.downstream.detector import DetectorConfig, RoadDetector
        from rsaug.downstream.prediction import predict

        RoadDetector(DetectorConfig("unet", "tu-resnet10t", gsd_m=0.6)).save(place / "detector")
        detector = RoadDetector.load(place / "detector")
        mosaic = place / "run" / "mosaic.tif"
        return len(predict(detector, [mosaic], place / "roads").images)


@app.command()
def library(
    roads: Annotated[Path, typer.Option(help="Roads.")],
    real: Annotated[Path, typer.Option(help="Folder of real tiles.")],
    landcover: Annotated[Path | None, typer.Option(help="Land cover.")] = None,
    dataset: Annotated[str, typer.Option(help="Which data set the tiles are.")] = "naip",
    model: Annotated[str, typer.Option(help="Model.")] = "default",
    steps: Annotated[int, typer.Option(min=1, help="Denoising steps.")] = 2,
    out: Annotated[Path, typer.Option(help="File of the samples.")] = Path("soak-library.jsonl"),
    minutes: Minutes = 60,
    share: Share = 0.15,
    every: Every = 20,
    trace: Trace = False,
) -> None:
    """Make tiles, control maps, batches and predictions, as a notebook that stays open does."""
    import torch

    torch.set_num_threads(1)
    # What a run has to say is the same each time.
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        user = Notebook(roads, landcover, real, dataset, model, steps, Path(folder))
        finish(soak(user.cycle, out, minutes=minutes, share=share, every_s=every, trace=trace))


if __name__ == "__main__":
    app()
