"""What a pool of synthetic tiles may be called, and whether its facts bear that out.

With the places whose labels a detector gets, and those that a generator was trained on, a result is

- ``shipped model``, where the generator is the default model of the package, and none of the
  detector's places was among those that it was trained on;
- ``closed data``, where the generator was trained on none but the detector's places, so that
  whatever the synthetic tiles add was in those labels already;
- ``upper bound``, where the detector gets places that the generator was trained on, and the
  generator knew more besides: what could be had at best, and no more than that.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from rsaug.downstream.bench.config import PoolConfig
from rsaug.downstream.bench.items import Items, places_under, read_pool
from rsaug.errors import InputError
from rsaug.jsontext import parse_json


@dataclass(frozen=True, eq=False)
class Pool:
    """Synthetic tiles and what is known of their making.

    Attributes:
        config: What was asked.
        items: The tiles.
        under: The places of the label split that each lies on, one set a tile.
        generator_places: What the generator was trained on.
        weights: Digests of the generators, as the runs tell them.
        scores: By name of an item; None without any.
    """

    config: PoolConfig
    items: Items
    under: Sequence[frozenset[str]]
    generator_places: frozenset[str]
    weights: tuple[str, ...]
    scores: dict[str, float] | None = field(default=None, repr=False)

    def usable(self, places: Collection[str], threshold: float | None = None) -> list[int]:
        """Numbers of the items that a detector with the labels of some places may see.

        A tile on the ground of a real place holds that place's labels. It is left out where the
        detector does not have them, except under ``upper bound``. A restyled image is always that
        of a labelled one.

        Args:
            places: Whose labels the detector has.
            threshold: The least score of an item; None for all.

        Raises:
            InputError: if an item has no score, or nothing is left.
        """
        own = self.config.kind == "restyled" or self.config.protocol != "upper bound"
        allowed = set(places)
        kept = [k for k, under in enumerate(self.under) if not own or under <= allowed]
        if self.config.kind == "restyled":
            kept = [k for k in kept if self.under[k]]
        if threshold is not None:
            kept = [k for k in kept if self._score(k) >= threshold]
        if not kept:
            raise InputError(
                f"Of the {len(self.items)} tiles of the pool {self.config.name!r} none may be used "
                f"with {len(allowed)} label places: they lie on places without labels, or are "
                "below the threshold."
            )
        return kept

    def _score(self, item: int) -> float:
        name = self.items.tiles[item]
        if self.scores is None or name not in self.scores:
            raise InputError(f"The scores of the pool {self.config.name!r} have no item {name!r}.")
        return self.scores[name]

    def facts(self) -> dict[str, Any]:
        """For the report."""
        return {
            "kind": self.config.kind,
            "protocol": self.config.protocol,
            "runs": [Path(run).resolve().name for run in self.config.runs],
            "tiles": len(self.items),
            "tiles on label places": sum(bool(under) for under in self.under),
            "generator places": len(self.generator_places),
            "weights": [weights[:12] for weights in self.weights],
            "shipped model": self.is_shipped,
            "digest": self.items.digest,
            "scores": None if self.scores is None else len(self.scores),
        }

    @property
    def is_shipped(self) -> bool:
        """Whether the default model of the package, as it is here, made all of it."""
        return set(self.weights) == {default_weights()}


def load_pool(config: PoolConfig, labelled: Items, chip_size: int | None) -> Pool:
    """A pool with its tiles.

    Raises:
        InputError: if a file cannot be read.
    """
    items = read_pool(config, chip_size)
    if items.images.shape[1:] != labelled.images.shape[1:]:
        raise InputError(
            f"The pool {config.name!r} has tiles of {items.images.shape[2]} x "
            f"{items.images.shape[3]} pixels, the real ones have {labelled.images.shape[2]} x "
            f"{labelled.images.shape[3]}; set 'data.chip_size', or make tiles of that size."
        )
    scores = None if config.scores is None else read_scores(Path(config.scores))
    return Pool(
        config,
        items,
        places_under(items, labelled),
        generator_places(config.generator_places),
        tuple(sorted({_weights(Path(run)) for run in config.runs})),
        scores,
    )


def check_protocol(pool: Pool, places: Collection[str], what: str) -> None:
    """Refuse a pool that is not what it says, for a detector with the labels of some places.

    Args:
        pool: The pool.
        places: Whose labels the detector has.
        what: Which detectors these are, for the message.

    Raises:
        InputError: if the facts are others than the protocol asks for.
    """
    ours, theirs = set(places), pool.generator_places
    shared, unknown = sorted(ours & theirs), sorted(theirs - ours)
    name, protocol = pool.config.name, pool.config.protocol
    says = f"The pool {name!r} is declared as {protocol!r}, but "
    if protocol == "shipped model" and not pool.is_shipped:
        raise InputError(f"{says}its runs were not made by the default model of this package.")
    if protocol == "shipped model" and shared:
        raise InputError(
            f"{says}{what} has {len(shared)} places that its generator was trained on, "
            f"{shared[0]!r} for one; that is an 'upper bound'."
        )
    if protocol == "closed data" and unknown:
        raise InputError(
            f"{says}its generator was trained on {len(unknown)} places whose labels {what} does "
            f"not have, {unknown[0]!r} for one; train a generator on the detector's places, and "
            "name the numbers and seeds that it is for in 'label_places' and 'seeds'."
        )
    if protocol == "upper bound" and not shared:
        raise InputError(f"{says}its generator was trained on none of the places of {what}.")


def check_declared(pool: Pool) -> None:
    """Refuse a pool that says less of its generator than is known of it.

    Raises:
        InputError: if the default model made it, and what that was trained on is not declared.
    """
    if default_weights() not in pool.weights:
        return
    silent = sorted(default_places() - pool.generator_places)
    if silent:
        raise InputError(
            f"The pool {pool.config.name!r} was made by the default model, which was trained on "
            f"{len(silent)} places that are not declared, {silent[0]!r} for one; set "
            "'generator_places' to default."
        )


def generator_places(declared: str | Sequence[str]) -> frozenset[str]:
    """The places that a generator was trained on, from what a configuration says.

    Raises:
        InputError: if the file that it names cannot be read.
    """
    if declared == "default":
        return default_places()
    if not isinstance(declared, str):
        return frozenset(declared)
    path = Path(declared)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"'generator_places' is default, a list of places or a file with one a line; "
            f"{declared} cannot be read ({error})."
        ) from error
    return frozenset(line.strip() for line in lines if line.strip())


def default_places() -> frozenset[str]:
    """The places that the default model was trained on: the training split of NAIP, all of it."""
    from rsaug.downstream.datasets.naip import naip_tiles

    table = naip_tiles()
    return frozenset(table["place"][table["split"] == "train"])


@lru_cache(maxsize=1)
def default_weights() -> str:
    """Digest of the default model, as runs tell it."""
    from rsaug.modelfiles import folder_digest
    from rsaug.pipelines.models import model_folder

    return folder_digest(model_folder("default"))


def read_scores(path: Path) -> dict[str, float]:
    """Scores by name of an item, from JSON.

    Raises:
        InputError: if the file holds something else.
    """
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        return {str(name): float(score) for name, score in content.items()}
    except (OSError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(f"{path} holds no scores by name of an item ({error}).") from error


def _weights(run: Path) -> str:
    """Digest of the model that made a run.

    Raises:
        InputError: if the run does not say.
    """
    record = run / "run.json"
    try:
        document = parse_json(record.read_text(encoding="utf-8"))
        return str(document["generator"]["weights_sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{record} does not say which model made the run ({error!r}).") from error
