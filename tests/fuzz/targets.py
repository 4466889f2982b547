"""What is fuzzed: for each reader of ours its seeds, how they are changed, and how it is called."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fuzz.mutations import Sample, mutated_any, mutated_bytes, mutated_text
from rsaug.errors import RsaugError

Run = Callable[[Path], object]
"""Reads an input from a folder."""

Change = Callable[[random.Random, bytes], bytes]


@dataclass(frozen=True)
class Target:
    """A reader under test.

    Attributes:
        name: For the command line.
        what: What it reads.
        prepare: Given an empty folder, the seeds and the reader; heavy imports happen here.
        changes: How a file is changed, by the end of its name; ``*`` for any other.
        allowed: Exceptions by which the reader says that an input is of no use.
        limit_s: Longest time that an input may take.
        limit_mb: Most memory that an input may take beyond what the reader takes by itself.
    """

    name: str
    what: str
    prepare: Callable[[Path], tuple[Sequence[Sample], Run]]
    changes: Mapping[str, Change]
    allowed: tuple[type[Exception], ...] = (RsaugError,)
    limit_s: float = 10.0
    limit_mb: int = 512

    def mutate(self, rng: random.Random, seeds: Sequence[Sample]) -> Sample:
        """An input: a seed of which one file, now and then each, is changed."""
        sample = dict(rng.choice(seeds))
        names = [*sample]
        chosen = names if rng.random() < 0.1 else [rng.choice(names)]
        for name in chosen:
            sample[name] = self._change(name)(rng, sample[name])
        if len(names) > 1 and rng.random() < 0.05:
            del sample[rng.choice(names)]
        return sample

    def _change(self, name: str) -> Change:
        ends = [end for end in self.changes if end != "*" and name.endswith(end)]
        return self.changes[max(ends, key=len, default="*")]


TEXT: Mapping[str, Change] = {"*": mutated_text}
DOCUMENT: Mapping[str, Change] = {"*": mutated_any}
BYTES: Mapping[str, Change] = {"*": mutated_bytes, ".json": mutated_any, ".geojson": mutated_any}


def write(folder: Path, sample: Sample) -> None:
    """Put the files of an input into a folder."""
    for name, content in sample.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def sample_of(folder: Path, *suffixes: str) -> Sample:
    """The files of a folder as an input, those of some suffixes alone if any are named."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files
        if not suffixes or path.suffix in suffixes
    }


def all_targets() -> dict[str, Target]:
    """Every target by its name."""
    from fuzz import configurations, models, rasters, tags, vectors

    parts = (tags, configurations, vectors, rasters, models)
    return {target.name: target for part in parts for target in part.TARGETS}
