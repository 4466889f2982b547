"""A cluster, by Ray: an actor a GPU or a share of the CPUs, each with a generator of its own.

Results, layers and models must lie where all machines see them under the same path, on a shared
disk or in a store. An actor that is lost, with its machine or alone, is replaced, and what it was
at is given out again; what is complete by then is found complete.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from rsaug.engines import Work
from rsaug.errors import InputError, RsaugError, RunError
from rsaug.folder import RunFolder, item_name
from rsaug.grid import Tile, TileGrid, parse_crs
from rsaug.optional import require
from rsaug.options import SynthOptions
from rsaug.places import Places
from rsaug.prompts import read_prompts
from rsaug.provenance import VOLATILE
from rsaug.quarantine import put_aside
from rsaug.record import Record
from rsaug.regions import read_region
from rsaug.requests import TileGenerator, described
from rsaug.scene_reader import read_scene
from rsaug.storage import is_remote
from rsaug.workshop import Outcome, Workshop

_TRIES = 3
"""How often an actor may be lost over a tile before the tile is put aside."""

_QUEUED = 2
"""Pieces that an actor has at a time, the one that it is at with it."""

_PATIENCE_S = 5.0

_PIECE, _BLOCK = 4, 8
"""Tiles in a piece; and tiles along the side of a piece of a field, whose parts share work."""


class Load(Protocol):
    """What makes the generator of a run: a function at the top of a module, to be found by name."""

    def __call__(self, options: SynthOptions, workers: int | None = None) -> TileGenerator:
        """The generator; ``workers`` is how many CPUs it may use."""


@dataclass(frozen=True, eq=False)
class _Assignment:
    """All that an actor is told.

    Attributes:
        record: What the run was asked, all paths absolute.
        controls: Names of the control maps.
        load: What makes the generator.
        cpus: CPUs that it may use.
    """

    record: Record[SynthOptions]
    controls: tuple[str, ...]
    load: Load
    cpus: int


class _Actor:
    """One worker. It reads layers and model with its first piece: errors then come from there."""

    def __init__(self, assignment: _Assignment) -> None:
        self._assignment = assignment
        self._grid = _grid(assignment.record.options)
        self._workshop: Workshop | None = None

    def make(self, places: Sequence[tuple[int, int]]) -> list[Outcome]:
        """What came of the images of some tiles, by row and column."""
        if self._workshop is None:
            self._workshop = self._open()
        outcomes: list[Outcome] = []
        tiles = [self._grid.tile(row, col) for row, col in places]
        self._workshop.make(tiles, outcomes.append)
        return outcomes

    def _open(self) -> Workshop:
        record, controls = self._assignment.record, self._assignment.controls
        options = record.options.fetched()
        uses = {name: use for name, use in options.uses().items() if name in controls}
        crs = self._grid.crs
        regions = {name: read_region(use.region, crs) for name, use in uses.items() if use.region}
        prompts = read_prompts(options.prompts, crs) if options.prompts else None
        generator = self._assignment.load(options, self._assignment.cpus)
        _check_same(described(generator), record.generator)
        places = Places(read_scene(options), controls, regions, prompts)
        return Workshop(places, record, generator)


def _grid(options: SynthOptions) -> TileGrid:
    """The grid of options whose CRS is resolved."""
    return TileGrid(parse_crs(str(options.crs)), options.gsd, options.tile_size)


def _check_same(ours: dict[str, object], theirs: Any) -> None:
    """Raise InputError if a worker would make other images than the one that gave it work."""
    names = {*ours, *theirs} - {*VOLATILE}
    if changed := sorted(name for name in names if ours.get(name) != theirs.get(name)):
        raise InputError(
            f"A machine of the cluster differs in {', '.join(changed)}; install the same model "
            "there."
        )


@dataclass(eq=False)
class _Piece:
    """Tiles that are given out together.

    Attributes:
        places: Row and column of each.
        losses: How many actors were lost over it.
    """

    places: list[tuple[int, int]]
    losses: int = 0


@dataclass(eq=False)
class _Hand:
    """An actor and the pieces that it has, by the reference of their result."""

    actor: Any
    pieces: dict[Any, _Piece] = field(default_factory=dict)


class RayEngine:
    """Runs a plan on a Ray cluster, or on one that is started here for it.

    Args:
        load: What makes a generator.
        address: Of the cluster, as Ray takes it; None for a new one on this machine.
        actors: How many; None for one a GPU, or where there is none, one for each ``cpus`` CPUs.
        cpus: CPUs of an actor.
    """

    def __init__(
        self,
        load: Load,
        address: str | None = None,
        actors: int | None = None,
        cpus: int = 1,
    ) -> None:
        self._load, self._address, self._actors, self._cpus = load, address, actors, cpus

    def run(self, work: Work, tiles: Sequence[Tile], done: Callable[[Outcome], None]) -> None:
        """Make what is missing of some tiles' images; see `rsaug.engines.Engine`.

        Raises:
            InputError: if there is no such cluster, or a machine of it differs in what decides the
                images.
            OutputError: if something cannot be written.
            MissingExtra: without Ray.
        """
        ray = require("ray", extra="ray")
        with _connected(ray, self._address):
            is_field = bool(tiles) and work.generator.reach(tiles[0]) is not None
            waiting = deque(_pieces(tiles, is_field=is_field))
            crew = _Crew(ray, self._assignment(work), waiting, done)
            crew.hire(min(self._actors or _default_actors(ray, self._cpus), len(waiting)))
            crew.work()

    def _assignment(self, work: Work) -> _Assignment:
        options = work.record.options
        moved = replace(options, out=str(options.folder)).with_paths(
            lambda path: path if is_remote(path) else str(Path(path).resolve()), Path()
        )
        record = replace(work.record, options=moved)
        return _Assignment(record, work.places.controls, self._load, self._cpus)


class _Crew:
    """The actors of a run, and what there is left to do.

    Args:
        ray: The library.
        assignment: What each actor is told.
        waiting: Pieces that nobody has.
        done: Called with what came of each image.
    """

    def __init__(
        self,
        ray: Any,
        assignment: _Assignment,
        waiting: deque[_Piece],
        done: Callable[[Outcome], None],
    ) -> None:
        self._ray, self._assignment, self._waiting, self._done = ray, assignment, waiting, done
        gpus = 1 if ray.cluster_resources().get("GPU") else 0
        self._kind = ray.remote(num_cpus=assignment.cpus, num_gpus=gpus)(_Actor)
        self._hands: list[_Hand] = []

    def hire(self, count: int) -> None:
        """Start so many actors."""
        self._hands = [self._new_hand() for _ in range(count)]

    def work(self) -> None:
        """Give out pieces and take results until there is nothing left.

        Raises:
            RsaugError: that an actor raised.
            RunError: if an actor cannot begin.
        """
        try:
            while running := self._give_out():
                ready, _ = self._ray.wait([*running], num_returns=1)
                self._take(running[ready[0]], ready[0])
        finally:
            for hand in self._hands:
                self._ray.kill(hand.actor)

    def _new_hand(self) -> _Hand:
        return _Hand(self._kind.remote(self._assignment))

    def _give_out(self) -> dict[Any, _Hand]:
        """Keep every actor busy; all references that are awaited, with who has them."""
        for _ in range(_QUEUED):
            for hand in self._hands:
                if self._waiting and len(hand.pieces) < _QUEUED:
                    piece = self._waiting.popleft()
                    hand.pieces[hand.actor.make.remote(piece.places)] = piece
        return {reference: hand for hand in self._hands for reference in hand.pieces}

    def _take(self, hand: _Hand, reference: Any) -> None:
        errors = self._ray.exceptions
        try:
            outcomes = self._ray.get(reference)
        except errors.RayTaskError as error:
            if isinstance(error.cause, RsaugError):
                raise error.cause from error
            raise
        except errors.RayActorError as error:
            if error.actor_init_failed:
                raise RunError(f"A worker of the cluster cannot begin: {error}") from error
            self._replace(hand, error)
            return
        hand.pieces.pop(reference)
        for outcome in outcomes:
            self._done(outcome)

    def _replace(self, hand: _Hand, error: Exception) -> None:
        """Start an actor in the place of one that is gone, and put back what it had."""
        guilty = next(iter(hand.pieces.values()))
        guilty.losses += 1
        for piece in reversed(hand.pieces.values()):
            if piece is guilty and piece.losses >= _TRIES:
                self._give_up(piece, error)
            else:
                self._waiting.appendleft(piece)
        self._hands[self._hands.index(hand)] = self._new_hand()

    def _give_up(self, piece: _Piece, error: Exception) -> None:
        """Put a tile aside, or find out which of several it is."""
        if len(piece.places) > 1:
            self._waiting.extendleft(_Piece([place]) for place in reversed(piece.places))
            return
        options = self._assignment.record.options
        folder, tile = RunFolder(options.folder), _grid(options).tile(*piece.places[0])
        for variant in range(options.variants):
            item = item_name(tile.name, variant)
            self._done(Outcome(item, "failed", put_aside(folder, item, error)))


def _pieces(tiles: Sequence[Tile], *, is_field: bool) -> Iterator[_Piece]:
    """Tiles in pieces: a few at a time, or square blocks of a field."""
    if not is_field:
        rest = iter(tiles)
        while piece := list(islice(rest, _PIECE)):
            yield _Piece([(tile.row, tile.col) for tile in piece])
        return
    blocks: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for tile in tiles:
        block = (tile.row // _BLOCK, tile.col // _BLOCK)
        blocks.setdefault(block, []).append((tile.row, tile.col))
    for places in blocks.values():
        yield _Piece(places)


def _default_actors(ray: Any, cpus: int) -> int:
    resources = ray.cluster_resources()
    return int(resources.get("GPU", 0)) or max(1, int(resources.get("CPU", 1)) // cpus)


@contextlib.contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    """A cluster, that of the caller where there is one already."""
    if ray.is_initialized():
        yield
        return
    if address not in (None, "auto", "local"):
        _check_reachable(str(address))
    # Its reports of use would be a request to the outside that nobody asked for.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(
            address=address or "local",
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"There is no Ray cluster at {address} ({error}).") from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raise InputError unless something listens at ``HOST:PORT``; Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        raise InputError(f"{address!r} is no address of a Ray cluster; give HOST:PORT or auto.")
    try:
        socket.create_connection((host, int(port)), timeout=_PATIENCE_S).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"There is no Ray cluster at {address} ({error}).") from error
