"""Where images are made: from tiles to files, one tile after another, whatever makes them run.

A workshop is what one worker has: the layers, the generator and the folder. Which tiles it is given
is the business of an engine (`rsaug.engines`).
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rsaug.files import write_whole
from rsaug.folder import RunFolder, item_name
from rsaug.grid import Tile
from rsaug.marks import Marks
from rsaug.options import SynthOptions
from rsaug.prompts import Prompts
from rsaug.provenance import Provenance, controls_key, image_key, label_tags, read_key
from rsaug.quarantine import put_aside
from rsaug.raster import write_cog
from rsaug.record import Record
from rsaug.regions import Region
from rsaug.requests import (
    TileConditions,
    TileGenerator,
    TileRequest,
    derive_field_seed,
    derive_seed,
)
from rsaug.scene import Scene
from rsaug.stac import make_item
from rsaug.stac_extensions import to_json
from rsaug.stackfile import write_stack

_KEPT_BYTES = 256 * 2**20
"""How much of the maps of the last tiles is remembered: 54 tiles of 256 pixels."""

_KEYS_KEPT = 200_000


@dataclass(frozen=True)
class Outcome:
    """What came of an image.

    Attributes:
        item: Its name.
        status: ``kept`` as it was there, ``made`` now, or ``failed``.
        reason: Why it failed.
    """

    item: str
    status: Literal["kept", "made", "failed"]
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Places:
    """What every tile of the grid is made from; the last ones asked for are remembered.

    Attributes:
        scene: The layers.
        controls: Names of the control maps.
        regions: Where controls hold that do not hold everywhere, by name.
        prompts: Texts by place.
    """

    scene: Scene
    controls: tuple[str, ...]
    regions: Mapping[str, Region] = field(default_factory=dict)
    prompts: Prompts | None = None
    _kept: OrderedDict[tuple[int, int], tuple[NDArray[np.uint8], TileConditions]] = field(
        default_factory=OrderedDict
    )
    _keys: OrderedDict[tuple[int, int], str] = field(default_factory=OrderedDict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def at(self, row: int, col: int) -> TileConditions:
        """What the tile at a row and a column is made from."""
        return self.labelled(self.scene.grid.tile(row, col))[1]

    def labelled(self, tile: Tile) -> tuple[NDArray[np.uint8], TileConditions]:
        """Road mask of a tile, uint8 0/1 (rows, cols), and what it is made from."""
        with self._lock:
            return self._labelled(tile)

    def key(self, row: int, col: int) -> str:
        """Digest of all that the tile at a row and a column is made from."""
        if (row, col) not in self._keys:
            found = self.at(row, col)
            parts = [found.key, found.prompt]
            parts += [
                f"{name} {hashlib.sha256(region.tobytes()).hexdigest()}"
                for name, region in sorted(found.regions.items())
            ]
            self._keys[row, col] = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
            while len(self._keys) > _KEYS_KEPT:
                self._keys.popitem(last=False)
        return self._keys[row, col]

    def _labelled(self, tile: Tile) -> tuple[NDArray[np.uint8], TileConditions]:
        place = (tile.row, tile.col)
        if place in self._kept:
            self._kept.move_to_end(place)
            return self._kept[place]
        mask, controls = self.scene.controls(tile, self.controls)
        regions = {name: region.at(tile) for name, region in self.regions.items()}
        prompt = self.prompts.at(tile) if self.prompts else None
        key = controls_key(tile, controls)
        found = mask, TileConditions(tile, controls, regions, prompt, key)
        self._kept[place] = found
        while (len(self._kept) - 1) * controls.maps.nbytes > _KEPT_BYTES:
            self._kept.popitem(last=False)
        return found


@dataclass(frozen=True, eq=False)
class _Job:
    """An image that is not complete.

    Attributes:
        request: What to ask the generator for.
        mask: Road mask, uint8 0/1 (rows, cols).
        labels_key: What mask and control maps are made from.
        provenance: What the image is made from.
    """

    request: TileRequest
    mask: NDArray[np.uint8]
    labels_key: str
    provenance: Provenance

    @property
    def name(self) -> str:
        """Name of the image."""
        return item_name(self.request.tile.name, self.request.variant)


_Made = tuple[_Job, NDArray[np.uint8] | Exception]
"""A job and its image, or why there is none."""


class _Line:
    """Batches on their way: one is generated while the one before is written.

    Args:
        maker: Thread that generates.
        writer: Thread that writes.
        generate: What the one does.
        write: What the other does.
        done: Called with what came of each image.
    """

    def __init__(
        self,
        maker: ThreadPoolExecutor,
        writer: ThreadPoolExecutor,
        generate: Callable[[Sequence[_Job]], list[_Made]],
        write: Callable[[Sequence[_Made]], list[Outcome]],
        done: Callable[[Outcome], None],
    ) -> None:
        self._maker, self._writer, self._done = maker, writer, done
        self._generate, self._write = generate, write
        self._making: Future[list[_Made]] | None = None
        self._writing: Future[list[Outcome]] | None = None

    def feed(self, batch: Sequence[_Job]) -> None:
        """Put a batch on the line, and wait until the one before has been generated."""
        self._pass_on()
        self._making = self._maker.submit(self._generate, batch)

    def empty(self) -> None:
        """Wait until all is generated and written."""
        try:
            self._pass_on()
        finally:
            self._count()

    def _pass_on(self) -> None:
        """Move what is generated to the writer."""
        if self._making is None:
            return
        try:
            made = self._making.result()
        except BaseException:
            # If it came from outside while waiting, what is generated is still to be written.
            if self._making.done() and self._making.exception() is not None:
                self._making = None
            raise
        self._count()
        self._making = None
        self._writing = self._writer.submit(self._write, made)

    def _count(self) -> None:
        """Wait for the writer and tell what came of it."""
        if self._writing is not None:
            outcomes = self._writing.result()
            self._writing = None
            for outcome in outcomes:
                self._done(outcome)


class Workshop:
    """Makes and writes images of a run.

    Args:
        places: What tiles are made from.
        record: What the run was asked.
        generator: What makes the images.
    """

    def __init__(
        self, places: Places, record: Record[SynthOptions], generator: TileGenerator
    ) -> None:
        self._places, self._record, self._generator = places, record, generator
        self._folder = RunFolder(record.options.folder)
        asked = record.options
        self._marks = Marks.of(asked.watermark, asked.sign, asked.sign_key, asked.timestamp_url)

    def make(self, tiles: Iterable[Tile], done: Callable[[Outcome], None]) -> None:
        """Make what is missing of some tiles' images.

        While a batch is generated, the one before is written and the maps of the next are drawn.
        What cannot be made is put aside, with the reason, and the rest goes on. Also when stopped,
        what is being generated is finished, written and counted.

        Args:
            tiles: Tiles of the grid.
            done: Called with what came of each image, in their order, once it is on the disk.

        Raises:
            OutputError: if something cannot be written.
        """
        with ThreadPoolExecutor(1) as maker, ThreadPoolExecutor(1) as writer:
            line = _Line(maker, writer, self._generate, self._write, done)
            try:
                batch: list[_Job] = []
                for found in self._jobs(tiles):
                    if isinstance(found, Outcome):
                        done(found)
                        continue
                    batch.append(found)
                    if len(batch) == self._generator.batch_size:
                        line.feed(batch)
                        batch = []
                if batch:
                    line.feed(batch)
            finally:
                line.empty()

    def _jobs(self, tiles: Iterable[Tile]) -> Iterator[_Job | Outcome]:
        """What is to be generated; what is complete, or only lacks its item, is dealt with."""
        tiles, count = [*tiles], self._record.options.variants
        if tiles and self._generator.reach(tiles[0]) is not None:
            # Each variant is a field, of which memory holds one.
            for variant in range(count):
                yield from self._jobs_of(tiles, [variant])
        else:
            yield from self._jobs_of(tiles, range(count))

    def _jobs_of(self, tiles: Sequence[Tile], variants: Sequence[int]) -> Iterator[_Job | Outcome]:
        for tile in tiles:
            try:
                mask, conditions = self._places.labelled(tile)
                context = self._context(tile, conditions)
            except Exception as error:
                yield from (self._put_aside(item_name(tile.name, v), error) for v in variants)
                continue
            for variant in variants:
                job = self._job(mask, conditions, context, variant)
                key = job.provenance.key
                image = self._folder.image(job.name)
                if self._marks.lack(image) or not self._folder.holds(job.name, key):
                    self._folder.discard_broken(job.name, key)
                    if read_key(image) != key:
                        yield job
                        continue
                    self._marks.sign(image, job.provenance)
                    self._finish(job)
                self._folder.quarantined(job.name).unlink(missing_ok=True)
                yield Outcome(job.name, "kept")

    def _context(self, tile: Tile, conditions: TileConditions) -> str:
        """Digest of the maps that an image depends on: those of its tile, or of all in reach."""
        reach = self._generator.reach(tile)
        if reach is None:
            return conditions.key
        rows, cols = reach
        keys = [[row, col, self._places.key(row, col)] for row in rows for col in cols]
        return hashlib.sha256(json.dumps([conditions.key, keys]).encode()).hexdigest()

    def _job(
        self, mask: NDArray[np.uint8], conditions: TileConditions, context: str, variant: int
    ) -> _Job:
        options, tile = self._record.options, conditions.tile
        is_part = context != conditions.key
        seed = (derive_field_seed if is_part else derive_seed)(options.seed, tile, variant)
        description = self._marks.described(self._record.generator)
        if conditions.prompt is not None:
            description["prompt"] = conditions.prompt
        key = image_key(context, seed, description, conditions.regions)
        request = TileRequest(
            tile,
            conditions.controls,
            variant,
            seed,
            conditions.regions,
            conditions.prompt,
            self._places if is_part else None,
        )
        provenance = Provenance.of(description, key, seed, variant)
        return _Job(request, mask, conditions.key, provenance)

    def _generate(self, batch: Sequence[_Job]) -> list[_Made]:
        """Images of a batch; where that fails, of each job by itself, or why there is none."""
        try:
            images = self._generator.generate([job.request for job in batch])
            return list(zip(batch, images, strict=True))
        except Exception as error:
            if len(batch) == 1:
                return [(batch[0], error)]
        return [self._generate([job])[0] for job in batch]

    def _write(self, made: Sequence[_Made]) -> list[Outcome]:
        """Write the images of a batch and what belongs to them."""
        outcomes = []
        for job, image in made:
            if isinstance(image, Exception):
                outcomes.append(self._put_aside(job.name, image))
                continue
            self._marks.write(
                self._folder.image(job.name),
                image,
                job.request.tile,
                job.provenance,
                ("red", "green", "blue"),
            )
            self._finish(job)
            self._folder.quarantined(job.name).unlink(missing_ok=True)
            outcomes.append(Outcome(job.name, "made"))
        return outcomes

    def _put_aside(self, item: str, error: Exception) -> Outcome:
        return Outcome(item, "failed", put_aside(self._folder, item, error))

    def _finish(self, job: _Job) -> None:
        """Write the labels of an image where they are not there yet, then its item."""
        tile, controls = job.request.tile, job.request.controls
        mask, conditions = self._folder.mask(tile.name), self._folder.conditions(tile.name)
        if read_key(mask) != job.labels_key:
            tags = label_tags("Road mask: 1 road, 0 elsewhere.", job.labels_key)
            write_cog(mask, job.mask[np.newaxis], tile, descriptions=("road",), tags=tags)
        given = controls.given
        if read_key(conditions) != job.labels_key:
            what = f"Control maps; given: {', '.join(given)}; the other bands are empty."
            write_stack(conditions, controls, tile, label_tags(what, job.labels_key))
        date = self._record.options.date
        item = make_item(
            tile,
            job.provenance,
            self._folder,
            collection=self._record.options.name,
            created=self._record.created,
            date=date.isoformat() if date else None,
            controls=given,
            road_fraction=float(job.mask.mean()),
            generator=self._record.generator,
        )
        write_whole(self._folder.item(job.name), to_json(item))
