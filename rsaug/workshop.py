"""Where images are made: from tiles to files, one tile after another, whatever makes them run.

A workshop is what one worker has: the layers, the generator and the folder. Which tiles it is given
is the business of an engine (`rsaug.engines`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from rsaug.files import write_whole
from rsaug.folder import RunFolder, item_name
from rsaug.grid import Tile
from rsaug.labelfiles import write_controls, write_mask
from rsaug.marks import Marks
from rsaug.options import SynthOptions
from rsaug.orders import Made, Order, Orders
from rsaug.places import Places
from rsaug.provenance import read_key
from rsaug.quarantine import put_aside
from rsaug.record import Record
from rsaug.requests import TileGenerator
from rsaug.stac import make_item
from rsaug.stac_extensions import to_json


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
        generate: Callable[[Sequence[Order]], list[Made]],
        write: Callable[[Sequence[Made]], list[Outcome]],
        done: Callable[[Outcome], None],
    ) -> None:
        self._maker, self._writer, self._done = maker, writer, done
        self._generate, self._write = generate, write
        self._making: Future[list[Made]] | None = None
        self._writing: Future[list[Outcome]] | None = None

    def feed(self, batch: Sequence[Order]) -> None:
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
        self._record, self._generator = record, generator
        self._folder = RunFolder(record.options.folder)
        asked = record.options
        self._marks = Marks.of(asked.watermark, asked.sign, asked.sign_key, asked.timestamp_url)
        description = self._marks.described(record.generator)
        self._orders = Orders(places, generator, description, asked.seed)

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
            line = _Line(maker, writer, self._orders.generate, self._write, done)
            try:
                batch: list[Order] = []
                for found in self._to_make(tiles):
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

    def _to_make(self, tiles: Iterable[Tile]) -> Iterator[Order | Outcome]:
        """What is to be generated; what is complete, or only lacks its item, is dealt with."""
        tiles, count = [*tiles], self._record.options.variants
        if tiles and self._generator.reach(tiles[0]) is not None:
            # Each variant is a field, of which memory holds one.
            for variant in range(count):
                yield from self._to_make_of(tiles, [variant])
        else:
            yield from self._to_make_of(tiles, range(count))

    def _to_make_of(
        self, tiles: Sequence[Tile], variants: Sequence[int]
    ) -> Iterator[Order | Outcome]:
        for tile in tiles:
            try:
                found = self._orders.labelled(tile)
            except Exception as error:
                yield from (self._put_aside(item_name(tile.name, v), error) for v in variants)
                continue
            for variant in variants:
                order = self._orders.order(found, variant)
                key = order.provenance.key
                image = self._folder.image(order.name)
                if self._marks.lack(image) or not self._folder.holds(order.name, key):
                    self._folder.discard_broken(order.name, key)
                    if read_key(image) != key:
                        yield order
                        continue
                    self._marks.sign(image, order.provenance)
                    self._finish(order)
                self._folder.quarantined(order.name).unlink(missing_ok=True)
                yield Outcome(order.name, "kept")

    def _write(self, made: Sequence[Made]) -> list[Outcome]:
        """Write the images of a batch and what belongs to them."""
        outcomes = []
        for order, image in made:
            if isinstance(image, Exception):
                outcomes.append(self._put_aside(order.name, image))
                continue
            self._marks.write(
                self._folder.image(order.name),
                image,
                order.request.tile,
                order.provenance,
                ("red", "green", "blue"),
            )
            self._finish(order)
            self._folder.quarantined(order.name).unlink(missing_ok=True)
            outcomes.append(Outcome(order.name, "made"))
        return outcomes

    def _put_aside(self, item: str, error: Exception) -> Outcome:
        return Outcome(item, "failed", put_aside(self._folder, item, error))

    def _finish(self, order: Order) -> None:
        """Write the labels of an image where they are not there yet, then its item."""
        tile, controls = order.request.tile, order.request.controls
        write_mask(self._folder.mask(tile.name), order.mask, tile, order.labels_key)
        write_controls(self._folder.conditions(tile.name), controls, tile, order.labels_key)
        date = self._record.options.date
        item = make_item(
            tile,
            order.provenance,
            self._folder,
            collection=self._record.options.name,
            created=self._record.created,
            date=date.isoformat() if date else None,
            controls=controls.given,
            road_fraction=float(order.mask.mean()),
            generator=self._record.generator,
        )
        write_whole(self._folder.item(order.name), to_json(item))
